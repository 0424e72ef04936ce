// What libstdc++ knows of a thread's exceptions: which are being handled, how many are on their way.
//
// Code that a trap or a JS exception leaves does not end its handlers, nor those of others that it passed over. So a call thunk
// keeps what was there, and what has come since is ended when code has been left.
//
// libstdc++ knows nothing of stacks. What has begun on a coroutine's stack belongs to it: it stays while the coroutine waits, and
// is dropped with the coroutine when that is left for good.
#pragma once

#include "base/address.h"

namespace nomad {

/// __cxa_eh_globals: Itanium C++ ABI, Exception Handling, 2.2.2.
struct ExceptionState {
  void *handled; // the newest of a list
  unsigned onTheirWay;
  unsigned onOtherStacks; // ours, in what the ABI leaves free: of those on their way, how many have come on coroutines' stacks
};
static_assert(sizeof(ExceptionState) == 16);

/// Of this thread; the place stays.
ExceptionState &exceptionState();

/// Ends what has come on this stack since `before`. Destructors run, which are code, and may be left in turn: call it again then.
void restoreExceptionState(const ExceptionState &before);

/// The thread goes to a coroutine's stack, or leaves one: `isForGood` if nothing returns to what runs there now. In handlers of
/// signals, too.
void enterOtherStack();
void leaveOtherStack(bool isForGood);

} // namespace nomad
