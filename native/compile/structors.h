// Constructors and destructors, from wherever a module lists them, become two functions; and `atexit`.
#pragma once

#include "llvm/IR/Module.h"
#include "llvm/Support/Error.h"

namespace nomad {

/// Runs before all other constructors, whatever their priority; see indirect_functions.h.
constexpr llvm::StringLiteral resolverName = "nomad.resolve";

/// Defines `initializerName` and `finalizerName` where there is something to run.
/// Errors: Unsupported for an entry that is no function.
llvm::Error defineStructors(llvm::Module &ir);

/// glibc has atexit only in its static part: a call of __cxa_atexit with the caller's own handle. The handle says whose handlers
/// die with whom, so each module gets its own definition, as with glibc.
void defineAtexit(llvm::Module &ir);

} // namespace nomad
