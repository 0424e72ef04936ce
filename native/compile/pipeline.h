// A target machine with its pass pipelines: an IR module in, an object file out.
#pragma once

#include "compile/frames.h"
#include "compile/target.h"

#include "llvm/ADT/SmallVector.h"
#include "llvm/Analysis/CGSCCPassManager.h"
#include "llvm/Analysis/LoopAnalysisManager.h"
#include "llvm/IR/LegacyPassManager.h"
#include "llvm/Passes/PassBuilder.h"
#include "llvm/Support/raw_ostream.h"

#include <memory>
#include <mutex>
#include <utility>
#include <vector>

namespace nomad {

using ObjectBytes = llvm::SmallVector<char, 0>;

/// Building the passes costs more than they take for a tiny function, so one pipeline serves many modules, one after the other.
/// A module and its context must be gone before the next one comes, on whichever thread: passes hold value handles into it.
/// After a fatal error in LLVM it is in no state to be used or destroyed.
class Pipeline {
public:
  static llvm::Expected<std::unique_ptr<Pipeline>> create(OptLevel level);

  const llvm::TargetMachine &machine() const { return *machine_; }
  void optimise(llvm::Module &ir);
  /// Errors: Codegen.
  llvm::Expected<ObjectBytes> generate(llvm::Module &ir);
  /// Of the module that was generated last.
  ModuleFrames takeFrames() { return std::exchange(frames_, {}); }

private:
  class Generator;
  struct DropGenerator {
    void operator()(Generator *generator) const;
  };

  Pipeline(OptLevel level, std::unique_ptr<llvm::TargetMachine> machine);

  OptLevel level_;
  std::unique_ptr<llvm::TargetMachine> machine_;
  // In the order in which proxies in one may refer to another.
  llvm::LoopAnalysisManager loops_;
  llvm::FunctionAnalysisManager functions_;
  llvm::CGSCCAnalysisManager components_;
  llvm::ModuleAnalysisManager modules_;
  llvm::PassBuilder builder_;
  std::unique_ptr<Generator, DropGenerator> generator_; // none before the first module
  ModuleFrames frames_;
};

/// Pipelines serve one thread at a time: this lends them out. Safe from several threads.
class TargetMachinePool {
public:
  llvm::Expected<std::unique_ptr<Pipeline>> take(OptLevel level);
  void giveBack(OptLevel level, std::unique_ptr<Pipeline> pipeline);

private:
  std::mutex mutex_;
  std::vector<std::unique_ptr<Pipeline>> idle_[4];
};

} // namespace nomad
