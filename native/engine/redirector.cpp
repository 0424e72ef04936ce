#include "engine/redirector.h"

#include "base/error.h"

#include "llvm/ADT/STLExtras.h"

#include <set>

using namespace nomad;
using namespace llvm;

Error nomad::checkNotConcurrent(EntryLog &log, const char *what) {
  bool isConcurrent = log.present(Address::of(__builtin_frame_address(0))).isConcurrent;
  return isConcurrent ? fail(ErrorCode::State, Twine(what) + ": code of the Jit is running on another thread") : Error::success();
}

Expected<std::vector<Handle>> Redirector::redirect(const FunctionPlace &fromPlace, const FunctionPlace &toPlace) {
  auto oldFunction = objects_.function(fromPlace.object, fromPlace.symbol);
  auto newFunction = objects_.function(toPlace.object, toPlace.symbol);
  if (Error error = check(oldFunction, newFunction, fromPlace, toPlace))
    return error;
  QuietMoves::OthersKeptOut keepOut(log_.moves());
  if (Error error = checkNotConcurrent(log_, "redirect"))
    return error;
  CodePlace from{fromPlace.object, oldFunction->place.offset}, to{toPlace.object, newFunction->place.offset};
  SmallVector<Handle> dependents = references_.dependentsOf(from.object);
  WriteScope scope(arena_);
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
  changed.insert(changed.end(), dependents.begin(), dependents.end());
  for (Handle handle : changed)
    references_.settle(handle);
  return changed;
}

Error Redirector::check(Expected<FunctionSymbol> &from, Expected<FunctionSymbol> &to, const FunctionPlace &fromPlace,
                        const FunctionPlace &toPlace) const {
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
  if (!isItself && objects_.forwardOf(toPlace.object, to->place.offset))
    return fail(ErrorCode::State, "redirect: '" + toPlace.symbol + "' has itself been redirected");
  return Error::success();
}

// ---- entry stubs, and what later links find ----

Error Redirector::forwardAll(const CodePlace &from, const CodePlace &to, ArrayRef<Handle> dependents) {
  auto stub = stubs_.of(to.object, to.offset);
  if (!stub)
    return stub.takeError();
  SmallVector<CodePlace> forwarded{from};
  for (Handle handle : concat<const Handle>(dependents, ArrayRef(from.object)))
    for (const Forward &forward : objects_.redirectionsOf(handle).forwards)
      if (CodePlace{forward.object, forward.to} == from)
        forwarded.push_back({handle, forward.from});
  for (const CodePlace &place : forwarded)
    forward(place, to, *stub);
  return Error::success();
}

void Redirector::forward(const CodePlace &from, const CodePlace &to, EntryIndex stub) {
  Redirections &redirections = objects_.ensureRedirections(from.object);
  erase_if(redirections.forwards, [&](const Forward &forward) { return forward.from == from.offset; });
  redirections.forwards.push_back({from.offset, to.object, to.offset});
  if (from.object != to.object)
    references_.add(from.object, to.object);
  stubs_.forward(from, stub);
}

// Those that had been redirected to this one when it was redirected stay where they lead.
void Redirector::takeBack(const CodePlace &from) {
  Redirections *redirections = objects_.findRedirections(from.object);
  if (!redirections)
    return;
  erase_if(redirections->forwards, [&](const Forward &forward) { return forward.from == from.offset; });
  stubs_.takeBack(from);
}

// ---- calls ----

FunctionReference Redirector::asSeenBy(Handle caller, const CodePlace &function) const {
  return {objects_[function.object].links->dependents.find(caller)->second, function.offset};
}

Address Redirector::addressOf(const CodePlace &function) const {
  return objects_[function.object].segment(SegmentKind::Code).base + function.offset;
}

// Of those that lead to `from`, and those that were linked to it.
void Redirector::redirectCalls(const WriteScope &scope, Handle caller, const CodePlace &from, const CodePlace &to) {
  FunctionReference original = asSeenBy(caller, from), target{};
  std::map<CallSite, FunctionReference> &calls = objects_.ensureRedirections(caller).calls;
  Address oldCode = addressOf(from), newCode = addressOf(to);
  bool isChanged = leadCalls(objects_[caller], scope, [&](CallSite site, const CallTarget &now) -> std::optional<CallTarget> {
    auto known = calls.find(site);
    FunctionReference linkedTo = known != calls.end() ? known->second : original;
    bool wasLinked = known != calls.end() && linkedTo == original;
    if (!wasLinked && (now.reference != original.reference || now.address != oldCode))
      return std::nullopt;
    target = {references_.add(caller, to.object), to.offset};
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
void Redirector::redirectNames(Handle caller, const FunctionReference &from, const FunctionReference &to) {
  objects_.everyNameOf(caller, [&](ImportedName &import) {
    FunctionReference now{import.reference, import.offset}, linkedTo = import.linkedTo.value_or(now);
    if (import.kind != ImportedName::Kind::Function || (now != from && linkedTo != from))
      return;
    import.reference = to.reference;
    import.offset = to.function;
    import.linkedTo = linkedTo == to ? std::nullopt : std::optional(linkedTo);
  });
}

// A wrapper's calls stay where they lead, whatever becomes of `from`.
void Redirector::bindCalls(Handle caller, const CodePlace &from) {
  FunctionReference original = asSeenBy(caller, from);
  if (Redirections *redirections = objects_.findRedirections(caller))
    std::erase_if(redirections->calls, [&](const auto &call) { return call.second == original; });
  objects_.everyNameOf(caller, [&](ImportedName &import) {
    if (import.linkedTo == original)
      import.linkedTo.reset();
  });
}

// ---- new links ----

void Redirector::follow(Handle linked, Handle alike) {
  const CodeObject &object = objects_[linked];
  if (!object.links)
    return;
  const std::vector<Handle> &references = object.links->references;
  if (none_of(references, [&](Handle reference) { return !objects_.redirectionsOf(reference).forwards.empty(); }))
    return;
  std::set<CallSite> bound;
  for (const ImportSite &site : object.image->importSites)
    if (site.isCall && names_.isBound(alike, object.image->imports[site.import].name))
      bound.insert({site.segment, site.offset});
  WriteScope scope(arena_);
  leadCalls(objects_[linked], scope, [&](CallSite site, const CallTarget &now) -> std::optional<CallTarget> {
    Handle callee = references[now.reference];
    auto function = static_cast<Offset>(now.address - objects_[callee].segment(SegmentKind::Code).base);
    const Forward *forward = objects_.forwardOf(callee, function);
    if (!forward || bound.contains(site))
      return std::nullopt;
    objects_.ensureRedirections(linked).calls.insert({site, {now.reference, function}});
    return CallTarget{references_.add(linked, forward->object), addressOf({forward->object, forward->to})};
  });
  followNames(linked, alike);
  references_.settle(linked);
}

void Redirector::followNames(Handle handle, Handle alike) {
  objects_.everyNameOf(handle, [&](ImportedName &import) {
    if (import.kind != ImportedName::Kind::Function || names_.isBound(alike, import.name))
      return;
    const Forward *forward = objects_.forwardOf(objects_[handle].links->references[import.reference], import.offset);
    if (!forward)
      return;
    import.linkedTo = {import.reference, import.offset};
    import.reference = references_.add(handle, forward->object);
    import.offset = forward->to;
  });
}
