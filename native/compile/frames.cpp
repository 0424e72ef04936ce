#include "compile/frames.h"

#include "llvm/ADT/STLExtras.h"
#include "llvm/IR/InlineAsm.h"
#include "llvm/IR/InstIterator.h"
#include "llvm/IR/InstrTypes.h"

using namespace nomad;
using namespace llvm;

namespace {

// Inline assembly that goes to another section may define functions there.
bool leavesItsFunction(const Instruction &instruction) {
  const auto *call = dyn_cast<CallBase>(&instruction);
  const auto *assembly = call ? dyn_cast<InlineAsm>(call->getCalledOperand()) : nullptr;
  if (!assembly)
    return false;
  StringRef text = assembly->getAsmString();
  return any_of(ArrayRef<StringRef>{"section", ".text", ".previous"}, [=](StringRef part) { return text.contains(part); });
}

bool hasFunctionsOfAssembly(const llvm::Module &ir) {
  return !ir.getModuleInlineAsm().empty() ||
         any_of(ir, [](const Function &function) { return any_of(instructions(function), leavesItsFunction); });
}

} // namespace

ModuleFrames nomad::framesOf(const llvm::Module &ir, const OddFrames &odd) {
  ModuleFrames frames;
  if (hasFunctionsOfAssembly(ir))
    frames.usual = FrameKind::Unknown;
  for (const Function &function : ir) {
    if (function.isDeclarationForLinker())
      continue;
    auto found = odd.find(function.getName());
    FrameKind kind = found == odd.end() ? FrameKind::Plain : found->second;
    if (kind != frames.usual)
      frames.others.push_back({function.getName().str(), kind});
  }
  return frames;
}
