// Redefinition: who calls one function calls another from now on.
//
// Direct calls are relocations. A redirection writes new distances, makes them references to the new function's code object, and
// notes what they were linked to: a later redirection of that takes them along. Entry stubs of the old function lead to the new
// one's stub, so whoever has stored the address follows too. Forwards have no chains: when a function is redirected, those that
// have been redirected to it are, too. The old function's own code object is left alone: what calls itself goes on doing so. So
// is the new one's, that it may call the old function, as a wrapper does.
//
// Who has no other use for the old code object than calls keeps a spent reference to it, which keeps nothing alive.
#include "engine/engine.h"

#include "base/error.h"
#include "memory/write_scope.h"

#include "llvm/ADT/STLExtras.h"

#include <cstring>
#include <set>

using namespace nomad;
using namespace llvm;

namespace {

SmallVector<Handle> dependentsOf(const CodeObject &object) {
  SmallVector<Handle> dependents;
  if (object.links)
    for (auto &[handle, reference] : object.links->dependents)
      dependents.push_back(handle);
  return dependents;
}

} // namespace

Expected<std::vector<Handle>> Engine::redirect(const FunctionPlace &fromPlace, const FunctionPlace &toPlace) {
  auto oldFunction = function(fromPlace.object, fromPlace.symbol), newFunction = function(toPlace.object, toPlace.symbol);
  if (Error error = checkRedirect(oldFunction, newFunction, fromPlace, toPlace))
    return error;
  QuietMoves::OthersKeptOut keepOut(entryLog_->moves());
  if (Error error = checkNotConcurrent("redirect"))
    return error;
  CodePlace from{fromPlace.object, oldFunction->place.offset}, to{toPlace.object, newFunction->place.offset};
  SmallVector<Handle> dependents = dependentsOf(objects_[from.object]);
  WriteScope scope(*arena_);
  if (from == to)
    takeBack(from);
  else if (Error error = forwardAll(from, to, dependents))
    return error;
  std::vector<Handle> changed{from.object};
  for (Handle dependent : dependents)
    if (dependent == to.object)
      bindCalls(dependent, from);
    else
      redirectCalls(scope, dependent, from, to);
  for (Handle dependent : dependents)
    changed.push_back(dependent);
  for (Handle handle : changed)
    settleReferences(handle);
  return changed;
}

// A processor that runs a call while its four bytes are written may see some of them.
Error Engine::checkNotConcurrent(const char *what) {
  bool isConcurrent = entryLog_->present(Address::of(__builtin_frame_address(0))).isConcurrent;
  return isConcurrent ? fail(ErrorCode::State, Twine(what) + ": code of the Jit is running on another thread") : Error::success();
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
  bool isItself = fromPlace.object == toPlace.object && from->place.offset == to->place.offset;
  if (!isItself && forwardOf(toPlace.object, to->place.offset))
    return fail(ErrorCode::State, "redirect: '" + toPlace.symbol + "' has itself been redirected");
  return Error::success();
}

// ---- entry stubs, and what later links find ----

const Redirections &Engine::redirectionsOf(Handle handle) const {
  static const Redirections none;
  auto found = redirections_.find(handle);
  return found == redirections_.end() ? none : found->second;
}

const Forward *Engine::forwardOf(Handle handle, Offset offset) const {
  const std::vector<Forward> &forwards = redirectionsOf(handle).forwards;
  auto found = find_if(forwards, [=](const Forward &forward) { return forward.from == offset; });
  return found == forwards.end() ? nullptr : &*found;
}

Error Engine::forwardAll(const CodePlace &from, const CodePlace &to, ArrayRef<Handle> dependents) {
  auto stub = entry(to.object, to.offset);
  if (!stub)
    return stub.takeError();
  SmallVector<CodePlace> forwarded{from};
  for (Handle handle : concat<const Handle>(dependents, ArrayRef(from.object)))
    for (const Forward &forward : redirectionsOf(handle).forwards)
      if (CodePlace{forward.object, forward.to} == from)
        forwarded.push_back({handle, forward.from});
  for (const CodePlace &place : forwarded)
    forward(place, to, *stub);
  return Error::success();
}

void Engine::forward(const CodePlace &from, const CodePlace &to, EntryIndex stub) {
  CodeObject &object = objects_[from.object];
  Redirections &redirections = redirections_[from.object];
  erase_if(redirections.forwards, [&](const Forward &forward) { return forward.from == from.offset; });
  redirections.forwards.push_back({from.offset, to.object, to.offset});
  if (from.object != to.object)
    addReference(from.object, to.object);
  erase_if(object.entries, [&](const EntryUse &entry) {
    if (entry.offset == from.offset)
      redirections.entries.push_back(entry);
    return entry.offset == from.offset;
  });
  for (const EntryUse &entry : redirections.entries)
    if (entry.offset == from.offset)
      entries_.redirect(entry.index, entries_.stub(stub));
}

// Those that had been redirected to this one when it was redirected stay where they lead.
void Engine::takeBack(const CodePlace &from) {
  auto found = redirections_.find(from.object);
  if (found == redirections_.end())
    return;
  CodeObject &object = objects_[from.object];
  erase_if(found->second.forwards, [&](const Forward &forward) { return forward.from == from.offset; });
  erase_if(found->second.entries, [&](const EntryUse &entry) {
    if (entry.offset != from.offset)
      return false;
    object.entries.push_back(entry);
    entries_.redirect(entry.index, object.segment(SegmentKind::Code).base + from.offset);
    return true;
  });
}

// ---- calls ----

// True if `lead` has led some call elsewhere.
bool Engine::leadCalls(const WriteScope &scope, Handle caller, LeadCall lead) {
  CodeObject &object = objects_[caller];
  std::vector<Relocation> relocations = object.relocations.decode();
  bool isChanged = false;
  for (Relocation &relocation : relocations) {
    if (relocation.target != TargetKind::Reference || relocation.formula != Formula::Relative32 ||
        segmentOfReference(relocation.reference) != SegmentKind::Code)
      continue;
    Address place = object.segment(relocation.segment).base + relocation.site;
    std::byte *at = object.state == State::Placed ? scope.writable(place)
                                                  : object.image->bytes[indexOf(relocation.segment)].get() + relocation.site;
    std::int32_t distance;
    std::memcpy(&distance, at, sizeof distance);
    Address next = place + sizeof distance;
    CallTarget now{indexOfReference(relocation.reference), next.shifted(distance)};
    auto target = lead({relocation.segment, relocation.site}, now);
    if (!target)
      continue;
    distance = static_cast<std::int32_t>(target->address - next);
    std::memcpy(at, &distance, sizeof distance);
    relocation.reference = referenceTo(target->reference, SegmentKind::Code);
    isChanged = true;
  }
  if (isChanged)
    object.relocations = RelocationTable::encode(std::move(relocations));
  return isChanged;
}

// Of those that lead to `from`, and those that were linked to it.
void Engine::redirectCalls(const WriteScope &scope, Handle caller, const CodePlace &from, const CodePlace &to) {
  FunctionReference original{objects_[from.object].links->dependents[caller], from.offset}, target{};
  std::map<CallSite, FunctionReference> &calls = redirections_[caller].calls;
  Address oldCode = objects_[from.object].segment(SegmentKind::Code).base + from.offset;
  Address newCode = objects_[to.object].segment(SegmentKind::Code).base + to.offset;
  bool isChanged = leadCalls(scope, caller, [&](CallSite site, const CallTarget &now) -> std::optional<CallTarget> {
    auto known = calls.find(site);
    FunctionReference linkedTo = known != calls.end() ? known->second : original;
    bool wasLinked = known != calls.end() && linkedTo == original;
    if (!wasLinked && (now.reference != original.reference || now.address != oldCode))
      return std::nullopt;
    target = {addReference(caller, to.object), to.offset};
    if (linkedTo == target)
      calls.erase(site);
    else
      calls.try_emplace(site, linkedTo);
    return CallTarget{target.reference, newCode};
  });
  if (isChanged)
    redirectNames(caller, original, target);
}

// What is emitted or linked again calls the new function, too.
void Engine::redirectNames(Handle caller, const FunctionReference &from, const FunctionReference &to) {
  everyNameOf(caller, [&](ImportedName &import) {
    FunctionReference now{import.reference, import.offset}, linkedTo = import.linkedTo.value_or(now);
    if (import.kind != ImportedName::Kind::Function || (now != from && linkedTo != from))
      return;
    import.reference = to.reference;
    import.offset = to.function;
    import.linkedTo = linkedTo == to ? std::nullopt : std::optional(linkedTo);
  });
}

// A wrapper's calls stay where they lead, whatever becomes of `from`.
void Engine::bindCalls(Handle caller, const CodePlace &from) {
  FunctionReference original{objects_[from.object].links->dependents[caller], from.offset};
  if (auto redirections = redirections_.find(caller); redirections != redirections_.end())
    std::erase_if(redirections->second.calls, [&](const auto &call) { return call.second == original; });
  everyNameOf(caller, [&](ImportedName &import) {
    if (import.linkedTo == original)
      import.linkedTo.reset();
  });
}

// What has just been linked calls what its imports have been redirected to.
void Engine::followForwards(Handle caller, Handle alike) {
  const CodeObject &object = objects_[caller];
  const std::vector<Handle> &references = object.links->references;
  if (none_of(references, [&](Handle reference) { return !redirectionsOf(reference).forwards.empty(); }))
    return;
  std::set<CallSite> bound;
  for (const ImportSite &site : object.image->importSites)
    if (site.isCall && isBound(alike, object.image->imports[site.import].name))
      bound.insert({site.segment, site.offset});
  WriteScope scope(*arena_);
  leadCalls(scope, caller, [&](CallSite site, const CallTarget &now) -> std::optional<CallTarget> {
    Handle callee = references[now.reference];
    auto function = static_cast<Offset>(now.address - objects_[callee].segment(SegmentKind::Code).base);
    const Forward *forward = forwardOf(callee, function);
    if (!forward || bound.contains(site))
      return std::nullopt;
    redirections_[caller].calls.insert({site, {now.reference, function}});
    return CallTarget{addReference(caller, forward->object),
                      objects_[forward->object].segment(SegmentKind::Code).base + forward->to};
  });
  followNames(caller, alike);
  settleReferences(caller);
}

void Engine::followNames(Handle handle, Handle alike) {
  everyNameOf(handle, [&](ImportedName &import) {
    if (import.kind != ImportedName::Kind::Function || isBound(alike, import.name))
      return;
    const Forward *forward = forwardOf(objects_[handle].links->references[import.reference], import.offset);
    if (!forward)
      return;
    import.linkedTo = {import.reference, import.offset};
    import.reference = addReference(handle, forward->object);
    import.offset = forward->to;
  });
}

// ---- references ----

std::uint32_t Engine::addReference(Handle from, Handle to) {
  std::uint32_t index = objects_[from].ensureLinks().referTo(to);
  objects_[to].ensureLinks().dependents[from] = index;
  return index;
}

// Notes which references keep nothing alive.
void Engine::settleReferences(Handle handle) {
  CodeObject &object = objects_[handle];
  if (!object.links)
    return;
  Links &links = *object.links;
  SmallBitVector used(static_cast<unsigned>(links.references.size()));
  for (const Relocation &relocation : object.relocations.decode())
    if (relocation.target == TargetKind::Reference)
      used.set(indexOfReference(relocation.reference));
  everyNameOf(handle, [&](const ImportedName &import) {
    if (refersToFunction(import))
      used.set(import.reference);
  });
  for (const Forward &forward : redirectionsOf(handle).forwards)
    if (forward.object != handle)
      used.set(objects_[forward.object].links->dependents[handle]);
  for (std::uint32_t i = 0; i < links.references.size(); ++i)
    links.setSpent(i, !used[i]);
}

// Whoever is left among its dependents has a spent reference, or is freed together with it.
void Engine::endReferencesTo(Handle handle) {
  for (auto &[dependent, index] : objects_[handle].links->dependents) {
    objects_[dependent].links->forget(index);
    if (auto redirections = redirections_.find(dependent); redirections != redirections_.end())
      std::erase_if(redirections->second.calls, [&](const auto &call) { return call.second.reference == index; });
    everyNameOf(dependent, [index = index](ImportedName &import) {
      if (import.linkedTo && import.linkedTo->reference == index)
        import.linkedTo.reset();
    });
  }
}

Error Engine::redirectHost(Handle handle, Address target) {
  auto index = hostIndex(handle);
  if (!index)
    return fail(ErrorCode::State, "the declaration is gone");
  hosts_.redirect(*index, target);
  return Error::success();
}
