// Faults in code become errors (I14, I18).
//
// A signal handler finds that the instruction that failed is code's, that a call thunk has entered it, and that unwind records
// lead from there to that thunk, past no frame that may be in the middle of something. Then it raises a foreign exception of our
// own, which unwinds to the thunk: destructors of the frames that wait run, `catch (...)` does not see it, and the thunk's caller
// hears of it. Where any of that is not so, the fault stays what it was.
//
// The handler runs while code runs, and nothing of the engine or of libc: it may look at code objects and allocate.
#pragma once

#include "base/error.h"
#include "stack/code_thread.h"

#include "llvm/ADT/STLFunctionalExtras.h"

#include <string>
#include <unwind.h>

namespace nomad {

/// "NOMDTRAP"
constexpr std::uint64_t trapExceptionClass = 0x4e4f4d44'54524150;

struct TrapException {
  _Unwind_Exception header;
  Address interrupted; // where the first frame was when it failed: anywhere, so nothing there is in order for a landing pad
  Address entryFrame;  // of the call thunk that it leads to
  TrapException *older;
  std::string message; // without where
  ErrorDetails details;
};

/// Has this process's signal handlers know of code.
void listenForTraps();

/// Leaves code, which has called this or what has called this, with a trap. Returns if no call thunk can be reached.
void raiseTrap(const char *kind, const std::string &message);

/// In a host function's exit: raises if code is to stop, or if there is too little stack left for JS to say so
/// itself.
void leaveIfWanted();
void leaveIfStackIsLow();

/// Raises for a call of `name` with a null pointer, or one that no memory can have: C's function would fault in its own state.
void leaveIfNowhere(const void *pointer, const char *name);

/// In the call thunk: the error, and the end of the exception and of those that it has overtaken. `entered` names the function
/// that was called, for a trap in what it jumped to.
llvm::Error takeTrap(TrapException *exception, llvm::function_ref<std::string()> entered);

} // namespace nomad
