// The meaning of names when code is linked: definitions, for all later links; and the names of one code object, kept to link
// another compile of its source alike, even if they have been defined anew, redirected or replaced since.
#pragma once

#include "engine/entry_stubs.h"
#include "link/linker.h"

#include <map>
#include <set>
#include <string>

namespace nomad {

class Names {
public:
  Names(CodeObjects &objects, EntryStubs &stubs, const TypePool &types, const ProcessSymbols &process)
      : objects_(objects), stubs_(stubs), types_(types), process_(process) {}

  // ---- definitions ----

  /// Until its code object is freed; replaces an earlier definition. Errors: State, UnresolvedSymbol.
  llvm::Error define(Import definition);
  /// Null: it is not defined.
  const Import *definition(llvm::StringRef name) const;
  void dropDefinitionsOf(Handle handle);
  /// What stood for `from` stands for `to`.
  void pass(Handle from, Handle to);

  // ---- kept names ----

  /// Replaces what was kept before. Of an unplaced code object.
  void keep(Handle handle);
  std::vector<std::string> keptNames(Handle handle) const;
  /// Null if none of that name is kept.
  const ImportedName *kept(Handle handle, llvm::StringRef name) const;
  /// Calls that no redirection leads elsewhere: where their function has been redirected, they are a wrapper's.
  bool isBound(Handle alike, llvm::StringRef name) const;

  // ---- links ----

  /// What a compilation is told, on whichever thread it is.
  CompileRequest requestOf(const CompileOptions &options, Granularity granularity) const;
  /// Empty: an address, or a code object that is gone.
  std::string typeOf(const Import &import) const;
  llvm::Expected<Resolution> resolve(const Import &import);
  /// As in code object `alike`, which has kept the name.
  llvm::Expected<Resolution> resolveAlike(Handle alike, const ImportedName &name);

  /// Errors: State if a definition is of what is gone.
  llvm::Error checkIntegrity() const;

private:
  friend Damage;

  bool isOfProcess(const ImportedName &import) const;
  llvm::Expected<Resolution> resolveFunction(const CodePlace &place);

  CodeObjects &objects_;
  EntryStubs &stubs_;
  const TypePool &types_;
  const ProcessSymbols &process_;
  std::map<std::string, Import, std::less<>> definitions_;
  std::set<std::string> definedLibraryFunctions_; // names of definitions, there now or once
};

} // namespace nomad
