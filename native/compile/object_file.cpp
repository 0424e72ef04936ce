#include "compile/object_file.h"

#include "base/error.h"
#include "base/recovery.h"

#include "llvm/Analysis/CGSCCPassManager.h"
#include "llvm/Analysis/LoopAnalysisManager.h"
#include "llvm/Analysis/TargetLibraryInfo.h"
#include "llvm/IR/LegacyPassManager.h"
#include "llvm/MC/MCContext.h"
#include "llvm/Passes/PassBuilder.h"
#include "llvm/Support/raw_ostream.h"
#include "llvm/Support/SmallVectorMemoryBuffer.h"

using namespace nomad;
using namespace llvm;

namespace {

OptimizationLevel pipelineLevel(OptLevel level) {
  switch (level) {
  case OptLevel::O0:
    return OptimizationLevel::O0;
  case OptLevel::O1:
    return OptimizationLevel::O1;
  case OptLevel::O2:
    return OptimizationLevel::O2;
  case OptLevel::O3:
    return OptimizationLevel::O3;
  }
  return OptimizationLevel::O2;
}

void optimise(llvm::Module &ir, TargetMachine &machine, OptLevel level) {
  LoopAnalysisManager loops;
  FunctionAnalysisManager functions;
  CGSCCAnalysisManager components;
  ModuleAnalysisManager modules;
  PassBuilder builder(&machine);
  builder.registerModuleAnalyses(modules);
  builder.registerCGSCCAnalyses(components);
  builder.registerFunctionAnalyses(functions);
  builder.registerLoopAnalyses(loops);
  builder.crossRegisterProxies(loops, functions, components, modules);
  ModulePassManager passes = level == OptLevel::O0 ? builder.buildO0DefaultPipeline(OptimizationLevel::O0)
                                                   : builder.buildPerModuleDefaultPipeline(pipelineLevel(level));
  passes.run(ir, modules);
}

Error generate(llvm::Module &ir, TargetMachine &machine, SmallVectorImpl<char> &bytes) {
  raw_svector_ostream stream(bytes);
  legacy::PassManager passes;
  MCContext *context = nullptr;
  if (machine.addPassesToEmitMC(passes, context, stream, /*DisableVerify=*/true))
    return fail(ErrorCode::Codegen, "LLVM can't write object files for this machine");
  passes.run(ir);
  return Error::success();
}

// One compilation: what it owns, so that all of it can be abandoned together.
struct Job {
  const CompileRequest &request;
  TargetMachinePool &machines;
  ParsedModule module;
  std::unique_ptr<TargetMachine> machine;
  SmallVector<char, 0> bytes;
  Exports exports;

  Error run() {
    auto taken = machines.take(request.level);
    if (!taken)
      return taken.takeError();
    machine = std::move(*taken);
    if (Error error = lower())
      return error;
    machines.giveBack(request.level, std::move(machine));
    if (!module.diagnostics->empty())
      return fail(ErrorCode::Codegen, request.name + ": " + *module.diagnostics);
    return Error::success();
  }

  Error lower() {
    dropUnknownTargetNames(*module.ir, *machine);
    optimise(*module.ir, *machine, request.level);
    if (Error error = makeMovable(*module.ir, *machine, request.moves))
      return error;
    exports = exportsOf(*module.ir);
    return generate(*module.ir, *machine, bytes);
  }

  // After a fatal error LLVM's objects are in no state to be destroyed.
  void abandon() {
    (void)machine.release();
    module.abandon();
  }
};

Expected<ObjectFile> runJob(Job &job, function_ref<Error()> work) {
  bool abandoned = false;
  Error error = runRecoverably(job.request.name.c_str(), work, abandoned);
  if (abandoned)
    job.abandon();
  if (error)
    return error;
  auto bytes = std::make_unique<SmallVectorMemoryBuffer>(std::move(job.bytes), job.request.name, false);
  return ObjectFile{std::move(bytes), std::move(job.exports)};
}

} // namespace

Expected<ObjectFile> nomad::compileSource(StringRef source, const CompileRequest &request, TargetMachinePool &machines) {
  Job job{request, machines, {}, nullptr, {}, {}};
  return runJob(job, [&]() -> Error {
    auto module = parseModule(source, request.name);
    if (!module)
      return module.takeError();
    job.module = std::move(*module);
    return job.run();
  });
}

Expected<ObjectFile> nomad::compileModule(ParsedModule module, const CompileRequest &request, TargetMachinePool &machines) {
  Job job{request, machines, std::move(module), nullptr, {}, {}};
  return runJob(job, [&] { return job.run(); });
}
