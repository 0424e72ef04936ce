// The meaning of names in one compilation: its imports, then definitions, then the process's symbols.
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

  /// Errors: Signature if an import has another type than the module declares. Comes before the link.
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
