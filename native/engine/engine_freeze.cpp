// The engine's end of moving: a code object that will not move for now gives up what moving it needs.
#include "engine/engine.h"

#include "base/error.h"

using namespace nomad;
using namespace llvm;

namespace {

Error notMovable(const CodeObject &object) {
  std::string who = quoted(object);
  if (object.state != State::Placed)
    return fail(ErrorCode::State, "freeze: code object " + Twine(who) + " is not placed");
  if (object.retain == Retain::Frozen)
    return fail(ErrorCode::State, "freeze: code object " + Twine(who) + " is frozen already");
  return fail(ErrorCode::State, "freeze: code object " + Twine(who) + " was compiled with retain: 'none' and has no relocations");
}

} // namespace

Expected<std::vector<std::uint8_t>> Engine::freeze(Handle handle, std::uint64_t id) {
  auto found = object(handle);
  if (!found)
    return found.takeError();
  if (found->state != State::Placed || !keepsMovable(found->retain))
    return notMovable(*found);
  bool hasObject = found->retain == Retain::Object;
  found->retain = Retain::Frozen;
  immovable_.insert(handle);
  return hasObject ? takeObjectFile(handle, id) : found->relocations.takeOwn(id);
}

Error Engine::thaw(Handle handle, std::uint64_t id, ArrayRef<std::uint8_t> given) {
  auto found = object(handle);
  if (!found)
    return found.takeError();
  if (found->retain != Retain::Frozen)
    return fail(ErrorCode::State, "thaw: code object " + Twine(quoted(*found)) + " is not frozen");
  // Another thread may be changing what it has shared with us: what is checked is what is used.
  const std::vector<std::uint8_t> saved = given.vec();
  std::array<Size, 3> sizes{};
  for (SegmentKind kind : segmentKinds)
    sizes[indexOf(kind)] = found->segment(kind).size;
  auto kept = kept_.find(handle);
  bool hasObject = kept != kept_.end() && kept->second->frozen;
  if (Error error = hasObject ? putObjectFileBack(handle, id, saved) : found->relocations.putBack(saved, id, sizes))
    return withCode(ErrorCode::State, "thaw: not what freeze() of code object " + quoted(*found) + " returned", std::move(error));
  found->retain = hasObject ? Retain::Object : Retain::Relocations;
  if (!found->storesLabels)
    immovable_.erase(handle);
  return Error::success();
}
