#include "compile/frames.h"

#include "llvm/ADT/STLExtras.h"
#include "llvm/ADT/StringExtras.h"
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

bool isRegister(StringRef operand, StringRef name) { return operand.trim().ltrim('%') == name; }

bool isStackPointer(StringRef operand) {
  return isRegister(operand, "rsp") || isRegister(operand, "esp") || isRegister(operand, "sp");
}

bool isConstant(StringRef operand) {
  operand = operand.trim().ltrim('$').ltrim('-');
  return !operand.empty() && isDigit(operand.front());
}

StringRef withoutLabels(StringRef instruction) {
  for (size_t colon; (colon = instruction.find(':')) != StringRef::npos;) {
    StringRef label = instruction.take_front(colon).trim();
    if (label.empty() || label.find_first_of(" ,%()[]") != StringRef::npos) // a segment's
      break;
    instruction = instruction.drop_front(colon + 1);
  }
  return instruction.trim();
}

// An instruction of AT&T's syntax, which writes its last operand, or of Intel's, which writes its first one.
struct AssemblyLine {
  StringRef mnemonic, source, target;
  size_t operands;

  explicit AssemblyLine(StringRef text) {
    auto [first, rest] = withoutLabels(text).split(' ');
    SmallVector<StringRef, 3> parts;
    rest.split(parts, ',');
    bool isIntel = !rest.contains('%');
    mnemonic = first;
    source = isIntel ? parts.back() : parts.front();
    target = isIntel ? parts.front() : parts.back();
    operands = parts.size();
  }
  bool is(StringRef name) const { return mnemonic.starts_with(name); }
  bool isLoad() const { return is("mov") || is("lea") || is("xchg") || is("cmov"); }
};

/// What assembly does to the stack pointer.
struct StackChanges {
  bool isOther = false;    // it may be another stack's
  bool isFrame = false;    // what is in rbp
  bool isFrameSet = false; // rbp, from something else than the stack pointer

  bool mayBeOther() const { return isOther || (isFrame && isFrameSet); }
  void note(const AssemblyLine &instruction);
};

// What is counted from the stack pointer, or from a frame pointer that was, is on the same stack.
void StackChanges::note(const AssemblyLine &instruction) {
  auto [mnemonic, source, target, operands] = instruction;
  if (mnemonic.starts_with(".")) // a directive
    return;
  isFrame |= mnemonic == "leave" || mnemonic == "leaveq";
  isFrameSet |= isRegister(target, "rbp") && instruction.isLoad() && !isStackPointer(source) && !source.contains("rsp");
  bool isSource = isStackPointer(source), isTarget = isStackPointer(target);
  if (operands < 2) {
    isOther |= isTarget && !instruction.is("push");
    return;
  }
  isOther |= instruction.is("xchg") && (isSource || isTarget);
  if (!isTarget || instruction.is("cmp") || instruction.is("test"))
    return;
  bool isAdjusted = instruction.is("add") || instruction.is("sub") || instruction.is("and");
  bool isCopy = instruction.is("mov") && (isSource || isRegister(source, "rbp"));
  bool isCounted = instruction.is("lea") && operands == 2 && (source.contains("rsp") || source.contains("rbp"));
  isFrame |= (isCopy || isCounted) && source.contains("rbp");
  isOther |= !isCopy && !isCounted && !(isAdjusted && isConstant(source));
}

// In lower case, with spaces for tabs and comments. `/` begins one only as /* or //.
std::string plainAssembly(StringRef assembly) {
  std::string plain;
  for (size_t at = 0; at < assembly.size(); ++at) {
    StringRef rest = assembly.drop_front(at);
    bool isLine = rest.starts_with("#") || rest.starts_with("//"), isBlock = rest.starts_with("/*");
    if (isLine || isBlock) {
      size_t end = rest.find(isBlock ? "*/" : "\n");
      at = end == StringRef::npos ? assembly.size() : at + end + (isBlock ? 1 : 0) - (isLine ? 1 : 0);
      plain += ' ';
      continue;
    }
    plain += assembly[at] == '\t' ? ' ' : toLower(assembly[at]);
  }
  return plain;
}

bool switchesStacks(StringRef assembly) {
  std::string plain = plainAssembly(assembly);
  SmallVector<StringRef, 16> lines, instructions;
  StringRef(plain).split(lines, '\n', -1, false);
  for (StringRef line : lines)
    line.split(instructions, ';', -1, false);
  StackChanges changes;
  for (StringRef instruction : instructions)
    changes.note(AssemblyLine(instruction));
  return changes.mayBeOther();
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

ModuleFrames nomad::moduleFramesOf(const llvm::Module &ir, const OddFrames &odd) {
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
