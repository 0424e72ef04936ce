// What stress tests ask of the engine: traps where no code is, and whether all records agree.
#include "run/engine.h"

#include "base/error.h"
#include "memory/write_scope.h"

#include <cstring>

using namespace nomad;
using namespace llvm;

void Engine::poison(Range part) {
  constexpr int trap = 0xcc; // int3
  constexpr Size granule = OccupancyMap::granule;
  const OccupancyMap &occupancy = arena_->occupancy(SegmentKind::Code);
  WriteScope scope(*arena_);
  for (Address at = part.base; at < part.limit; at = at + granule)
    if (occupancy.isVacant(Range::at(at, granule)))
      std::memset(scope.writable(at), trap, granule);
}

SmallVector<Range> Engine::codeToPoison(ArrayRef<MoveRequest> requests) const {
  SmallVector<Range> ranges;
  for (const MoveRequest &request : poisonsVacated_ ? requests : ArrayRef<MoveRequest>())
    if (objects_.isLive(request.object) && objects_[request.object].state == State::Placed)
      ranges.push_back(objects_[request.object].segment(SegmentKind::Code).range());
  return ranges;
}

namespace {

Error damaged(const CodeObject &object, const Twine &what) {
  return fail(ErrorCode::State, "damage: code object " + Twine(quoted(object)) + ": " + what);
}

} // namespace

Error Engine::verify() {
  for (Handle handle = 0; handle < objects_.limit(); ++handle) {
    CodeObject &object = objects_[handle];
    if (object.state != State::Placed || hostIndices_.contains(handle))
      continue;
    if (Error error = verifySegments(object))
      return error;
    if (Error error = verifyLinks(handle))
      return error;
  }
  return Error::success();
}

Error Engine::verifySegments(CodeObject &object) {
  for (SegmentKind kind : segmentKinds) {
    const Segment &segment = object.segment(kind);
    if (segment.exists() && !arena_->segments(kind).contains(segment.range()))
      return damaged(object, Twine("its ") + segmentName(kind) + " is outside of its range");
    if (segment.exists() && arena_->occupancy(kind).isVacant(segment.range()))
      return damaged(object, Twine("its ") + segmentName(kind) + " lies in memory that counts as vacant");
  }
  const Segment &code = object.segment(SegmentKind::Code);
  if (code.exists() && mover_.codeOwners().find(code.base) != &object)
    return damaged(object, "the owner index does not find it");
  for (const EntryUse &entry : object.entries)
    if (entries_.target(entry.index) != code.base + entry.offset)
      return damaged(object, "an entry stub leads elsewhere");
  return Error::success();
}

// It and what it refers to know of each other.
Error Engine::verifyLinks(Handle handle) {
  const CodeObject &object = objects_[handle];
  if (!object.links)
    return Error::success();
  for (Handle reference : object.links->references)
    if (reference != noHandle &&
        (!objects_.isLive(reference) || !objects_[reference].links || !objects_[reference].links->dependents.contains(handle)))
      return damaged(object, "what it refers to does not know of it");
  for (const Relocation &relocation : object.relocations.decode())
    if (relocation.target == TargetKind::Reference && relocation.formula == Formula::Relative32 &&
        segmentOfReference(relocation.reference) == SegmentKind::Code)
      if (Error error = verifyCall(handle, relocation))
        return error;
  return Error::success();
}

// Every call of another code object leads to where that is, or to what redirections have made of it.
Error Engine::verifyCall(Handle handle, const Relocation &relocation) {
  const CodeObject &object = objects_[handle];
  const Links &links = *object.links;
  Address site = object.segment(relocation.segment).base + relocation.site;
  std::int32_t distance;
  std::memcpy(&distance, site.pointer(), sizeof distance);
  Address target = (site + sizeof distance).shifted(distance);
  std::uint32_t index = indexOfReference(relocation.reference);
  if (!links.keepsAlive(index))
    return damaged(object, "it calls what it does not keep alive");
  const Segment &callee = objects_[links.references[index]].segment(SegmentKind::Code);
  if (relocation.segment == SegmentKind::Code && !callee.range().contains(target))
    return damaged(object, "a call leads outside of " + Twine(quoted(objects_[links.references[index]])));
  const Redirections &redirections = redirectionsOf(handle);
  auto call = redirections.calls.find({relocation.segment, relocation.site});
  if (call == redirections.calls.end())
    return Error::success();
  auto [linkedTo, function] = call->second;
  const Forward *forward = forwardOf(links.references[linkedTo], function);
  if (!forward || forward->object != links.references[index] || callee.base + forward->to != target)
    return damaged(object, "a redirected call leads elsewhere");
  return Error::success();
}
