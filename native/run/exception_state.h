// What libstdc++ knows of a thread's exceptions: who is being handled, how many are on their way.
//
// Code that a trap or a JS exception leaves does not end its handlers, nor those of others that it passed over. So a call thunk
// keeps what was there, and what has come since is ended when code has been left.
#pragma once

#include "base/address.h"

namespace nomad {

/// __cxa_eh_globals: Itanium C++ ABI, Exception Handling, 2.2.2.
struct ExceptionState {
  void *handled; // the newest of a list
  unsigned onTheirWay;
  unsigned stackChanges; // ours, in what the ABI leaves free: how often the thread has gone to another stack
};
static_assert(sizeof(ExceptionState) == 16);

/// Of this thread; the place stays.
ExceptionState &exceptionState();

/// Ends what has come since `before`, unless the thread has been on other stacks meanwhile: what waits there may be handling it.
/// Destructors run, which are code, and may be left in turn: call it again then.
void restoreExceptionState(const ExceptionState &before);

} // namespace nomad
