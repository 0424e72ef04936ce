#include "link/imports.h"

#include "base/error.h"

#include "llvm/ADT/STLExtras.h"

using namespace nomad;
using namespace llvm;

Imports::Imports(const std::vector<ImportedName> &names) : names_(names) {
  for (std::uint32_t i = 0; i < names_.size(); ++i)
    indices_[names_[i].name] = i;
}

Imports Imports::forPartOf(const Imports &whole) {
  Imports imports;
  imports.setjmpStaysValid_ = whole.setjmpStaysValid_;
  return imports;
}

std::uint32_t Imports::add(ImportedName name, const CodePlace &place) {
  auto [known, isNew] = indices_.try_emplace(name.name, static_cast<std::uint32_t>(names_.size()));
  if (!isNew)
    return known->second;
  if (refersToFunction(name))
    name.reference = newReference(name.kind == ImportedName::Kind::Function ? place : place.address());
  names_.push_back(std::move(name));
  return known->second;
}

Expected<std::uint32_t> Imports::find(StringRef name, bool isWeak, FindDefinition findOwn) {
  if (auto known = indices_.find(name); known != indices_.end())
    return known->second;
  if (!resolver_) // emitted again, it uses the names that it used before; not so a common symbol, which has a place of its own
                  // then
    return fail(ErrorCode::Link, "'" + name + "' was not looked up when its object file was first linked");
  auto resolved = resolve(name, isWeak, findOwn);
  if (!resolved)
    return resolved.takeError();
  auto index = static_cast<std::uint32_t>(names_.size());
  names_.push_back(std::move(*resolved));
  indices_[name] = index;
  return index;
}

Expected<ImportedName> Imports::resolve(StringRef name, bool isWeak, FindDefinition findOwn) {
  using Kind = ImportedName::Kind;
  ImportedName result;
  result.name = name.str();
  result.isWeak = isWeak;
  bool wantsEntry = name.consume_front(entryPrefix);
  if (auto own = wantsEntry ? findOwn(name) : std::nullopt) {
    auto entry = ownEntry(*own);
    if (!entry)
      return entry.takeError();
    result.kind = Kind::OwnEntry;
    result.entry = *entry;
    result.address = entries_->stub(*entry);
    return result;
  }
  if (name == "__dso_handle") {
    result.kind = Kind::Teardown;
    result.address = teardown_();
    return result;
  }
  auto resolution = resolver_->resolve(name);
  if (!resolution)
    return resolution.takeError();
  if (isSetjmp(name))
    setjmpStaysValid_ &= resolution->staysValid;
  result.address = resolution->entry;
  if (resolution->kind == Resolution::Kind::Function) {
    result.kind = wantsEntry ? Kind::FunctionEntry : Kind::Function;
    CodePlace place{resolution->object, resolution->offset};
    result.reference = newReference(wantsEntry ? place.address() : place);
    result.code = resolution->address;
  } else if (resolution->kind == Resolution::Kind::Fixed) {
    result.kind = Kind::Fixed;
  } else if (!isWeak) {
    missing_.push_back(name.str());
  }
  return result;
}

Expected<EntryIndex> Imports::ownEntry(Definition definition) {
  for (auto &[known, entry] : ownEntries_)
    if (known == definition)
      return entry;
  auto entry = entries_->take();
  if (entry)
    ownEntries_.push_back({definition, *entry});
  return entry;
}

std::uint32_t Imports::newReference(const CodePlace &place) {
  references_.push_back(place);
  return static_cast<std::uint32_t>(references_.size() - 1);
}

std::uint32_t Imports::referTo(const CodePlace &place) {
  auto [known, isNew] = unnamed_.try_emplace({place.object, place.offset});
  if (isNew)
    known->second = newReference(place);
  return known->second;
}

Error Imports::checkMissing(const std::string &objectName) {
  if (missing_.empty())
    return Error::success();
  llvm::sort(missing_);
  missing_.erase(std::unique(missing_.begin(), missing_.end()), missing_.end());
  std::string list;
  for (const std::string &name : missing_)
    list += (list.empty() ? "" : ", ") + name;
  ErrorDetails details;
  details.symbols = std::move(missing_);
  return fail(ErrorCode::UnresolvedSymbol, objectName + ": no definition of " + list, std::move(details));
}

void Imports::abandon() {
  for (auto &[definition, entry] : ownEntries_)
    entries_->giveBack(entry);
}
