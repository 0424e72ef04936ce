// What an object file has that can't move, or that this JIT would not honour, refused by name. Of the compiler's own there is
// nothing of that kind: it is what assembly does, and initial values that do not fit.
#pragma once

#include "llvm/ADT/StringRef.h"
#include "llvm/IR/Module.h"
#include "llvm/Support/Error.h"

namespace nomad {

/// `ir` is what the object file was generated from. Errors: Unsupported; Codegen if it is no object file.
llvm::Error checkObject(llvm::StringRef object, const llvm::Module &ir);

} // namespace nomad
