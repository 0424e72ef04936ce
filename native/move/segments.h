// Where the bytes of a code object are, whose sites change though it does not move.
#pragma once

#include "link/code_object.h"
#include "memory/write_scope.h"

namespace nomad {

inline SegmentMoves placedSegments(const CodeObject &object, const WriteScope &scope) {
  SegmentMoves moves;
  for (size_t kind = 0; kind < segmentKinds.size(); ++kind) {
    const Segment &segment = object.segments[kind];
    if (segment.exists())
      moves[kind] = {scope.writable(segment.base), segment.base, segment.base, segment.size};
  }
  return moves;
}

/// Of one that exists perhaps only as an image yet.
inline SegmentMoves segmentsOf(const CodeObject &object, const WriteScope &scope) {
  if (object.state == State::Placed)
    return placedSegments(object, scope);
  SegmentMoves moves;
  for (size_t kind = 0; kind < segmentKinds.size(); ++kind)
    moves[kind].bytes = object.image->bytes[kind].get();
  return moves;
}

} // namespace nomad
