// Does code handle signals? It installs its handlers through here. If so, more has to be done: a handler may run at any time.
#pragma once

#include "base/address.h"

#include "llvm/ADT/StringRef.h"

#include <atomic>
#include <optional>

namespace nomad {

/// Some code of the process has installed a handler.
inline std::atomic<bool> codeHandlesSignals = false;

/// Our way to the process's function of that name, if it is one that installs a handler.
std::optional<Address> findHandlerFunction(llvm::StringRef name);

} // namespace nomad
