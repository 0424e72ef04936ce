// Functions of which only the jump is ours: what they jump to is known when the code is loaded.
//
//   ifunc        jmp *slot(%rip)     the slot has what the resolver returned, right after the first placement
//   near thunk   jmp f               the linker goes through a slot where f is far
//
// Registers and stack stay as the caller left them: any calling convention, any arguments.
#pragma once

#include "llvm/IR/Module.h"

namespace nomad {

/// Makes ifuncs ordinary functions, and a constructor that asks their resolvers. Before anything is optimised.
void lowerIFuncs(llvm::Module &ir);

/// A function of this module that does what `function` of another does: its address is near.
llvm::Function &nearThunk(llvm::Module &ir, const llvm::Function &function);

} // namespace nomad
