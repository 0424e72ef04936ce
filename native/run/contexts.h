// Code that is suspended on a stack of its own: <ucontext.h>'s coroutines. Such stacks are nobody's but the program's; so code
// calls makecontext and swapcontext through here, and what they were given is remembered (I16).
//
// Always true: memory of the program's is read as if it were gone; a context counts as suspended while the word below its stack
// pointer is still what it returns to, which its next call overwrites.
#pragma once

#include "base/address.h"

#include "llvm/ADT/STLFunctionalExtras.h"
#include "llvm/ADT/StringRef.h"

#include <optional>

namespace nomad {

/// What a suspended context has of code.
struct SuspendedContext {
  Range registers;
  Address stackPointer;
  std::optional<Range> stack; // from its stack pointer on; none if nobody knows where its stack ends
};

/// Of all threads: a context can be resumed on any.
void everySuspendedContext(llvm::function_ref<void(const SuspendedContext &)> visit);

/// Our way to the process's function of that name, if it is one of those.
std::optional<Address> findContextFunction(llvm::StringRef name);

} // namespace nomad
