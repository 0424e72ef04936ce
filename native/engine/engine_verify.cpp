// What stress tests ask of the engine: traps where no code is, and whether all records agree.
#include "engine/engine.h"

#include "memory/write_scope.h"
#include "stack/root_check.h"

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

// Everything that is kept by handle.
std::vector<std::pair<const char *, Handle>> Engine::sideTables() const {
  std::vector<std::pair<const char *, Handle>> mentioned;
  auto addKeys = [&](const char *table, const auto &map) {
    for (const auto &[handle, value] : map)
      mentioned.push_back({table, handle});
  };
  addKeys("kept object files", kept_);
  addKeys("kept names", names_);
  addKeys("functions that return twice", returnsTwice_);
  addKeys("host functions", hostIndices_);
  for (Handle handle : immovable_)
    mentioned.push_back({"those that can't move", handle});
  for (const auto &[name, definition] : definitions_)
    if (definition.object != noHandle)
      mentioned.push_back({"definitions", definition.object});
  return mentioned;
}

// While code waits, also what the stack has of it.
Error Engine::verify() {
  if (Error error = verifier_.verify(sideTables()))
    return error;
  const StackRoots &roots = stackRoots();
  return RootCheck(objects_, thunkSpace_[indexOf(SegmentKind::Code)]).check(activations_.innermost, roots);
}
