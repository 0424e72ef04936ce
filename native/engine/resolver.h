// What names in one compilation stand for: its imports, then definitions, then the process.
#pragma once

#include "engine/engine.h"

#include "llvm/ADT/StringMap.h"

namespace nomad {

class Engine::Resolver : public SymbolResolver {
public:
  Resolver(Engine &engine, const CompileOptions &options, const ProcessSymbols &process);

  llvm::Expected<Resolution> resolve(llvm::StringRef name) override;

  /// Errors: Signature if a function that is given is of another type than the code that calls it says. Before anything is
  /// linked.
  llvm::Error checkTypes(llvm::ArrayRef<DeclaredFunction> declared, const std::string &objectName) const;

private:
  const Import *given(llvm::StringRef name) const;
  Resolution resolveSetjmp(llvm::StringRef name, Address ofProcess) const;

  Engine &engine_;
  const ProcessSymbols &process_;
  Moves moves_;
  Handle alike_;
  llvm::StringMap<const Import *> imports_;
};

} // namespace nomad
