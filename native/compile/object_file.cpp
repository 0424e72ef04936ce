#include "compile/object_file.h"

#include "base/error.h"
#include "base/recovery.h"
#include "compile/indirect_functions.h"
#include "compile/isolated_compile.h"
#include "compile/object_check.h"
#include "compile/own_functions.h"
#include "compile/refusals.h"

#include "llvm/Support/SmallVectorMemoryBuffer.h"

using namespace nomad;
using namespace llvm;

namespace {

// One compilation: what it owns, so that all of it can be abandoned together.
struct Job {
  const CompileRequest &request;
  TargetMachinePool &machines;
  ParsedModule module;
  std::unique_ptr<Pipeline> pipeline;
  ObjectBytes bytes;
  Exports exports;

  Error run() {
    auto taken = machines.take(request.level);
    if (!taken)
      return taken.takeError();
    pipeline = std::move(*taken);
    if (Error error = lower())
      return error;
    if (!module.diagnostics->empty())
      return fail(ErrorCode::Codegen, request.name + ": " + *module.diagnostics);
    module.ir.reset();
    module.context.reset();
    machines.giveBack(request.level, std::move(pipeline));
    return Error::success();
  }

  Error lower() {
    if (Error error = refuseUnsupported(*module.ir, request.moves))
      return error;
    dropUnknownTargetNames(*module.ir, pipeline->machine());
    std::vector<DeclaredFunction> declared = declaredFunctions(*module.ir);
    bool irreplaceable = isIrreplaceable(*module.ir);
    disownLibrary(*module.ir, request.ownFunctions);
    lowerIFuncs(*module.ir);
    pipeline->optimise(*module.ir);
    if (Error error = makeMovable(*module.ir, pipeline->machine(), request.moves, request.granularity))
      return error;
    exports = exportsOf(*module.ir);
    exports.declared = std::move(declared);
    exports.isIrreplaceable = irreplaceable;
    if (Error error = pipeline->generate(*module.ir).moveInto(bytes))
      return error;
    exports.frames = pipeline->takeFrames();
    return module.diagnostics->empty() ? checkObject(StringRef(bytes.data(), bytes.size()), *module.ir) : Error::success();
  }

  // After a fatal error LLVM's objects are in no state to be destroyed.
  void abandon() {
    keepAbandoned(pipeline.release());
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
  if (request.isIsolated)
    return compileIsolated(source, request);
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
