#include "fault/interrupt.h"

#include "base/signals.h"

#include "llvm/ADT/STLExtras.h"

#include <algorithm>
#include <chrono>
#include <condition_variable>
#include <cstring>
#include <map>
#include <mutex>
#include <vector>

using namespace nomad;
using namespace llvm;

namespace {

using Clock = std::chrono::steady_clock;
using namespace std::chrono_literals;

constexpr auto retryAfter = 1ms;
constexpr auto sampleEvery = 20ms; // how soon a worker that is terminated is noticed

char ours; // its address marks our signals

class Watchdog {
public:
  /// Never destroyed: its thread may outlive main.
  static Watchdog &get() {
    static auto *const watchdog = new Watchdog;
    return *watchdog;
  }

  void add(std::uint32_t jit, CodeThread &thread) {
    std::lock_guard lock(mutex_);
    jits_[jit] = &thread;
  }
  void remove(std::uint32_t jit) {
    std::lock_guard lock(mutex_);
    jits_.erase(jit);
  }
  void remove(CodeThread &thread) {
    std::lock_guard lock(mutex_);
    llvm::erase(watched_, &thread);
    llvm::erase(stopping_, &thread);
    llvm::erase_if(limits_, [&](const Limit &limit) { return limit.thread == &thread; });
  }

  Expected<bool> interrupt(std::uint32_t jit);
  Expected<std::uint64_t> limit(CodeThread &thread, std::uint32_t milliseconds);
  void endLimit(std::uint64_t id);
  Error watch(CodeThread &thread);

private:
  struct Limit {
    std::uint64_t id;
    CodeThread *thread;
    Clock::time_point end;
    std::uint32_t milliseconds;
    bool isOver = false;
  };

  Error ensureRunning();
  [[noreturn]] void run();
  void want(CodeThread &thread, std::uint32_t reason);
  void endLimits(Clock::time_point now);
  void sample(CodeThread &thread);
  void stopAll();
  Clock::time_point nextTime(Clock::time_point now) const;

  std::mutex mutex_;
  std::condition_variable changed_;
  bool isRunning_ = false;
  std::map<std::uint32_t, CodeThread *> jits_;
  std::vector<CodeThread *> watched_;  // of environments that may end
  std::vector<CodeThread *> stopping_; // of which something is wanted
  std::vector<Limit> limits_;          // in the order in which they began
  std::uint64_t lastLimit_ = 0;
  Clock::time_point nextSample_;
};

// All signals are blocked: those of the process are for the other threads.
Error Watchdog::ensureRunning() {
  constexpr int signals[] = {interruptSignal};
  watchSignals(signals);
  if (isRunning_)
    return Error::success();
  sigset_t all, before;
  sigfillset(&all);
  pthread_sigmask(SIG_SETMASK, &all, &before);
  pthread_t thread;
  auto start = [](void *watchdog) -> void * { static_cast<Watchdog *>(watchdog)->run(); };
  int status = pthread_create(&thread, nullptr, start, this);
  pthread_sigmask(SIG_SETMASK, &before, nullptr);
  if (status != 0)
    return fail(ErrorCode::State, Twine("no thread can be made that would stop code: ") + strerror(status));
  pthread_detach(thread);
  isRunning_ = true;
  return Error::success();
}

Expected<bool> Watchdog::interrupt(std::uint32_t jit) {
  std::lock_guard lock(mutex_);
  auto found = jits_.find(jit);
  if (found == jits_.end() || !found->second->isActive())
    return false;
  if (Error error = ensureRunning())
    return error;
  want(*found->second, CodeThread::Interrupt);
  return true;
}

Expected<std::uint64_t> Watchdog::limit(CodeThread &thread, std::uint32_t milliseconds) {
  std::lock_guard lock(mutex_);
  if (Error error = ensureRunning())
    return error;
  limits_.push_back({++lastLimit_, &thread, Clock::now() + std::chrono::milliseconds(milliseconds), milliseconds});
  changed_.notify_one();
  return lastLimit_;
}

void Watchdog::endLimit(std::uint64_t id) {
  std::lock_guard lock(mutex_);
  auto found = find_if(limits_, [=](const Limit &limit) { return limit.id == id; });
  if (found == limits_.end())
    return; // the thread's last Jit is gone
  CodeThread &thread = *found->thread;
  limits_.erase(found);
  if (none_of(limits_, [&](const Limit &limit) { return limit.thread == &thread && limit.isOver; }))
    thread.wanted &= ~std::uint32_t{CodeThread::Timeout};
}

Error Watchdog::watch(CodeThread &thread) {
  std::lock_guard lock(mutex_);
  if (Error error = ensureRunning())
    return error;
  if (!is_contained(watched_, &thread))
    watched_.push_back(&thread);
  changed_.notify_one();
  return Error::success();
}

void Watchdog::want(CodeThread &thread, std::uint32_t reason) {
  thread.wanted |= reason;
  if (!is_contained(stopping_, &thread))
    stopping_.push_back(&thread);
  changed_.notify_one();
}

void Watchdog::endLimits(Clock::time_point now) {
  for (Limit &limit : limits_)
    if (!limit.isOver && limit.end <= now) {
      limit.isOver = true;
      limit.thread->timeoutMs = limit.milliseconds;
      want(*limit.thread, CodeThread::Timeout);
    }
}

// Code that runs twice in a row may be the same, running for ever.
void Watchdog::sample(CodeThread &thread) {
  bool isInCode = thread.isInCode();
  if (isInCode && thread.wasInCode)
    want(thread, CodeThread::Ending);
  thread.wasInCode = isInCode;
}

void Watchdog::stopAll() {
  llvm::erase_if(stopping_, [](CodeThread *thread) {
    if (!thread->isActive())
      thread->wanted &= ~std::uint32_t{CodeThread::Interrupt};
    if (!thread->isInCode())
      thread->wanted &= ~std::uint32_t{CodeThread::Ending};
    if (thread->wanted == 0)
      return true;
    sigval value;
    value.sival_ptr = &ours;
    if (thread->isInCode())
      pthread_sigqueue(thread->thread, interruptSignal, value);
    thread->reasonToLook.note(); // short functions may never be met, but they are entered
    return false;
  });
}

Clock::time_point Watchdog::nextTime(Clock::time_point now) const {
  Clock::time_point next = now + 24h;
  if (!stopping_.empty())
    next = now + retryAfter;
  if (!watched_.empty())
    next = std::min(next, nextSample_);
  for (const Limit &limit : limits_)
    if (!limit.isOver)
      next = std::min(next, limit.end);
  return next;
}

void Watchdog::run() {
  std::unique_lock lock(mutex_);
  for (;;) {
    Clock::time_point now = Clock::now();
    endLimits(now);
    if (!watched_.empty() && nextSample_ <= now) {
      nextSample_ = now + sampleEvery;
      for (CodeThread *thread : watched_)
        sample(*thread);
    }
    stopAll();
    changed_.wait_until(lock, nextTime(now));
  }
}

} // namespace

void nomad::announceCode(std::uint32_t jit, CodeThread &thread) { Watchdog::get().add(jit, thread); }
void nomad::retireCode(std::uint32_t jit) { Watchdog::get().remove(jit); }
void nomad::retireThread(CodeThread &thread) { Watchdog::get().remove(thread); }

Expected<bool> nomad::interruptCode(std::uint32_t jit) { return Watchdog::get().interrupt(jit); }

Expected<TimeLimit> nomad::TimeLimit::start(std::uint32_t milliseconds) {
  auto id = Watchdog::get().limit(*codeThread(), milliseconds);
  if (!id)
    return id.takeError();
  return TimeLimit(*id);
}

nomad::TimeLimit::~TimeLimit() {
  if (id_ != 0)
    Watchdog::get().endLimit(id_);
}

Error nomad::stopWithEnvironment(CodeThread::IsAlive isAlive, void *environment) {
  CodeThread &thread = *codeThread();
  thread.environment = environment;
  thread.isAlive = isAlive;
  return Watchdog::get().watch(thread);
}

bool nomad::isInterrupt(const siginfo_t &info) { return info.si_code == SI_QUEUE && info.si_value.sival_ptr == &ours; }

std::string nomad::takeReason(CodeThread &thread) {
  std::uint32_t wanted = thread.wanted.fetch_and(~std::uint32_t{CodeThread::Interrupt | CodeThread::Ending});
  if ((wanted & CodeThread::Ending) && thread.isAlive && !thread.isAlive(thread.environment))
    return "stopped, because the environment ends";
  if (wanted & CodeThread::Timeout)
    return "stopped, because " + std::to_string(thread.timeoutMs) + " ms are over (withTimeout)";
  if (wanted & CodeThread::Interrupt)
    return "stopped by interrupt()";
  return "";
}
