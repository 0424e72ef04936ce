// IR text or bitcode -> a module that LLVM's verifier accepts and that is meant for this machine.
#pragma once

#include "llvm/ADT/StringRef.h"
#include "llvm/IR/LLVMContext.h"
#include "llvm/IR/Module.h"
#include "llvm/Support/Error.h"

#include <memory>
#include <string>

namespace nomad {

/// A module with the context it lives in. Each compilation has its own: contexts are not shared between threads, and all that
/// LLVM interned for a module goes away with it.
struct ParsedModule {
  std::unique_ptr<llvm::LLVMContext> context;
  std::unique_ptr<llvm::Module> ir;
  /// What LLVM reported as an error while it worked on this module; filled by the context's diagnostic handler.
  std::shared_ptr<std::string> diagnostics;

  /// Leaks everything, for after an abandoned compilation.
  void abandon();
};

/// Errors: IRParse with line and column, IRVerify, Unsupported for another target.
llvm::Expected<ParsedModule> parseModule(llvm::StringRef source, llvm::StringRef name);

} // namespace nomad
