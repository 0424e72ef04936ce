// What C's library does when a program is lost: it ends the process. Where code is lost, only its call is.
//
// Always true: these return only where no call thunk can be reached (another thread, code entered by C); then libc's runs.
#pragma once

#include "base/address.h"

#include "llvm/ADT/StringRef.h"

#include <optional>

namespace nomad {

/// Our way to the function of that name, if it is `abort` or one of its like.
std::optional<Address> findAbort(llvm::StringRef name);

} // namespace nomad
