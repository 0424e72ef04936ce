// Stacks that are not their threads' own, and on which code may wait: <ucontext.h>'s coroutines, however they are switched. They
// belong to the program alone; so code calls what makes and changes stacks through here (I16).
//
// How far a stack is filled is known while the word is still there by which the call will return that left it. Else all of it
// counts. A coroutine is over when the word is gone by which its function returns.
//
// A coroutine's stack may lie in an array of a frame that waits: then code waits on both sides of it, and nothing is known.
//
// Always true: memory of the program's is read as if it were gone; handlers of signals may call everything here.
#pragma once

#include "stack/unwind_from.h"

#include "llvm/ADT/STLFunctionalExtras.h"

#include <optional>
#include <ucontext.h>

namespace nomad {

/// Before handlers of signals come.
void prepareOtherStacks();

/// Code gives `stack` to a coroutine, which will begin at `context` with `function`. `from`: its stack pointer.
void noteStack(Range stack, const ucontext_t *context, Address function, Address from);
/// How a stack is left: it can be gone on with at `from`; or somewhere further out, if at all; or its coroutine has ended.
enum class Leaving { Saved, Dropped, Over };
/// Code goes on where the stack pointer is `to`. The call that does this would return to `from`.
void noteSwitch(const FrameContext &from, Address to, Leaving leaving);
/// Where this thread's own stack was left for another one, while the word is there by which that call returns.
std::optional<FrameContext> ownStackWaitsAt();
/// It goes on, with the signals blocked that were when it was left, and nothing returns to what runs on this one.
void returnToOwnStack();

/// A stack that may be waited on.
struct WaitingStack {
  Range all;
  Range filled;
};
/// Of all threads: any of them can go on there. `visit` says whether it could read the stack; what it could not is forgotten.
/// False if code may wait on an unknown stack.
bool everyWaitingStack(llvm::function_ref<bool(const WaitingStack &)> visit);
/// The coroutine's stack that the stack pointer is on, or up to `beyond` bytes below, if there is one.
std::optional<Range> otherStackAt(Address stackPointer, Size beyond = 0);
/// Is it what the function of a coroutine returns to? That is glibc's, which goes on with the coroutine's `uc_link`; or ours, in
/// front of it.
bool isBeginOfCoroutine(Address instruction);

} // namespace nomad
