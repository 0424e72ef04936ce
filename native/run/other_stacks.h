// Stacks that are not their threads' own, and on which code may wait: <ucontext.h>'s coroutines, however they are switched. They
// are nobody's but the program's; so code calls what makes and changes stacks through here (I16).
//
// How far a stack is filled is known while the word is still there by which the call will return that left it. Else all of it
// counts. A coroutine is over when the word is gone by which its function returns.
//
// Always true: memory of the program's is read as if it were gone; handlers of signals may switch stacks, too, so none comes
// while this is locked.
#pragma once

#include "base/address.h"

#include "llvm/ADT/STLFunctionalExtras.h"

namespace nomad {

/// Code has given this to a coroutine, which has yet to begin.
void noteStack(Range stack);
/// Code goes on where the stack pointer is `to`; it is `from` now, and the word below is what the call returns by that does this.
void noteSwitch(Address from, Address to);

/// What may be waited on, of all threads: any of them can go on there. `visit` says whether it could read the stack; what it
/// could not is forgotten. False if code has gone to a stack of which nothing is known.
bool everyWaitingStack(llvm::function_ref<bool(Range)> visit);

} // namespace nomad
