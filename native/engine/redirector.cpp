#include "engine/redirector.h"

#include "base/error.h"

#include "llvm/ADT/STLExtras.h"

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
  if (Error error = prepare(from, to))
    return error;
  std::vector<Handle> changed{from.object};
  append_range(changed, references_.dependentsOf(from.object));
  WriteScope scope(arena_);
  for (Handle caller : changed)
    lead(scope, caller, from, to);
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
  if (!isItself && objects_.forwardOf({toPlace.object, to->place.offset}))
    return fail(ErrorCode::State, "redirect: '" + toPlace.symbol + "' has itself been redirected");
  return Error::success();
}

// There is a stub to lead others to, and a reference that says what later links find.
Error Redirector::prepare(const CodePlace &from, const CodePlace &to) {
  if (from == to)
    return Error::success();
  auto stub = stubs_.of(to.object, to.offset);
  if (!stub)
    return stub.takeError();
  const Links &links = objects_[from.object].ensureLinks();
  bool isKnown = is_contained(links.linkedTo.empty() ? links.references : links.linkedTo, from);
  if (!isKnown)
    references_.add(from.object, from);
  return Error::success();
}

void Redirector::lead(const WriteScope &scope, Handle caller, const CodePlace &from, const CodePlace &to) {
  const auto &links = objects_[caller].links;
  for (std::uint32_t i = 0; links && i < links->references.size(); ++i) {
    CodePlace now = links->references[i], linkedPlace = links->linkedPlace(i);
    if (now != from && linkedPlace != from)
      continue;
    bool isForward = linkedPlace.object == caller, isWrapper = caller == to.object && !isForward;
    if (isWrapper) // its calls stay where they lead, whatever becomes of `from`
      references_.lead(scope, caller, i, now, now);
    else
      references_.lead(scope, caller, i, to, linkedPlace);
    if (isForward)
      stubs_.lead(linkedPlace, to);
  }
}

void Redirector::follow(Handle linked, Handle alike) {
  const auto &links = objects_[linked].links;
  auto isForwarded = [this](const CodePlace &place) { return objects_.forwardOf(place).has_value(); };
  if (!links || none_of(links->references, isForwarded))
    return;
  WriteScope scope(arena_);
  for (std::uint32_t i = 0; i < links->references.size(); ++i) {
    CodePlace function = links->references[i];
    if (auto forward = objects_.forwardOf(function); forward && !isBound(linked, i, alike))
      references_.lead(scope, linked, i, *forward, function);
  }
}

bool Redirector::isBound(Handle linked, std::uint32_t index, Handle alike) const {
  return any_of(objects_[linked].image->imports, [=, this](const ImportedName &import) {
    return refersToFunction(import) && import.reference == index && names_.isBound(alike, import.name);
  });
}
