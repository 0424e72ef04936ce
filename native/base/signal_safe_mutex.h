// A mutex that handlers of signals may lock too: while a thread has it, none of them runs there.
#pragma once

#include <csignal>
#include <mutex>

namespace nomad {

class SignalSafeMutex {
public:
  void lock() {
    sigset_t all, before;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    mutex_.lock();
    before_ = before;
  }
  void unlock() {
    sigset_t before = before_;
    mutex_.unlock();
    pthread_sigmask(SIG_SETMASK, &before, nullptr);
  }

private:
  std::mutex mutex_;
  sigset_t before_; // of the thread that has it
};

} // namespace nomad
