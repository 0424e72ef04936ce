// Which granules of a range belong to a live code object: one bit for 16 bytes.
//
// It makes a batch of moves all or nothing (I7): vacate every old place, claim every new one, and undo if a claim meets a
// granule that somebody has. Costs a few word operations for a small segment, 1/1000 of the copying for a large one.
#pragma once

#include "memory/mapping.h"

#include <cstdint>

namespace nomad {

class OccupancyMap {
public:
  static constexpr Size granule = 16;

  static llvm::Expected<OccupancyMap> create(Range range);

  /// Is no granule of it claimed?
  bool isVacant(Range part) const;
  /// Claims all of `part`, or nothing and false if somebody has some of it.
  bool claim(Range part);
  void vacate(Range part);

  /// Bytes in claimed granules.
  Size claimedBytes() const { return claimedGranules_ * granule; }
  /// Bytes of this map that are resident.
  Size footprint() const;

  /// The first run of vacant whole pages at or after `from`; empty at the range's end.
  Range nextVacantPages(Address from) const;

private:
  OccupancyMap(Range range, Mapping bits) : range_(range), bits_(std::move(bits)) {}

  // Granules [first, limit), rounded outwards.
  struct Granules {
    Size first;
    Size limit;
  };
  Granules granules(Range part) const;
  std::uint64_t *words() const { return bits_.range().base.pointer<std::uint64_t>(); }
  template <typename Visit> bool everyWord(Granules part, Visit visit) const;
  bool isVacantPage(Size page) const;

  Range range_;
  Mapping bits_;
  Size claimedGranules_ = 0;
};

} // namespace nomad
