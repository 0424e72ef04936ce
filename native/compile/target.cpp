#include "compile/target.h"

#include "base/error.h"
#include "base/recovery.h"
#include "compile/this_machine.h"

#include "llvm/ADT/StringExtras.h"
#include "llvm/Config/llvm-config.h"
#include "llvm/ExecutionEngine/Orc/JITTargetMachineBuilder.h"
#include "llvm/MC/MCSubtargetInfo.h"
#include "llvm/Support/TargetSelect.h"
#include "llvm/Support/xxhash.h"

#include <atomic>

using namespace nomad;
using namespace llvm;

namespace {

CodeGenOptLevel codeGenLevel(OptLevel level) {
  switch (level) {
  case OptLevel::O0:
    return CodeGenOptLevel::None;
  case OptLevel::O1:
    return CodeGenOptLevel::Less;
  case OptLevel::O2:
    return CodeGenOptLevel::Default;
  case OptLevel::O3:
    return CodeGenOptLevel::Aggressive;
  }
  return CodeGenOptLevel::Default;
}

Expected<orc::JITTargetMachineBuilder> hostBuilder() {
  static const bool initialised = [] {
    InitializeNativeTarget();
    InitializeNativeTargetAsmPrinter();
    InitializeNativeTargetAsmParser(); // inline assembly
    return true;
  }();
  (void)initialised;
  return orc::JITTargetMachineBuilder::detectHost();
}

} // namespace

// Everything that moving code needs of code generation:
//  - position-independent, small code model: all references are relative or through a slot (I6);
//  - a section for each function and datum: what has no relocation stays inside one block;
//  - emulated TLS: thread-local variables need no TLS relocations, which could not move (pitfall 11).
Expected<std::unique_ptr<TargetMachine>> nomad::makeMachine(OptLevel level) {
  auto builder = hostBuilder();
  if (!builder)
    return builder.takeError();
  TargetOptions &options = builder->getOptions();
  options.FunctionSections = true;
  options.DataSections = true;
  options.UniqueSectionNames = true;
  options.EmulatedTLS = true;
  options.TrapUnreachable = true; // what can't be reached is no way into the next function, or into unwind records
  options.NoTrapAfterNoreturn = true;
  builder->setRelocationModel(Reloc::PIC_);
  builder->setCodeModel(CodeModel::Small);
  builder->setCodeGenOptLevel(codeGenLevel(level));
  return builder->createTargetMachine();
}

namespace {

// Set once, and not by a static initialiser: one that is abandoned would be under way for ever.
std::atomic<const TargetMachine *> preparedHost = nullptr;

const TargetMachine &targetOfThisMachine() {
  if (!preparedHost)
    if (Error error = prepareMachine())
      report_fatal_error(std::move(error), false);
  return *preparedHost;
}

} // namespace

Error nomad::prepareMachine() {
  if (preparedHost)
    return Error::success();
  bool abandoned = false;
  return runRecoverably(
      "this machine",
      []() -> Error {
        auto machine = makeMachine(OptLevel::O0);
        if (!machine)
          return withCode(ErrorCode::Codegen, "this machine can't be a target", machine.takeError());
        const TargetMachine *none = nullptr;
        if (preparedHost.compare_exchange_strong(none, machine->get()))
          (void)machine->release();
        return Error::success();
      },
      abandoned);
}

const Triple &nomad::machineTriple() { return targetOfThisMachine().getTargetTriple(); }

const Machine &nomad::thisMachine() {
  static const Machine machine{LLVM_VERSION_STRING, machineTriple().str(), targetOfThisMachine().getTargetCPU().str(),
                               xxh3_64bits(targetOfThisMachine().getTargetFeatureString())};
  return machine;
}

const DataLayout &nomad::machineDataLayout() {
  static const DataLayout layout = targetOfThisMachine().createDataLayout();
  return layout;
}

namespace {

bool isKnownFeature(const MCSubtargetInfo &subtarget, StringRef signedName) {
  StringRef name = signedName.drop_front();
  return any_of(subtarget.getAllProcessorFeatures(), [=](const SubtargetFeatureKV &feature) { return name == feature.Key; });
}

void dropUnknownFeatures(Function &function, const MCSubtargetInfo &subtarget) {
  SmallVector<StringRef> features;
  function.getFnAttribute("target-features").getValueAsString().split(features, ',', -1, false);
  size_t before = features.size();
  erase_if(features, [&](StringRef feature) { return !isKnownFeature(subtarget, feature); });
  if (features.size() != before)
    function.addFnAttr("target-features", join(features, ","));
}

} // namespace

void nomad::dropUnknownTargetNames(Module &ir, const TargetMachine &machine) {
  const MCSubtargetInfo &subtarget = *machine.getMCSubtargetInfo();
  for (Function &function : ir) {
    for (StringRef name : {"target-cpu", "tune-cpu"})
      if (function.hasFnAttribute(name) && !subtarget.isCPUStringValid(function.getFnAttribute(name).getValueAsString()))
        function.removeFnAttr(name);
    if (function.hasFnAttribute("target-features"))
      dropUnknownFeatures(function, subtarget);
  }
}
