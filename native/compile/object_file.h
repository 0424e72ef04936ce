// A module -> an object file for this machine, in which everything a move must know is visible.
#pragma once

#include "compile/exports.h"
#include "compile/interruption.h"
#include "compile/module.h"
#include "compile/movable_module.h"
#include "compile/pipeline.h"

#include "llvm/Support/MemoryBuffer.h"

#include <string>
#include <vector>

namespace nomad {

/// Of a compile in a helper process; 0 is none.
struct CompileLimits {
  std::uint64_t milliseconds = 0;
  std::uint64_t bytes = 0; // of memory, besides what the helper process has already
};

struct CompileRequest {
  std::string name; // in messages
  OptLevel level = OptLevel::O2;
  Moves moves = Moves::Code;
  Granularity granularity = Granularity::Module;
  std::vector<std::string> ownFunctions = {}; // declared ones of these names are not C's (compile/own_functions.h)
  bool isIsolated = false;                    // by a helper process (compile/isolated_compile.h)
  CompileLimits limits = {};                  // only then
  Interruption *interruption = nullptr;       // only then; null: it is waited for
};

struct ObjectFile {
  std::unique_ptr<llvm::MemoryBuffer> bytes;
  Exports exports;
};

/// Parses, verifies, optimises, generates code, here or in a helper process. Safe from several threads; survives LLVM's fatal
/// errors (I14).
/// Errors: IRParse, IRVerify, Unsupported, Codegen.
llvm::Expected<ObjectFile> compileSource(llvm::StringRef source, const CompileRequest &request, TargetMachinePool &machines);

/// The same for a module that is already built. It is used up.
llvm::Expected<ObjectFile> compileModule(ParsedModule module, const CompileRequest &request, TargetMachinePool &machines);

} // namespace nomad
