#include "compile/pipeline.h"

#include "base/error.h"
#include "compile/machine_passes.h"

#include "llvm/IR/InlineAsm.h"
#include "llvm/IR/InstIterator.h"
#include "llvm/MC/MCContext.h"

#include <algorithm>

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

// May it contain directives? They begin with a dot, macros that make some too.
bool hasDirectives(const Function &function) {
  return any_of(instructions(function), [](const Instruction &instruction) {
    const auto *call = dyn_cast<CallBase>(&instruction);
    const auto *assembly = call ? dyn_cast<InlineAsm>(call->getCalledOperand()) : nullptr;
    return assembly && StringRef(assembly->getAsmString()).contains('.');
  });
}

// LLVM's code generator forgets one module before the next, but not what it knows of garbage collection and of pseudo probes; and
// of assembly it keeps what `.reloc` asked for, with pointers into the module that is gone.
bool leavesTraces(const llvm::Module &ir) {
  return !ir.getModuleInlineAsm().empty() || ir.getNamedMetadata("llvm.pseudo_probe_desc") ||
         any_of(ir, [](const Function &function) { return function.hasGC() || hasDirectives(function); });
}

// The object file in memory. Assembly can ask for more than any arena has room for, and than this machine has memory for.
class BoundedStream : public raw_pwrite_stream {
public:
  BoundedStream() { SetUnbuffered(); }
  ObjectBytes take() { return std::exchange(bytes_, {}); }

private:
  static constexpr size_t mostBytes = size_t{1} << 31;

  void write_impl(const char *data, size_t size) override {
    if (size > mostBytes - bytes_.size()) {
      {
        ObjectBytes gone = take();
      } // nothing else frees them after a fatal error
      report_fatal_error("the object file is larger than 2 GiB", /*gen_crash_diag=*/false);
    }
    bytes_.append(data, data + size);
  }
  void pwrite_impl(const char *data, size_t size, uint64_t offset) override {
    std::copy_n(data, size, bytes_.begin() + static_cast<ptrdiff_t>(offset));
  }
  uint64_t current_pos() const override { return bytes_.size(); }

  ObjectBytes bytes_;
};

} // namespace

// Code generation and the bytes that it writes to.
class Pipeline::Generator {
public:
  Error build(TargetMachine &machine) {
    MCContext *context = nullptr;
    bool hasFailed = false;
    withMachinePasses(machine, odd_,
                      [&] { hasFailed = machine.addPassesToEmitMC(passes_, context, stream_, /*DisableVerify=*/true); });
    if (hasFailed)
      return fail(ErrorCode::Codegen, "LLVM can't write object files for this machine");
    return Error::success();
  }

  ObjectBytes run(llvm::Module &ir) {
    odd_ = {};
    passes_.run(ir);
    return stream_.take();
  }

  const OddFrames &odd() const { return odd_; }

private:
  OddFrames odd_; // the passes write to it
  BoundedStream stream_;
  legacy::PassManager passes_;
};

void Pipeline::DropGenerator::operator()(Generator *generator) const { delete generator; }

Expected<std::unique_ptr<Pipeline>> Pipeline::create(OptLevel level) {
  auto machine = makeMachine(level);
  if (!machine)
    return withCode(ErrorCode::Codegen, "this machine can't be a target", machine.takeError());
  return std::unique_ptr<Pipeline>(new Pipeline(level, std::move(*machine)));
}

Pipeline::Pipeline(OptLevel level, std::unique_ptr<TargetMachine> machine)
    : level_(level), machine_(std::move(machine)), builder_(machine_.get()) {
  builder_.registerModuleAnalyses(modules_);
  builder_.registerCGSCCAnalyses(components_);
  builder_.registerFunctionAnalyses(functions_);
  builder_.registerLoopAnalyses(loops_);
  builder_.crossRegisterProxies(loops_, functions_, components_, modules_);
}

// The passes themselves are made anew: LLVM's inliner pipeline moves its own parts out when it runs.
void Pipeline::optimise(llvm::Module &ir) {
  ModulePassManager passes = level_ == OptLevel::O0 ? builder_.buildO0DefaultPipeline(OptimizationLevel::O0)
                                                    : builder_.buildPerModuleDefaultPipeline(pipelineLevel(level_));
  passes.run(ir, modules_);
  modules_.clear();
  components_.clear();
  functions_.clear();
  loops_.clear();
}

Expected<ObjectBytes> Pipeline::generate(llvm::Module &ir) {
  if (!generator_) {
    generator_.reset(new Generator);
    if (Error error = generator_->build(*machine_))
      return error;
  }
  ObjectBytes bytes = generator_->run(ir);
  frames_ = moduleFramesOf(ir, generator_->odd());
  std::vector<std::string> losing = generator_->odd().losingRegisters;
  if (leavesTraces(ir))
    generator_.reset();
  if (!losing.empty())
    return fail(ErrorCode::Unsupported, ir.getModuleIdentifier() + ": function '" + losing.front() +
                                            "' is miscompiled by this LLVM above O0: it has a variable of more than the stack's "
                                            "alignment, one of unknown size, and assembly that changes rbx");
  return bytes;
}

Expected<std::unique_ptr<Pipeline>> TargetMachinePool::take(OptLevel level) {
  {
    std::lock_guard lock(mutex_);
    auto &idle = idle_[static_cast<unsigned>(level)];
    if (!idle.empty()) {
      auto pipeline = std::move(idle.back());
      idle.pop_back();
      return pipeline;
    }
  }
  return Pipeline::create(level);
}

void TargetMachinePool::giveBack(OptLevel level, std::unique_ptr<Pipeline> pipeline) {
  std::lock_guard lock(mutex_);
  idle_[static_cast<unsigned>(level)].push_back(std::move(pipeline));
}
