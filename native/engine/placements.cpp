#include "engine/placements.h"

#include "memory/write_scope.h"

#include <cstring>

using namespace nomad;
using namespace llvm;

Expected<MoveReport> Placements::place(ArrayRef<MoveRequest> requests) {
  SmallVector<std::pair<Handle, Offset>, 1> initializers;
  for (const MoveRequest &request : requests)
    if (objects_.isLive(request.object) && objects_[request.object].image)
      if (Offset initializer = objects_[request.object].image->initializer; initializer != noOffset)
        initializers.push_back({request.object, initializer});
  if (!initializers.empty())
    if (auto thunk = thunks_.direct(); !thunk)
      return thunk.takeError();
  auto report = mover_.place(requests, space_.placeable());
  refresh_.afterChange();
  if (report)
    for (auto &[handle, initializer] : initializers)
      thunks_.call(objects_[handle].segment(SegmentKind::Code).base + initializer);
  return report;
}

Expected<MoveReport> Placements::relocate(ArrayRef<MoveRequest> requests) {
  QuietMoves::OthersKeptOut keepOut(log_.moves());
  roots_.look();
  auto before = verifier_.before(requests);
  if (!before)
    return before.takeError();
  SmallVector<Range> left = codeToPoison(requests);
  auto report = mover_.relocate(requests, space_.placeable());
  if (!report)
    return report;
  roots_.follow();
  for (Range range : left)
    poison(range);
  refresh_.afterChange();
  if (Error error = verifier_.verify(*before))
    return error;
  return report;
}

void Placements::vacate(CodeObject &object) {
  mover_.vacate(object);
  if (vacated_ == Vacated::Poisoned)
    poison(object.segment(SegmentKind::Code).range());
}

SmallVector<Range> Placements::codeToPoison(ArrayRef<MoveRequest> requests) const {
  SmallVector<Range> ranges;
  for (const MoveRequest &request : vacated_ == Vacated::Poisoned ? requests : ArrayRef<MoveRequest>())
    if (objects_.isLive(request.object) && objects_[request.object].state == State::Placed)
      ranges.push_back(objects_[request.object].segment(SegmentKind::Code).range());
  return ranges;
}

void Placements::poison(Range part) {
  constexpr int trap = 0xcc; // int3
  constexpr Size granule = OccupancyMap::granule;
  const OccupancyMap &occupancy = arena_.occupancy(SegmentKind::Code);
  WriteScope scope(arena_);
  for (Address at = part.base; at < part.limit; at = at + granule)
    if (occupancy.isVacant(Range::at(at, granule)))
      std::memset(scope.writable(at), trap, granule);
}
