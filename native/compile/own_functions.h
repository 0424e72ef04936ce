// Functions that have the name of one of C's library and are not that one.
//
// LLVM takes a function of such a name for C's: it folds calls of it, drops them, and makes some. But only what comes from the
// process is C's. What a module defines and what a client imports or defines under such a name is what is called, at every level
// of optimisation: `abs`, `floor` and `puts` are words of other languages too.
#pragma once

#include "llvm/ADT/ArrayRef.h"
#include "llvm/ADT/StringRef.h"
#include "llvm/IR/Module.h"

#include <string>

namespace nomad {

/// Whether LLVM knows a function of C's library, or of C++'s, by this name.
bool isLibraryFunction(llvm::StringRef name);

/// LLVM will not know the functions that `ir` defines, nor those of `names`, which are library functions' and need not be there.
void disownLibrary(llvm::Module &ir, llvm::ArrayRef<std::string> names);

} // namespace nomad
