#include "compile/clean_frames.h"

#include "llvm/CodeGen/MachineFunctionPass.h"
#include "llvm/CodeGen/MachineInstrBuilder.h"
#include "llvm/CodeGen/Passes.h"
#include "llvm/CodeGen/TargetInstrInfo.h"
#include "llvm/CodeGen/TargetPassConfig.h"
#include "llvm/CodeGen/TargetSubtargetInfo.h"
#include "llvm/Target/RegisterTargetPassConfigCallback.h"

#include <mutex>

using namespace nomad;
using namespace llvm;

namespace {

// The target's own enumerations are not among LLVM's headers, but its names are.
unsigned opcodeOf(const TargetInstrInfo &instructions, StringRef name) {
  for (unsigned opcode = 0; opcode < instructions.getNumOpcodes(); ++opcode)
    if (instructions.getName(opcode) == name)
      return opcode;
  return 0; // PHI, which is in no frame
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
    return instruction.getOpcode() == pushRegister_ && pushZero_ != 0 && instruction.getFlag(MachineInstr::FrameSetup) &&
           instruction.getOperand(0).isUndef();
  }

  static char id;
  unsigned pushRegister_ = 0;
  unsigned pushZero_ = 0;
};

char CleanFrames::id = 0;

} // namespace

// LLVM calls whoever has registered for whatever machine, and has one list of them.
void nomad::withCleanFrames(TargetMachine &machine, function_ref<void()> add) {
  static std::mutex mutex;
  std::lock_guard lock(mutex);
  RegisterTargetPassConfigCallback callback([&](TargetMachine &each, legacy::PassManagerBase &, TargetPassConfig *config) {
    if (&each == &machine)
      config->insertPass(&PrologEpilogCodeInserterID, IdentifyingPassPtr(new CleanFrames));
  });
  add();
}
