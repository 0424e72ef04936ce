#include "compile/machine_passes.h"

#include "llvm/ADT/SmallPtrSet.h"
#include "llvm/CodeGen/MachineFunctionPass.h"
#include "llvm/CodeGen/MachineInstrBuilder.h"
#include "llvm/CodeGen/MachineJumpTableInfo.h"
#include "llvm/CodeGen/Passes.h"
#include "llvm/CodeGen/TargetInstrInfo.h"
#include "llvm/CodeGen/TargetPassConfig.h"
#include "llvm/CodeGen/TargetSubtargetInfo.h"
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

} // namespace

// LLVM calls whoever has registered for whatever machine, and has one list of them. We are on it once and for good: no lock is
// held while LLVM works, and work that is abandoned leaves nothing behind there.
void nomad::withMachinePasses(TargetMachine &machine, function_ref<void()> add) {
  thread_local const TargetMachine *ours = nullptr;
  auto addOurs = [](TargetMachine &each, legacy::PassManagerBase &, TargetPassConfig *config) {
    if (&each != ours)
      return;
    config->insertPass(&PrologEpilogCodeInserterID, IdentifyingPassPtr(new CleanFrames));
    config->insertPass(&FuncletLayoutID, IdentifyingPassPtr(new PartLabels)); // blocks have their order, and instructions
  };
  static auto *const registration = new RegisterTargetPassConfigCallback(addOurs);
  (void)registration;
  ours = &machine;
  add();
  ours = nullptr;
}
