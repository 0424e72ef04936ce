// This machine as LLVM sees it: triple, data layout, CPU, and target machines set up for code that moves.
#pragma once

#include "llvm/IR/DataLayout.h"
#include "llvm/IR/Module.h"
#include "llvm/Support/Error.h"
#include "llvm/Target/TargetMachine.h"
#include "llvm/TargetParser/Triple.h"

#include <memory>

namespace nomad {

enum class OptLevel : unsigned { O0, O1, O2, O3 };

/// Finds out what this machine is; nothing below may be asked before. Runs recoverably. Errors: Codegen.
llvm::Error prepareMachine();

const llvm::Triple &machineTriple();
const llvm::DataLayout &machineDataLayout();

/// Takes CPU and feature names that LLVM doesn't know from functions. It ignores them anyway, but complains on stderr.
void dropUnknownTargetNames(llvm::Module &ir, const llvm::TargetMachine &machine);

/// Costly. Errors: what LLVM says.
llvm::Expected<std::unique_ptr<llvm::TargetMachine>> makeMachine(OptLevel level);

} // namespace nomad
