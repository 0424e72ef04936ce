// A module -> an object file for this machine, in which everything a move must know is visible.
#pragma once

#include "compile/exports.h"
#include "compile/module.h"
#include "compile/movable_module.h"
#include "compile/pipeline.h"

#include "llvm/Support/MemoryBuffer.h"

#include <string>
#include <vector>

namespace nomad {

struct CompileRequest {
  std::string name; // in messages
  OptLevel level = OptLevel::O2;
  Moves moves = Moves::Code;
  Granularity granularity = Granularity::Module;
  std::vector<std::string> ownFunctions = {}; // declared ones of these names are not C's (compile/own_functions.h)
};

struct ObjectFile {
  std::unique_ptr<llvm::MemoryBuffer> bytes;
  Exports exports;
};

/// Parses, verifies, optimises, generates code. Safe from several threads; survives LLVM's fatal errors (I14).
/// Errors: IRParse, IRVerify, Unsupported, Codegen.
llvm::Expected<ObjectFile> compileSource(llvm::StringRef source, const CompileRequest &request, TargetMachinePool &machines);

/// The same for a module that is already built. It is used up.
llvm::Expected<ObjectFile> compileModule(ParsedModule module, const CompileRequest &request, TargetMachinePool &machines);

} // namespace nomad
