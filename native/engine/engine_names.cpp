// What the names in a code object stand for, kept: another compile of its source is linked alike, whatever has been defined,
// redirected or exchanged since.
#include "engine/engine.h"

#include "base/error.h"
#include "compile/own_functions.h"

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

} // namespace

std::vector<std::string> Engine::keepNames(Handle handle) {
  std::vector<ImportedName> &names = names_[handle];
  names.clear();
  copy_if(objects_[handle].image->imports, std::back_inserter(names), isResolved);
  followNames(handle, noHandle);
  std::vector<std::string> plain;
  for (const ImportedName &import : names)
    plain.push_back(plainName(import).str());
  return plain;
}

CompileRequest Engine::requestOf(const CompileOptions &options, Granularity granularity) const {
  std::set<std::string> own = definedLibraryFunctions_;
  for (const Import &import : options.imports)
    if (isLibraryFunction(import.name))
      own.insert(import.name);
  if (auto kept = names_.find(options.alike); kept != names_.end())
    for (const ImportedName &import : kept->second)
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

bool Engine::isOfProcess(const ImportedName &import) const {
  return import.kind == ImportedName::Kind::Fixed && process_.find(plainName(import)) == import.address;
}

// A function that is called rather than one whose address is taken. Which setjmp is right depends on what is linked.
const ImportedName *Engine::keptName(Handle handle, StringRef name) const {
  auto found = names_.find(handle);
  if (found == names_.end() || isSetjmp(name))
    return nullptr;
  const ImportedName *kept = nullptr;
  for (const ImportedName &import : found->second)
    if (plainName(import) == name && (!kept || import.kind == ImportedName::Kind::Function))
      kept = &import;
  return kept;
}

// Calls that no redirection leads elsewhere: where their function has been redirected, they are a wrapper's.
bool Engine::isBound(Handle alike, StringRef name) const {
  const ImportedName *kept = keptName(alike, name);
  return kept && kept->kind == ImportedName::Kind::Function && !kept->linkedTo;
}

Expected<Resolution> Engine::resolveAlike(Handle alike, const ImportedName &name) {
  if (!refersToFunction(name))
    return name.kind == ImportedName::Kind::Fixed ? Resolution::fixed(name.address) : Resolution();
  FunctionReference linkedTo = name.linkedTo.value_or(FunctionReference{name.reference, name.offset});
  Handle object = objects_[alike].links->references[linkedTo.reference];
  if (objects_[object].isEnding)
    return fail(ErrorCode::State, "code object " + Twine(quoted(objects_[object])) + " is being freed");
  return resolveFunction({object, linkedTo.function});
}

void Engine::everyNameOf(Handle handle, function_ref<void(ImportedName &)> use) {
  if (auto kept = kept_.find(handle); kept != kept_.end())
    llvm::for_each(kept->second->imports, use);
  if (auto names = names_.find(handle); names != names_.end())
    llvm::for_each(names->second, use);
}
