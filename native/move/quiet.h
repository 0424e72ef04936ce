// While bytes of a batch are being copied, half a move must not be seen (I13): a signal handler can be code.
//
// A handler that comes meanwhile is put off at its entry stub, and its signal is sent anew afterwards, to the same thread.
// Blocking signals would give those that are for the process to another thread; and a waiting handler could wait for the
// mover while its thread holds a lock that the move needs. Other threads wait at their entry stubs, from before it is known what
// they run until the batch is done.
#pragma once

#include <array>
#include <atomic>
#include <csignal>
#include <sys/syscall.h>
#include <unistd.h>

namespace nomad {

class QuietMoves {
public:
  bool areUnderWay() const { return underWay_.load() != 0; }
  bool areOthersKeptOut() const { return othersKeptOut_.load() != 0; }

  /// Of this thread. Safe in signal handlers. What is beyond `mostSignals` is lost, as the system loses signals that are pending
  /// already.
  void putOff(const siginfo_t &signal) {
    for (Waiting &waiting : signals_) {
      auto vacant = Waiting::Vacant;
      if (!waiting.state.compare_exchange_strong(vacant, Waiting::Changing))
        continue;
      waiting.signal = signal;
      waiting.thread = gettid();
      waiting.state.store(Waiting::Whole);
      count_.fetch_add(1);
      break;
    }
    if (!areUnderWay() && !areOthersKeptOut()) // the mover may have sent them all before this one was there
      sendAnew();
  }

  /// While it lives, no other thread gets past an entry stub.
  class OthersKeptOut {
  public:
    explicit OthersKeptOut(QuietMoves &moves) : moves_(moves), before_(moves.othersKeptOut_.exchange(1)) {}
    ~OthersKeptOut() {
      moves_.othersKeptOut_.store(before_);
      if (before_ == 0 && moves_.count_.load() != 0)
        moves_.sendAnew();
    }
    OthersKeptOut(const OthersKeptOut &) = delete;
    OthersKeptOut &operator=(const OthersKeptOut &) = delete;

  private:
    QuietMoves &moves_;
    int before_;
  };

  /// While it lives, no signal handler of its thread gets past an entry stub.
  class Scope {
  public:
    explicit Scope(QuietMoves &moves) : moves_(moves) { moves_.underWay_.fetch_add(1); }
    ~Scope() {
      if (moves_.underWay_.fetch_sub(1) == 1 && moves_.count_.load() != 0)
        moves_.sendAnew();
    }
    Scope(const Scope &) = delete;
    Scope &operator=(const Scope &) = delete;

  private:
    QuietMoves &moves_;
  };

private:
  static constexpr std::size_t mostSignals = 64;

  struct Waiting {
    enum State : int { Vacant, Changing, Whole };
    std::atomic<State> state{Vacant};
    siginfo_t signal;
    pid_t thread;
  };

  void sendAnew() {
    for (Waiting &waiting : signals_) {
      auto whole = Waiting::Whole;
      if (!waiting.state.compare_exchange_strong(whole, Waiting::Changing))
        continue;
      siginfo_t signal = waiting.signal;
      pid_t thread = waiting.thread;
      waiting.state.store(Waiting::Vacant);
      count_.fetch_sub(1);
      syscall(SYS_rt_tgsigqueueinfo, getpid(), thread, signal.si_signo, &signal);
    }
  }

  std::atomic<int> underWay_{0};
  std::atomic<int> othersKeptOut_{0};
  std::atomic<int> count_{0}; // of signals that are put off
  std::array<Waiting, mostSignals> signals_;
};

} // namespace nomad
