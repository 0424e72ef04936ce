#include "engine/names.h"

#include "base/error.h"
#include "compile/own_functions.h"
#include "runtime/setjmp.h"

#include "llvm/ADT/STLExtras.h"

using namespace nomad;
using namespace llvm;

namespace {

StringRef plainName(const ImportedName &import) {
  StringRef name = import.name;
  name.consume_front(entryPrefix);
  return name;
}

bool isResolved(const ImportedName &import) {
  return refersToFunction(import) || import.kind == ImportedName::Kind::Fixed || import.kind == ImportedName::Kind::Nothing;
}

Error isBeingFreed(const CodeObject &object) {
  return fail(ErrorCode::State, "code object " + Twine(quoted(object)) + " is being freed");
}

} // namespace

// ---- definitions ----

Error Names::define(Import definition) {
  if (definition.object != noHandle)
    if (auto found = objects_.function(definition.object, definition.symbol); !found)
      return found.takeError();
  if (definition.object != noHandle)
    objects_[definition.object].isDefinition = true;
  if (isLibraryFunction(definition.name))
    definedLibraryFunctions_.insert(definition.name);
  definitions_.insert_or_assign(definition.name, definition);
  return Error::success();
}

const Import *Names::definition(StringRef name) const {
  auto found = definitions_.find(name);
  return found == definitions_.end() ? nullptr : &found->second;
}

void Names::dropDefinitionsOf(Handle handle) {
  if (objects_[handle].isDefinition)
    std::erase_if(definitions_, [=](const auto &definition) { return definition.second.object == handle; });
}

void Names::pass(Handle from, Handle to) {
  for (auto &[name, definition] : definitions_)
    if (definition.object == from)
      definition.object = to;
  objects_[to].isDefinition |= std::exchange(objects_[from].isDefinition, false);
}

// ---- kept names ----

void Names::keep(Handle handle) {
  std::vector<ImportedName> &names = objects_.keepNames(handle);
  names.clear();
  copy_if(objects_[handle].image->imports, std::back_inserter(names), isResolved);
}

std::vector<std::string> Names::keptNames(Handle handle) const {
  std::vector<std::string> plain;
  for (const ImportedName &import : *objects_.names(handle))
    plain.push_back(plainName(import).str());
  return plain;
}

// A function that is called rather than one whose address is taken. Which setjmp is right depends on what is linked.
const ImportedName *Names::kept(Handle handle, StringRef name) const {
  const auto *names = objects_.names(handle);
  if (!names || isSetjmp(name))
    return nullptr;
  const ImportedName *kept = nullptr;
  for (const ImportedName &import : *names)
    if (plainName(import) == name && (!kept || import.kind == ImportedName::Kind::Function))
      kept = &import;
  return kept;
}

bool Names::isBound(Handle alike, StringRef name) const {
  const ImportedName *known = kept(alike, name);
  return known && known->kind == ImportedName::Kind::Function && !objects_[alike].links->isRedirected(known->reference);
}

// ---- links ----

CompileRequest Names::requestOf(const CompileOptions &options, Granularity granularity) const {
  std::set<std::string> own = definedLibraryFunctions_;
  for (const Import &import : options.imports)
    if (isLibraryFunction(import.name))
      own.insert(import.name);
  if (const auto *names = objects_.names(options.alike))
    for (const ImportedName &import : *names)
      if (StringRef name = plainName(import); isLibraryFunction(name) && !isOfProcess(import))
        own.insert(name.str());
  return {.name = options.name,
          .level = options.level,
          .moves = options.moves,
          .granularity = granularity,
          .ownFunctions = {own.begin(), own.end()},
          .isIsolated = options.isIsolated,
          .limits = options.limits};
}

bool Names::isOfProcess(const ImportedName &import) const {
  return import.kind == ImportedName::Kind::Fixed && process_.find(plainName(import)) == import.address;
}

std::string Names::typeOf(const Import &import) const {
  if (!objects_.isLive(import.object))
    return "";
  auto found = objects_[import.object].symbols.function(import.symbol);
  return found ? types_.signature(found->signature).text : "";
}

Expected<Resolution> Names::resolve(const Import &import) {
  if (import.object == noHandle)
    return Resolution::fixed(import.address);
  auto found = objects_.function(import.object, import.symbol);
  if (!found)
    return found.takeError();
  if (objects_[import.object].isEnding)
    return isBeingFreed(objects_[import.object]);
  return resolveFunction({import.object, found->place.offset});
}

Expected<Resolution> Names::resolveAlike(Handle alike, const ImportedName &name) {
  if (!refersToFunction(name))
    return name.kind == ImportedName::Kind::Fixed ? Resolution::fixed(name.address) : Resolution();
  CodePlace place = objects_[alike].links->linkedPlace(name.reference).function();
  if (objects_[place.object].isEnding)
    return isBeingFreed(objects_[place.object]);
  return resolveFunction(place);
}

Expected<Resolution> Names::resolveFunction(const CodePlace &place) {
  auto stub = stubs_.of(place.object, place.offset);
  if (!stub)
    return stub.takeError();
  return Resolution{Resolution::Kind::Function, objects_.codeOf(place), stubs_.address(*stub), place.object, place.offset};
}

Error Names::checkIntegrity() const {
  for (const auto &[name, definition] : definitions_)
    if (definition.object != noHandle && !objects_.isLive(definition.object))
      return broken("side tables", 1, "definitions mention handle " + Twine(definition.object) + ", which is vacant");
  return Error::success();
}
