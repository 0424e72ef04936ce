// Machine passes of ours, so that fewer words on the stack look like addresses in code that will be used (I12).
//
//   CleanFrames  Frames are padded with zeros. LLVM aligns a frame by pushing whatever is in rax; often that is the label that a
//                jump table has just led to, and it would lie there for as long as the function waits.
//   PartLabels   No label that a table may lead to comes right after a call: then the address after a call is a return address.
//   ProveFrames  Last: looks at what each function does with rbp and rsp, and names those whose frames are not plain.
#pragma once

#include "compile/frames.h"

#include "llvm/IR/LegacyPassManager.h"
#include "llvm/Target/TargetMachine.h"

namespace nomad {

/// Makes `add` add the machine's passes for code generation with ours among them. They write to `odd`, which outlives them.
void withMachinePasses(llvm::TargetMachine &machine, OddFrames &odd, llvm::function_ref<void()> add);

} // namespace nomad
