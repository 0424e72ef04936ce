// While bytes of a batch are on their way, nobody may see half a move (I13): a signal handler can be code.
//
// Signals wait on the thread that moves. The system gives those that are for the process to another thread then; where the handler
// is code, it waits at its entry stub.
#pragma once

#include <atomic>
#include <csignal>
#include <pthread.h>

namespace nomad {

class Quiet {
public:
  /// `moves`: entry stubs let nobody in on other threads as long as it is not 0.
  explicit Quiet(std::atomic<int> &moves) : moves_(moves) {
    sigset_t all;
    sigfillset(&all);
    for (int fault : {SIGSEGV, SIGBUS, SIGILL, SIGFPE, SIGTRAP, SIGABRT}) // they can't wait
      sigdelset(&all, fault);
    pthread_sigmask(SIG_SETMASK, &all, &before_);
    moves_.fetch_add(1);
  }
  ~Quiet() {
    moves_.fetch_sub(1);
    pthread_sigmask(SIG_SETMASK, &before_, nullptr);
  }
  Quiet(const Quiet &) = delete;
  Quiet &operator=(const Quiet &) = delete;

private:
  std::atomic<int> &moves_;
  sigset_t before_;
};

} // namespace nomad
