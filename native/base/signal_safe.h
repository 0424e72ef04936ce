// What code may share with handlers of signals: a mutex, and memory.
#pragma once

#include <csignal>
#include <cstdint>
#include <cstring>
#include <memory_resource>
#include <mutex>
#include <new>
#include <sys/mman.h>

namespace nomad {

/// While a thread has it, no handler of a signal runs there, but for those of faults, which can't be put off.
class SignalSafeMutex {
public:
  void lock() {
    sigset_t all, before;
    sigfillset(&all);
    for (int fault : {SIGSEGV, SIGBUS, SIGILL, SIGFPE, SIGTRAP})
      sigdelset(&all, fault);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    mutex_.lock();
    before_ = before;
  }
  void unlock() {
    sigset_t before = before_;
    mutex_.unlock();
    pthread_sigmask(SIG_SETMASK, &before, nullptr);
  }

  /// While it is locked: the signals that its thread had blocked before, as the kernel has them.
  std::uint64_t blockedBefore() const {
    std::uint64_t blocked;
    std::memcpy(&blocked, &before_, sizeof blocked);
    return blocked;
  }

private:
  std::mutex mutex_;
  sigset_t before_; // of the thread that has it
};

/// From the system: a handler may have interrupted malloc. For what is shared under a SignalSafeMutex.
class SignalSafeMemory : public std::pmr::memory_resource {
public:
  std::pmr::memory_resource *pool() { return &pool_; }

private:
  void *do_allocate(std::size_t bytes, std::size_t) override {
    void *memory = mmap(nullptr, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    return memory != MAP_FAILED ? memory : throw std::bad_alloc();
  }
  void do_deallocate(void *memory, std::size_t bytes, std::size_t) override { munmap(memory, bytes); }
  bool do_is_equal(const std::pmr::memory_resource &other) const noexcept override { return this == &other; }

  std::pmr::unsynchronized_pool_resource pool_{this};
};

} // namespace nomad
