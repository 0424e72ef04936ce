#include "engine/replacer.h"

#include "base/error.h"

#include "llvm/ADT/STLExtras.h"

using namespace nomad;
using namespace llvm;

namespace {

const char *obstacle(const CodeObject &object) {
  if (object.segment(SegmentKind::Data).exists())
    return "it has data of its own";
  if (object.teardown || (object.image && object.image->initializer != noOffset))
    return "it has constructors, destructors or exit handlers";
  if (object.storesLabels)
    return "addresses in its code are stored in unknown places";
  if (object.isIrreplaceable)
    return "it may compare addresses of its constants, or has functions that need not be there";
  // Before the first placement only its own code can have asked for one. Two versions would have two addresses for one function.
  if (object.image && !object.entries.empty())
    return "it takes the addresses of its own functions";
  return object.retain == Retain::Relocations ? nullptr : "it keeps no relocations";
}

} // namespace

Error Replacer::checkReplaceable(Handle handle) {
  auto found = objects_.find(handle);
  if (!found)
    return found.takeError();
  const char *why = obstacle(*found);
  if (found->isEnding)
    why = "it is being freed";
  else if (objects_.hostIndex(handle))
    why = "it is a host function";
  else if (!objects_.forwardsOf(handle).empty())
    why = "its functions have been redirected";
  return why ? fail(ErrorCode::State, "code object " + Twine(quoted(*found)) + " can't be replaced: " + why) : Error::success();
}

// Exported functions of both, by their offsets in code.
Expected<FunctionMatches> Replacer::matchFunctions(Handle from, Handle to) const {
  FunctionMatches matches;
  std::string missing;
  objects_[from].symbols.everyFunction([&](const FunctionSymbol &old) {
    auto found = objects_[to].symbols.function(old.name);
    bool isSame = found && types_.signature(found->signature).text == types_.signature(old.signature).text;
    if (!isSame || matches.try_emplace(old.place.offset, found->place.offset).first->second != found->place.offset)
      missing = old.name.str();
  });
  if (!missing.empty())
    return fail(ErrorCode::State,
                "code object " + Twine(quoted(objects_[from])) + " can't be replaced: the new one has another '" + missing + "'");
  return matches;
}

Error Replacer::check(Handle from, Handle to) {
  for (Handle handle : {from, to})
    if (Error error = checkReplaceable(handle))
      return error;
  const CodeObject &successor = objects_[to];
  if (objects_[from].state != State::Placed || successor.state != State::Placed)
    return fail(ErrorCode::State, "replace: code object " + Twine(quoted(successor)) + " is not placed");
  if (from == to || !successor.entries.empty() || (successor.links && !successor.links->dependents.empty()))
    return fail(ErrorCode::State, "replace: code object " + Twine(quoted(successor)) + " is in use already");
  return Error::success();
}

Expected<std::vector<Handle>> Replacer::replace(Handle from, Handle to) {
  if (Error error = check(from, to))
    return error;
  QuietMoves::OthersKeptOut keepOut(log_.moves());
  if (Error error = checkNotConcurrent(log_, "replace"))
    return error;
  auto matches = matchFunctions(from, to);
  if (!matches)
    return matches.takeError();
  SmallVector<Handle> callers = references_.dependentsOf(from);
  WriteScope scope(arena_);
  for (Handle caller : callers)
    passCaller(scope, caller, from, to, *matches);
  stubs_.pass(objects_[from], objects_[to], *matches);
  names_.pass(from, to);
  objects_.dropNames(from);
  if (objects_[from].segment(SegmentKind::Constants).exists())
    references_.hold(to, from);
  return std::vector<Handle>(callers.begin(), callers.end());
}

void Replacer::passCaller(const WriteScope &scope, Handle caller, Handle from, Handle to, const FunctionMatches &matches) {
  const Links &links = *objects_[caller].links;
  for (std::uint32_t i = 0; i < links.references.size(); ++i) {
    CodePlace old = links.references[i];
    if (old.object != from)
      continue;
    CodePlace now{to, old.isWhole() ? noOffset : matches.at(old.function().offset)};
    if (!old.isCalled())
      now = now.address();
    references_.lead(scope, caller, i, now, links.isRedirected(i) ? links.linkedPlace(i) : now);
  }
}
