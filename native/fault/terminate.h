// std::terminate, where the runtime of C++ calls it for code: `throw;` with nothing to throw, an exception on a coroutine's stack
// that is not caught, a violated exception specification. It ends the process elsewhere, and here the call (fault/trap.h).
#pragma once

#include "base/address.h"

#include "llvm/ADT/StringRef.h"

#include <optional>

namespace nomad {

/// Puts ours in front of the process's handler. Code that is lost goes to its own handler first, if it has one.
void listenForTerminate();

/// Our way to the function of that name: `std::terminate`, and what exchanges its handler. Code's is ours to call: the process's
/// would be called for all, and when code is gone.
std::optional<Address> findTerminate(llvm::StringRef name);

} // namespace nomad
