// The names that an object file uses and does not define: what each stands for, once for a link. A later emission of the same
// object file gets what the first one found, and looks up nothing.
#pragma once

#include "link/linker.h"

#include "llvm/ADT/DenseMap.h"
#include "llvm/ADT/STLFunctionalExtras.h"
#include "llvm/ADT/StringMap.h"

namespace nomad {

/// Where an object file defines a name; the same for its aliases.
struct Definition {
  std::uint64_t container; // a block, or a section
  std::uint64_t offset;

  auto operator<=>(const Definition &) const = default;
};

class Imports {
public:
  using FindDefinition = llvm::function_ref<std::optional<Definition>(llvm::StringRef)>;

  /// For a first link. `teardown` gives the address that is the module's `__dso_handle`.
  Imports(EntryTable &entries, SymbolResolver &resolver, std::function<Address()> teardown)
      : entries_(&entries), resolver_(&resolver), teardown_(std::move(teardown)) {}
  /// For a later one, which finds what `take` gave.
  explicit Imports(const std::vector<ImportedName> &names);

  /// For one part of a split link; names are added by `adopt`.
  static Imports forPartOf(const Imports &whole);

  /// Index of a name. An undefined one is `Nothing`, and without `isWeak` it is missing. Errors: SpaceFull.
  llvm::Expected<std::uint32_t> find(llvm::StringRef name, bool isWeak, FindDefinition findOwn);
  /// Errors: UnresolvedSymbol, with all names that are missing.
  llvm::Error checkMissing(const std::string &objectName);

  const ImportedName &operator[](std::uint32_t index) const { return names_[index]; }
  llvm::ArrayRef<ImportedName> names() const { return names_; }
  /// What the code object refers to, in the order of reference indices.
  const std::vector<CodePlace> &references() const { return references_; }
  /// Does every setjmp return to where code is by then?
  bool setjmpStaysValid() const { return setjmpStaysValid_; }

  /// Of a part of a split link. A name that stands for a function has a reference of its own, to that `place`.
  std::uint32_t add(ImportedName name, const CodePlace &place);
  /// Index of the one reference to a place that has no name.
  std::uint32_t referTo(const CodePlace &place);

  std::vector<ImportedName> take() { return std::move(names_); }
  /// Gives entry stubs back that a failed link had taken.
  void abandon();

private:
  Imports() = default;
  llvm::Expected<ImportedName> resolve(llvm::StringRef name, bool isWeak, FindDefinition findOwn);
  llvm::Expected<EntryIndex> ownEntry(Definition definition);
  std::uint32_t newReference(const CodePlace &place);

  EntryTable *entries_ = nullptr;
  SymbolResolver *resolver_ = nullptr;
  std::function<Address()> teardown_;
  std::vector<ImportedName> names_;
  llvm::StringMap<std::uint32_t> indices_;
  std::vector<std::string> missing_;
  std::vector<CodePlace> references_;
  llvm::DenseMap<std::pair<Handle, Offset>, std::uint32_t> unnamed_; // indices of references without a name
  std::vector<std::pair<Definition, EntryIndex>> ownEntries_;
  bool setjmpStaysValid_ = true;
};

} // namespace nomad
