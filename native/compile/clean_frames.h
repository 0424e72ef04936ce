// A machine pass of ours: frames are padded with zeros.
//
// LLVM aligns a frame by pushing whatever is in rax; often that is the label that a jump table has just led to. It would lie in
// the frame for as long as the function waits, and the walk of the stack could not tell it from one that will be used (I12).
#pragma once

#include "llvm/IR/LegacyPassManager.h"
#include "llvm/Support/Error.h"
#include "llvm/Target/TargetMachine.h"

namespace nomad {

/// Makes `add` add the machine's passes for code generation, with ours among them.
void withCleanFrames(llvm::TargetMachine &machine, llvm::function_ref<void()> add);

} // namespace nomad
