// What an engine has: counts and bytes.
#include "engine/engine.h"

using namespace nomad;
using namespace llvm;

EngineStats Engine::stats() const {
  EngineStats stats;
  stats.relocationBytes = objects_.objectFileBytes();
  for (Handle handle = 0; handle < objects_.limit(); ++handle) {
    const CodeObject &object = objects_[handle];
    bool isThunk = object.state == State::Placed && space_.code().contains(object.segment(SegmentKind::Code).base);
    if (object.state == State::Vacant || isThunk)
      continue;
    ++stats.liveObjects;
    stats.placedObjects += object.state == State::Placed;
    for (size_t kind = 0; kind < segmentKinds.size(); ++kind)
      stats.liveBytes[kind] += object.state == State::Placed ? object.segments[kind].size : 0;
    stats.relocationBytes += object.relocations.bytes();
    stats.bookkeepingBytes += object.symbols.bytes();
  }
  stats.bookkeepingBytes += stats.relocationBytes + objects_.records().bytes();
  for (SegmentKind kind : segmentKinds) {
    stats.reservedBytes[indexOf(kind)] = placeable(kind).size();
    stats.bookkeepingBytes += arena_->occupancy(kind).footprint();
  }
  stats.entryStubs = entries_.used();
  stats.mappings = arena_->countMappings();
  if (cache_)
    stats.cache = linking_.cacheStats();
  return stats;
}
