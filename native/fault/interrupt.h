// Code is stopped from outside: by `interruptCode`, because its time is over, because its environment ends.
//
// A watchdog thread, there is one, sends the thread of that code a signal every millisecond, until its handler (fault/trap.cpp)
// finds code in a state that it can be left in. The watchdog exists from the first use on; it sleeps while there is nothing to
// watch.
#pragma once

#include "base/error.h"
#include "stack/code_thread.h"

#include <csignal>
#include <string>

namespace nomad {

/// Called by WatchedCode, when code of a Jit or a thread comes and before it goes.
void announceCode(std::uint32_t jit, CodeThread &thread);
void retireCode(std::uint32_t jit);
void retireThread(CodeThread &thread);

/// From any thread: stops code that runs or waits on the thread of that Jit, the innermost; it is left as soon as it runs. False
/// if there is none. Errors: State if no thread can be made.
llvm::Expected<bool> interruptCode(std::uint32_t jit);

/// While it lives, code of this thread that runs `milliseconds` from now, or later, is stopped.
class TimeLimit {
public:
  static llvm::Expected<TimeLimit> start(std::uint32_t milliseconds);
  TimeLimit(TimeLimit &&other) : id_(std::exchange(other.id_, 0)) {}
  ~TimeLimit();

private:
  explicit TimeLimit(std::uint64_t id) : id_(id) {}
  std::uint64_t id_; // 0: none
};

/// From now on code of this thread is stopped when `isAlive` says that JS can't run there any more. Errors: as above.
llvm::Error stopWithEnvironment(CodeThread::IsAlive isAlive, void *environment);

/// Has the watchdog sent this signal?
bool isInterrupt(const siginfo_t &info);
/// On the thread itself: why code has to stop; empty if it has not. Takes what is to be said once.
std::string takeReason(CodeThread &thread);

} // namespace nomad
