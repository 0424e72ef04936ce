// While bytes of a batch are on their way, nobody may see half a move (I13): a signal handler can be code.
//
// A handler that comes meanwhile, on the thread that moves, is put off at its entry stub, and its signal is sent anew afterwards.
// Blocking signals would give those that are for the process to another thread. Other threads wait at their entry stubs.
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

  /// Safe in signal handlers. What is beyond `mostSignals` is lost, as the system loses signals that are pending already.
  void putOff(const siginfo_t &signal) {
    std::size_t index = count_.fetch_add(1);
    if (index < mostSignals)
      signals_[index] = signal;
  }

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

  void sendAnew() {
    std::size_t count = std::min(count_.exchange(0), mostSignals);
    std::array<siginfo_t, mostSignals> signals = signals_; // handlers may put off others
    for (std::size_t i = 0; i < count; ++i)
      syscall(SYS_rt_tgsigqueueinfo, getpid(), gettid(), signals[i].si_signo, &signals[i]);
  }

  std::atomic<int> underWay_{0};
  std::atomic<std::size_t> count_{0};
  std::array<siginfo_t, mostSignals> signals_;
};

} // namespace nomad
