#include "compile/target.h"

#include "base/error.h"
#include "compile/host.h"

#include "llvm/ADT/StringExtras.h"
#include "llvm/Config/llvm-config.h"
#include "llvm/ExecutionEngine/Orc/JITTargetMachineBuilder.h"
#include "llvm/MC/MCSubtargetInfo.h"
#include "llvm/Support/TargetSelect.h"
#include "llvm/Support/xxhash.h"

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
//  - emulated TLS: thread-local variables need no TLS relocations, which could not move (DESIGN, trap 11).
Expected<std::unique_ptr<TargetMachine>> nomad::makeMachine(OptLevel level) {
  auto builder = hostBuilder();
  if (!builder)
    return builder.takeError();
  TargetOptions &options = builder->getOptions();
  options.FunctionSections = true;
  options.DataSections = true;
  options.UniqueSectionNames = true;
  options.EmulatedTLS = true;
  builder->setRelocationModel(Reloc::PIC_);
  builder->setCodeModel(CodeModel::Small);
  builder->setCodeGenOptLevel(codeGenLevel(level));
  return builder->createTargetMachine();
}

namespace {

const TargetMachine &hostMachine() {
  static const std::unique_ptr<TargetMachine> machine = cantFail(makeMachine(OptLevel::O0));
  return *machine;
}

} // namespace

const Triple &nomad::hostTriple() { return hostMachine().getTargetTriple(); }

const HostTarget &nomad::hostTarget() {
  static const HostTarget host{LLVM_VERSION_STRING, hostTriple().str(), hostMachine().getTargetCPU().str(),
                               xxh3_64bits(hostMachine().getTargetFeatureString())};
  return host;
}

const DataLayout &nomad::hostDataLayout() {
  static const DataLayout layout = hostMachine().createDataLayout();
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
