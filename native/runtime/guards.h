// Guards of function-local statics. A trap in an initialiser leaves the guard as it is: it runs no cleanup in the function that
// failed. libstdc++ would wait for ever at the next call. So a guard says which thread has it, and gives it to that thread again.
#pragma once

#include "base/address.h"

#include "llvm/ADT/StringRef.h"

#include <optional>

namespace nomad {

/// Our way to `__cxa_guard_acquire`, `__cxa_guard_release` or `__cxa_guard_abort`, if that is the name.
std::optional<Address> findGuardFunction(llvm::StringRef name);

} // namespace nomad
