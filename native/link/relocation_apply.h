// A move of a large code object: its sites are rewritten while the bytes around them are still in the cache.
#pragma once

#include "link/relocation_group.h"

#include "llvm/ADT/SmallVector.h"

namespace nomad {

/// RelocationTable::applyMove for callers that copy segments in parts. `table` and `moves` live longer.
class PartwiseMove {
public:
  PartwiseMove(const RelocationTable &table, const SegmentMoves &moves);

  /// So many bytes from its begin are at a segment's new place, more than at the last call.
  void arrived(SegmentKind segment, Size bytes);
  /// Everything is where it will be. Returns how many sites were rewritten in all.
  std::uint32_t finish();

private:
  struct Rest {
    RelocationGroup group;
    SiteCursor cursor;
  };

  const RelocationTable &table_;
  const SegmentMoves &moves_;
  llvm::SmallVector<Rest, 8> rest_; // of the long groups
  std::uint32_t applied_ = 0;
};

} // namespace nomad
