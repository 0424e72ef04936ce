// Redefinition: who calls one function calls another from now on.
//
// Direct calls are relocations, and each site says where it leads now: those that lead to the old function become references to
// the new one's code object. Entry stubs of the old function lead to the new one's stub, so whoever has stored the address
// follows too. The old function's own code object is left alone: what calls itself goes on doing so. So is the new one's, that it
// may call the old function, as a wrapper does.
#include "run/engine.h"

#include "base/error.h"
#include "memory/write_scope.h"

#include "llvm/ADT/STLExtras.h"

#include <cstring>

using namespace nomad;
using namespace llvm;

namespace {

// What is emitted again calls the new function, too.
void redirectImports(KeptObject &kept, std::uint32_t from, Offset function, std::uint32_t to, Offset target) {
  for (ImportedName &import : kept.imports)
    if (import.kind == ImportedName::Kind::Function && import.reference == from && import.offset == function) {
      import.reference = to;
      import.offset = target;
    }
}

/// Bytes of a code object's segments to write to, placed or not.
std::byte *writableSite(const CodeObject &object, SegmentKind kind, Offset site, const WriteScope &scope) {
  return object.state == State::Placed ? scope.writable(object.segment(kind).base + site)
                                       : object.image->bytes[indexOf(kind)].get() + site;
}

} // namespace

Expected<std::vector<Handle>> Engine::redirect(const FunctionPlace &from, const FunctionPlace &to) {
  auto oldFunction = function(from.object, from.symbol), newFunction = function(to.object, to.symbol);
  if (Error error = checkRedirect(oldFunction, newFunction, from, to))
    return error;
  auto stub = entry(objects_[to.object], newFunction->place.offset);
  if (!stub)
    return stub.takeError();
  Address newCode = objects_[to.object].addressOf(newFunction->place);
  std::vector<Handle> changed;
  SmallVector<Handle> callers;
  if (const auto &links = objects_[from.object].links)
    for (auto &[handle, reference] : links->dependents)
      callers.push_back(handle);
  WriteScope scope(*arena_);
  for (Handle caller : callers)
    if (caller != to.object && redirectCalls(scope, caller, from.object, oldFunction->place.offset, to.object, newCode))
      changed.push_back(caller);
  forwardEntries(from.object, oldFunction->place.offset, to.object, newFunction->place.offset, *stub);
  changed.push_back(from.object);
  return changed;
}

Error Engine::checkRedirect(Expected<FunctionSymbol> &from, Expected<FunctionSymbol> &to, const FunctionPlace &fromPlace,
                            const FunctionPlace &toPlace) {
  if (!from || !to) {
    Error error = from ? Error::success() : from.takeError();
    return joinErrors(std::move(error), to ? Error::success() : to.takeError());
  }
  const std::string &oldType = types_.signature(from->signature).text, &newType = types_.signature(to->signature).text;
  if (oldType != newType)
    return fail(ErrorCode::Signature, "redirect: '" + toPlace.symbol + "' is of type " + newType + ", but '" + fromPlace.symbol +
                                          "' of type " + oldType);
  const CodeObject &target = objects_[toPlace.object];
  if (target.state != State::Placed)
    return fail(ErrorCode::State, "redirect: code object " + Twine(quoted(target)) + " is not placed");
  if (target.isEnding || objects_[fromPlace.object].isEnding)
    return fail(ErrorCode::State, "redirect: the code object is being freed");
  if (forwardOf(target, to->place.offset))
    return fail(ErrorCode::State, "redirect: '" + toPlace.symbol + "' has itself been redirected");
  if (fromPlace.object == toPlace.object && from->place.offset == to->place.offset)
    return fail(ErrorCode::State, "redirect: '" + toPlace.symbol + "' can't be redirected to itself");
  return Error::success();
}

const Forward *Engine::forwardOf(const CodeObject &object, Offset offset) const {
  if (!object.links)
    return nullptr;
  auto found = find_if(object.links->forwards, [=](const Forward &forward) { return forward.from == offset; });
  return found == object.links->forwards.end() ? nullptr : &*found;
}

// True if some call was changed.
bool Engine::redirectCalls(const WriteScope &scope, Handle caller, Handle from, Offset function, Handle to, Address target) {
  CodeObject &object = objects_[caller];
  std::uint32_t oldReference = objects_[from].links->dependents[caller];
  Address oldTarget = objects_[from].segment(SegmentKind::Code).base + function;
  std::vector<Relocation> relocations = object.relocations.decode();
  bool isChanged = false;
  for (Relocation &relocation : relocations) {
    if (relocation.target != TargetKind::Reference || relocation.formula != Formula::Relative32 ||
        relocation.reference != referenceTo(oldReference, SegmentKind::Code))
      continue;
    std::byte *at = writableSite(object, relocation.segment, relocation.site, scope);
    std::int32_t distance;
    std::memcpy(&distance, at, sizeof distance);
    Address next = object.segment(relocation.segment).base + relocation.site + sizeof distance;
    if (next.shifted(distance) != oldTarget)
      continue;
    distance = static_cast<std::int32_t>(target - next);
    std::memcpy(at, &distance, sizeof distance);
    relocation.reference = referenceTo(addReference(caller, to), SegmentKind::Code);
    isChanged = true;
  }
  if (isChanged)
    object.relocations = RelocationTable::encode(std::move(relocations));
  if (isChanged && kept_.contains(caller))
    redirectImports(*kept_[caller], oldReference, function, addReference(caller, to),
                    static_cast<Offset>(target - objects_[to].segment(SegmentKind::Code).base));
  return isChanged;
}

// References are numbered for good. One that no call needs any more still keeps its code object alive: the caller may have its
// entry stub.
std::uint32_t Engine::addReference(Handle from, Handle to) {
  auto &references = objects_[from].ensureLinks().references;
  auto found = find(references, to);
  if (found == references.end())
    found = references.insert(references.end(), to);
  auto index = static_cast<std::uint32_t>(found - references.begin());
  objects_[to].ensureLinks().dependents[from] = index;
  return index;
}

void Engine::forwardEntries(Handle from, Offset function, Handle to, Offset target, EntryIndex stub) {
  CodeObject &object = objects_[from];
  addReference(from, to);
  Links &links = object.ensureLinks();
  erase_if(links.forwards, [=](const Forward &forward) { return forward.from == function; });
  links.forwards.push_back({function, to, target});
  for (EntryUse &entry : object.entries)
    if (entry.offset == function) {
      links.forwardedEntries.push_back(entry);
      entries_.redirect(entry.index, entries_.stub(stub));
    }
  for (const EntryUse &entry : links.forwardedEntries)
    if (entry.offset == function)
      entries_.redirect(entry.index, entries_.stub(stub));
  erase_if(object.entries, [=](const EntryUse &entry) { return entry.offset == function; });
}

Error Engine::redirectHost(Handle handle, Address target) {
  auto index = hostIndex(handle);
  if (!index)
    return fail(ErrorCode::State, "the declaration is gone");
  hosts_.redirect(*index, target);
  return Error::success();
}
