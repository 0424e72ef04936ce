#include "compile/frames.h"

#include "llvm/ADT/STLExtras.h"
#include "llvm/IR/InlineAsm.h"
#include "llvm/IR/InstIterator.h"
#include "llvm/IR/InstrTypes.h"
#include "llvm/IR/IntrinsicInst.h"

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

// ---- assembly that changes to another stack ----

bool isStackPointer(StringRef operand) {
  operand = operand.trim().ltrim('%');
  return operand == "rsp" || operand == "esp" || operand == "sp";
}

// Of AT&T's syntax the last operand is written, of Intel's the first one: either is looked at. What is counted from the stack or
// the frame pointer is on the same stack.
bool setsStackPointer(StringRef instruction) {
  auto [mnemonic, rest] = instruction.trim().split(' ');
  SmallVector<StringRef, 3> operands;
  rest.split(operands, ',');
  bool isWritten = isStackPointer(operands.front()) || isStackPointer(operands.back());
  if (mnemonic.starts_with("xchg") || mnemonic.starts_with("pop"))
    return isWritten;
  bool isLoaded = mnemonic.starts_with("mov") || mnemonic.starts_with("lea") || mnemonic.starts_with("cmov");
  if (!isLoaded || operands.size() < 2 || !isWritten)
    return false;
  bool isIntel = !rest.contains('%');
  StringRef target = isIntel ? operands.front() : operands.back(), source = isIntel ? operands.back() : operands.front();
  return isStackPointer(target) && !source.contains("rsp") && !source.contains("rbp");
}

bool switchesStacks(StringRef assembly) {
  std::string lower = assembly.lower();
  for (char &character : lower)
    if (character == '\t')
      character = ' ';
  SmallVector<StringRef, 16> lines;
  StringRef(lower).split(lines, '\n', -1, false);
  return any_of(lines, [](StringRef line) {
    SmallVector<StringRef, 4> instructions;
    line.split(instructions, ';', -1, false);
    return any_of(instructions, setsStackPointer);
  });
}

bool switchesStacks(const Instruction &instruction) {
  const auto *call = dyn_cast<CallBase>(&instruction);
  if (!call)
    return false;
  if (const auto *intrinsic = dyn_cast<IntrinsicInst>(call))
    return intrinsic->getIntrinsicID() == Intrinsic::write_register;
  const auto *assembly = dyn_cast<InlineAsm>(call->getCalledOperand());
  return assembly && (switchesStacks(assembly->getAsmString()) || StringRef(assembly->getConstraintString()).contains("{rsp}"));
}

bool switchesStacks(const llvm::Module &ir) {
  return switchesStacks(ir.getModuleInlineAsm()) || any_of(ir, [](const Function &function) {
           return any_of(instructions(function), [](const Instruction &each) { return switchesStacks(each); });
         });
}

} // namespace

ModuleFrames nomad::framesOf(const llvm::Module &ir, const OddFrames &odd) {
  ModuleFrames frames;
  if (hasFunctionsOfAssembly(ir))
    frames.usual = FrameKind::Unknown;
  frames.switchesStacks = switchesStacks(ir);
  for (const Function &function : ir) {
    if (function.isDeclarationForLinker())
      continue;
    auto found = odd.kinds.find(function.getName());
    FrameKind kind = found == odd.kinds.end() ? FrameKind::Plain : found->second;
    if (kind != frames.usual)
      frames.others.push_back({function.getName().str(), kind});
  }
  return frames;
}
