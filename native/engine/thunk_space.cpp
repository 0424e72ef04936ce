#include "engine/thunk_space.h"

#include <algorithm>

using namespace nomad;

// A thunk takes about 200 bytes of code with its unwind records, and one slot in data: room for thousands in the default arena.
ThunkSpace::ThunkSpace(const Arena &arena) {
  constexpr Size share = 64;
  constexpr Size smallest = 64 * 1024;
  for (SegmentKind kind : segmentKinds)
    placeable_[indexOf(kind)] = arena.segments(kind);
  for (SegmentKind kind : {SegmentKind::Code, SegmentKind::Data}) {
    Range range = arena.segments(kind);
    Size size = std::max(smallest, roundDown(range.size() / share, smallest));
    Address base = range.limit.shifted(-static_cast<Delta>(size));
    ranges_[indexOf(kind)] = {base, range.limit};
    placeable_[indexOf(kind)].limit = base;
  }
  for (SegmentKind kind : segmentKinds)
    ends_[indexOf(kind)] = ranges_[indexOf(kind)].base;
}

std::optional<Range> ThunkSpace::next(Ends &ends, SegmentKind kind, Size size, Size alignment) const {
  Range found = Range::at(Address::of(roundUp(ends[indexOf(kind)].value(), alignment)), size);
  if (!ranges_[indexOf(kind)].contains(found))
    return std::nullopt;
  ends[indexOf(kind)] = found.limit;
  return found;
}
