// The contexts of <ucontext.h>: registers that code has saved, to go on with later. Code calls those functions through here, and
// what it has saved is remembered (I16), with the stacks that it goes to (other_stacks.h).
//
// Always true: memory of the program's is read as if it were gone; a context counts while what it goes on at is in it.
#pragma once

#include "base/address.h"

#include "llvm/ADT/STLFunctionalExtras.h"
#include "llvm/ADT/StringRef.h"

#include <optional>

namespace nomad {

/// A context that code has saved, at whatever stack pointer.
struct SavedContext {
  Address stackPointer;
  Range registers[3]; // those that calls keep, and where it goes on
};
/// Of all threads: a context can be resumed on any.
void everySavedContext(llvm::function_ref<void(const SavedContext &)> visit);

/// Our way to the process's function of that name, if it is one of those.
std::optional<Address> findContextFunction(llvm::StringRef name);

} // namespace nomad
