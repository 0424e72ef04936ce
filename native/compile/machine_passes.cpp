#include "compile/machine_passes.h"

#include "llvm/ADT/SmallPtrSet.h"
#include "llvm/CodeGen/MachineFrameInfo.h"
#include "llvm/CodeGen/MachineFunctionPass.h"
#include "llvm/CodeGen/MachineInstrBuilder.h"
#include "llvm/CodeGen/MachineJumpTableInfo.h"
#include "llvm/CodeGen/Passes.h"
#include "llvm/CodeGen/TargetInstrInfo.h"
#include "llvm/CodeGen/TargetPassConfig.h"
#include "llvm/CodeGen/TargetRegisterInfo.h"
#include "llvm/CodeGen/TargetSubtargetInfo.h"
#include "llvm/IR/InlineAsm.h"
#include "llvm/IR/InstIterator.h"
#include "llvm/IR/IntrinsicInst.h"
#include "llvm/Target/RegisterTargetPassConfigCallback.h"

using namespace nomad;
using namespace llvm;

namespace {

// The target's own enumerations are not among LLVM's headers, but its names are.
unsigned opcodeOf(const TargetInstrInfo &instructions, StringRef name) {
  for (unsigned opcode = 0; opcode < instructions.getNumOpcodes(); ++opcode)
    if (instructions.getName(opcode) == name)
      return opcode;
  report_fatal_error("this LLVM has no instruction " + name, false);
}

class CleanFrames : public MachineFunctionPass {
public:
  CleanFrames() : MachineFunctionPass(id) {}

  StringRef getPassName() const override { return "Pad frames with zeros"; }

  bool runOnMachineFunction(MachineFunction &function) override {
    const TargetInstrInfo &instructions = *function.getSubtarget().getInstrInfo();
    if (pushRegister_ == 0) {
      pushRegister_ = opcodeOf(instructions, "PUSH64r");
      pushZero_ = opcodeOf(instructions, "PUSH64i8");
    }
    bool changed = false;
    for (MachineBasicBlock &block : function)
      for (MachineInstr &instruction : make_early_inc_range(block))
        if (isPadding(instruction)) {
          BuildMI(block, instruction, instruction.getDebugLoc(), instructions.get(pushZero_))
              .addImm(0)
              .setMIFlag(MachineInstr::FrameSetup);
          instruction.eraseFromParent();
          changed = true;
        }
    return changed;
  }

private:
  // Pushed to be popped: what it holds does not matter.
  bool isPadding(const MachineInstr &instruction) const {
    return instruction.getOpcode() == pushRegister_ && instruction.getFlag(MachineInstr::FrameSetup) &&
           instruction.getOperand(0).isUndef();
  }

  static char id;
  unsigned pushRegister_ = 0;
  unsigned pushZero_ = 0;
};

char CleanFrames::id = 0;

class PartLabels : public MachineFunctionPass {
public:
  PartLabels() : MachineFunctionPass(id) {}

  StringRef getPassName() const override { return "Part labels from the calls before them"; }

  bool runOnMachineFunction(MachineFunction &function) override {
    const TargetInstrInfo &instructions = *function.getSubtarget().getInstrInfo();
    if (noOperation_ == 0)
      noOperation_ = opcodeOf(instructions, "NOOP");
    SmallPtrSet<const MachineBasicBlock *, 16> labels = labelsOf(function);
    MachineInstr *last = nullptr;
    bool changed = false;
    for (MachineBasicBlock &block : function) {
      if (last && last->isCall() && !last->isReturn() && labels.contains(&block)) {
        MachineBasicBlock &before = *last->getParent();
        BuildMI(before, std::next(last->getIterator()), last->getDebugLoc(), instructions.get(noOperation_));
        changed = true;
      }
      for (MachineInstr &instruction : block)
        if (!instruction.isMetaInstruction())
          last = &instruction;
    }
    return changed;
  }

private:
  static SmallPtrSet<const MachineBasicBlock *, 16> labelsOf(const MachineFunction &function) {
    SmallPtrSet<const MachineBasicBlock *, 16> labels;
    if (const MachineJumpTableInfo *tables = function.getJumpTableInfo())
      for (const MachineJumpTableEntry &table : tables->getJumpTables())
        labels.insert(table.MBBs.begin(), table.MBBs.end());
    for (const MachineBasicBlock &block : function)
      if (block.hasAddressTaken())
        labels.insert(&block);
    return labels;
  }

  static char id;
  unsigned noOperation_ = 0;
};

char PartLabels::id = 0;

// ---- which frames are plain ----

// Assembly that calls: where the stack is then, only the assembly knows.
bool mayCall(const MachineInstr &assembly) {
  std::string text = StringRef(assembly.getOperand(InlineAsm::MIOp_AsmString).getSymbolName()).lower();
  return any_of(ArrayRef<StringRef>{"call", "jmp", "ret", "syscall", ".byte", ".quad", ".long", ".inst"},
                [&](StringRef part) { return StringRef(text).contains(part); });
}

// Then the program can write another return address there.
bool findsReturnSlot(const Instruction &instruction) {
  const auto *intrinsic = dyn_cast<IntrinsicInst>(&instruction);
  return intrinsic && intrinsic->getIntrinsicID() == Intrinsic::addressofreturnaddress;
}

class ProveFrames : public MachineFunctionPass {
public:
  explicit ProveFrames(OddFrames &odd) : MachineFunctionPass(id), odd_(odd) {}

  StringRef getPassName() const override { return "Prove that frames are plain"; }

  bool runOnMachineFunction(MachineFunction &function) override {
    const TargetInstrInfo &instructions = *function.getSubtarget().getInstrInfo();
    registers_ = function.getSubtarget().getRegisterInfo();
    framePointer_ = registers_->getLLVMRegNum(6, /*isEH=*/true).value_or(MCRegister());
    stackPointer_ = registers_->getLLVMRegNum(7, /*isEH=*/true).value_or(MCRegister());
    if (pushRegister_ == 0) {
      pushRegister_ = opcodeOf(instructions, "PUSH64r");
      moveRegister_ = opcodeOf(instructions, "MOV64rr");
      loadAddress_ = opcodeOf(instructions, "LEA64r");
    }
    if (FrameKind kind = kindOf(function); kind != FrameKind::Plain)
      odd_.kinds[function.getName()] = kind;
    if (losesRegister(function))
      odd_.losingRegisters.push_back(function.getName().str());
    return false;
  }

private:
  FrameKind kindOf(const MachineFunction &function) const {
    if (isBeyondRecords(function))
      return FrameKind::Unknown;
    if (!isPlain(function))
      return FrameKind::Recorded;
    return function.getFrameInfo().isReturnAddressTaken() ? FrameKind::Copied : FrameKind::Plain;
  }

  // Unwind records don't say where its caller is, or the program may have put another return address there.
  bool isBeyondRecords(const MachineFunction &function) const {
    const Function &ir = function.getFunction();
    if (ir.hasFnAttribute(Attribute::Naked) || ir.hasFnAttribute("split-stack") || ir.hasFnAttribute("hipe"))
      return true;
    // Its frame holds rbp with a bit set, and its records don't say so.
    if (any_of(ir.args(), [](const Argument &argument) { return argument.hasAttribute(Attribute::SwiftAsync); }))
      return true;
    if (any_of(instructions(ir), findsReturnSlot))
      return true;
    for (const MachineBasicBlock &block : function)
      for (const MachineInstr &instruction : block)
        if (instruction.isInlineAsm() ? mayCall(instruction) : changesFramePointer(instruction))
          return true;
    return false;
  }

  // Then rbp is not what the records count from while something is called. Around assembly LLVM saves it.
  bool changesFramePointer(const MachineInstr &instruction) const {
    bool isOfFrame = instruction.getFlag(MachineInstr::FrameSetup) || instruction.getFlag(MachineInstr::FrameDestroy);
    return !isOfFrame && !instruction.isReturn() && !instruction.isMetaInstruction() &&
           instruction.modifiesRegister(framePointer_, registers_);
  }

  // Where the stack is aligned anew and its size is not known, a register says where the function's arguments are, from before
  // anything has been saved until the function returns.
  bool losesRegister(const MachineFunction &function) const {
    for (const MachineInstr &instruction : function.front())
      if (instruction.getOpcode() == loadAddress_ && instruction.getFlag(MachineInstr::FrameSetup) &&
          instruction.getOperand(0).getReg() != framePointer_ && instruction.getOperand(1).isReg() &&
          instruction.getOperand(1).getReg() == stackPointer_)
        return isForCaller(function, instruction.getOperand(0).getReg());
    return false;
  }

  // Kept for the caller, or for the result.
  bool isForCaller(const MachineFunction &function, Register reg) const {
    for (const MCPhysReg *kept = registers_->getCalleeSavedRegs(&function); *kept != 0; ++kept)
      if (*kept == reg)
        return true;
    return any_of(function, [&](const MachineBasicBlock &block) {
      return any_of(block, [&](const MachineInstr &each) { return each.isReturn() && each.readsRegister(reg, registers_); });
    });
  }

  bool isPlain(const MachineFunction &function) const {
    unsigned frames = 0;
    for (const MachineBasicBlock &block : function) {
      bool isBefore = true; // nothing has been pushed in this block, and nothing called
      for (auto instruction = block.begin(); instruction != block.end(); ++instruction) {
        if (isBefore && beginsFrame(block, instruction)) {
          ++frames;
          isBefore = false;
          instruction = next(block, instruction);
          continue;
        }
        isBefore = isBefore && !isFirst(*instruction);
        if (!instruction->getFlag(MachineInstr::FrameSetup))
          continue;
        if (instruction->modifiesRegister(framePointer_, registers_) ||
            (frames == 0 && instruction->modifiesRegister(stackPointer_, registers_)))
          return false;
      }
    }
    return frames == 1;
  }

  // push %rbp; mov %rsp, %rbp
  bool beginsFrame(const MachineBasicBlock &block, MachineBasicBlock::const_iterator push) const {
    if (push->getOpcode() != pushRegister_ || !push->getFlag(MachineInstr::FrameSetup) ||
        push->getOperand(0).getReg() != framePointer_)
      return false;
    auto move = next(block, push);
    return move != block.end() && move->getOpcode() == moveRegister_ && move->getFlag(MachineInstr::FrameSetup) &&
           move->getOperand(0).getReg() == framePointer_ && move->getOperand(1).getReg() == stackPointer_;
  }

  // The next one that is machine code.
  static MachineBasicBlock::const_iterator next(const MachineBasicBlock &block, MachineBasicBlock::const_iterator from) {
    do
      ++from;
    while (from != block.end() && from->isMetaInstruction());
    return from;
  }

  // What may be waited for: before the frame is there, the return slot is elsewhere. Some of them are no calls yet.
  static bool isFirst(const MachineInstr &instruction) {
    switch (instruction.getOpcode()) {
    case TargetOpcode::FENTRY_CALL:
    case TargetOpcode::PATCHABLE_FUNCTION_ENTER:
    case TargetOpcode::PATCHABLE_OP:
      return true;
    default:
      return instruction.isCall() || instruction.isInlineAsm();
    }
  }

  static char id;
  OddFrames &odd_;
  const TargetRegisterInfo *registers_ = nullptr;
  MCRegister framePointer_, stackPointer_;
  unsigned pushRegister_ = 0;
  unsigned moveRegister_ = 0;
  unsigned loadAddress_ = 0;
};

char ProveFrames::id = 0;

} // namespace

// LLVM calls everything that is registered, for every machine, and has one list of it. We are on it once and for good: no lock is
// held while LLVM works, and abandoned work leaves nothing there.
void nomad::withMachinePasses(TargetMachine &machine, OddFrames &odd, function_ref<void()> add) {
  thread_local const TargetMachine *ours = nullptr;
  thread_local OddFrames *findings = nullptr;
  auto addOurs = [](TargetMachine &each, legacy::PassManagerBase &, TargetPassConfig *config) {
    if (&each != ours)
      return;
    config->insertPass(&PrologEpilogCodeInserterID, IdentifyingPassPtr(new CleanFrames));
    config->insertPass(&FuncletLayoutID, IdentifyingPassPtr(new PartLabels)); // blocks have their order, and instructions
    config->insertPass(&FuncletLayoutID, IdentifyingPassPtr(new ProveFrames(*findings)));
  };
  static auto *const registration = new RegisterTargetPassConfigCallback(addOurs);
  (void)registration;
  ours = &machine;
  findings = &odd;
  add();
  ours = nullptr;
}
