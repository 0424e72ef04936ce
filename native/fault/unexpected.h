// Exception specifications of C++14 (`throw(int)`) in code that moves.
//
// libstdc++ asks the tables of the function that has one whether another exception may go on, after it has run code that may move
// that function, and their address is from before. So code calls it through here, when all that may move it is over.
#pragma once

#include "base/address.h"

#include "llvm/ADT/StringRef.h"

#include <optional>

namespace nomad {

/// Our way to `__cxa_call_unexpected`, if that is the name.
std::optional<Address> findCallUnexpected(llvm::StringRef name);

} // namespace nomad
