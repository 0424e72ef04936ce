// What names in one compilation stand for: its imports, then definitions, then the process.
#pragma once

#include "engine/attention.h"
#include "engine/names.h"

#include "llvm/ADT/StringMap.h"

namespace nomad {

class Resolver : public SymbolResolver {
public:
  /// `options` outlives it.
  Resolver(Names &names, const ProcessSymbols &process, Attention &attention, const CompileOptions &options);

  llvm::Expected<Resolution> resolve(llvm::StringRef name) override;

  /// Errors: Signature if a function that is given is of another type than the code that calls it says. Before anything is
  /// linked.
  llvm::Error checkTypes(llvm::ArrayRef<DeclaredFunction> declared, const std::string &objectName) const;

private:
  const Import *given(llvm::StringRef name) const;
  Resolution resolveSetjmp(llvm::StringRef name, Address ofProcess) const;

  Names &names_;
  const ProcessSymbols &process_;
  Attention &attention_;
  Moves moves_;
  Handle alike_;
  llvm::StringMap<const Import *> imports_;
};

} // namespace nomad
