// Machine passes of ours, so that fewer words on the stack look like addresses in code that will be used (I12).
//
//   CleanFrames  Frames are padded with zeros. LLVM aligns a frame by pushing whatever is in rax; often that is the label that a
//                jump table has just led to, and it would lie there for as long as the function waits.
//   PartLabels   No label that a table may lead to lies right behind a call: then what lies behind a call is a return address.
#pragma once

#include "llvm/IR/LegacyPassManager.h"
#include "llvm/Target/TargetMachine.h"

namespace nomad {

/// Makes `add` add the machine's passes for code generation with ours among them.
void withMachinePasses(llvm::TargetMachine &machine, llvm::function_ref<void()> add);

} // namespace nomad
