// Compiling in a helper process (native/reader): LLVM may crash there, hang, or take what memory it wants without harm here.
//
// In: source and request. Out: the same object file as a compile in this process gives, or an error. Helper processes are started
// as they are needed, one for each compile that is under way, and kept for the next; each ends with this process.
#pragma once

#include "compile/object_file.h"

namespace nomad {

/// Safe from several threads. Errors: those of compileSource; Codegen also if the helper process ends, is interrupted or can't be
/// started, or if the request's limits are passed.
llvm::Expected<ObjectFile> compileIsolated(llvm::StringRef source, const CompileRequest &request);

} // namespace nomad
