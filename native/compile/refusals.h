// Valid IR that can't be run here, refused by name before any work is done on it.
//
// What only the object file shows (what assembly does, mostly) is refused there: see object_check.h.
#pragma once

#include "compile/movable_module.h"

#include "llvm/IR/Module.h"
#include "llvm/Support/Error.h"

namespace nomad {

/// Errors: Unsupported, naming what it is and the symbol that it is about. Before the module is changed.
llvm::Error refuseUnsupported(const llvm::Module &ir, Moves moves);

} // namespace nomad
