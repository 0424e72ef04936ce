// The address range of one Jit. Everything in it is within +-2 GB of everything else, so a move inside it can't run out of
// range (I6), and its number of kernel mappings does not depend on the number of code objects (I8).
//
//   base                                                                              base + arenaBytes
//   | entry stubs | code            | constants     | data           | entry slots |
//   |------- read + execute --------|---- read -----|-------- read + write --------|
//   \_______ one memfd, with a second, writable view elsewhere _____/\____ private ____/
//
// No mapping is both writable and executable, at any time (I5).
#pragma once

#include "memory/mapping.h"
#include "memory/occupancy_map.h"

#include <array>
#include <memory>
#include <vector>

namespace nomad {

/// A code object's parts, each with one protection; also the arena's ranges, in address order.
enum class SegmentKind : std::uint8_t { Code, Constants, Data };
inline constexpr std::array segmentKinds{SegmentKind::Code, SegmentKind::Constants, SegmentKind::Data};
constexpr size_t indexOf(SegmentKind kind) { return static_cast<size_t>(kind); }
const char *segmentName(SegmentKind kind);

class Arena {
public:
  static constexpr Size minBytes = Size{1} << 20;
  static constexpr Size maxBytes = (Size{1} << 31) - (Size{64} << 10);

  /// Errors: Arena if the system refuses.
  static llvm::Expected<std::unique_ptr<Arena>> create(Size arenaBytes);
  ~Arena();

  Range range() const { return reservation_.range(); }
  Range segments(SegmentKind kind) const { return segments_[indexOf(kind)]; }
  Range entryStubs() const { return entryStubs_; }
  Range entrySlots() const { return entrySlots_; }
  OccupancyMap &occupancy(SegmentKind kind) { return occupancy_[indexOf(kind)]; }
  const OccupancyMap &occupancy(SegmentKind kind) const { return occupancy_[indexOf(kind)]; }

  /// How far the writable view of code, constants and entry stubs is from where they run. Only write scopes use it.
  Delta writableViewDelta() const { return writableView_.range().base - range().base; }

  /// Gives pages that no code object occupies back to the system; returns their bytes, resident or not.
  Size trim();
  /// Entry stubs and slots that stay when the arena goes: the first bytes of each, and the last page of slots.
  std::vector<Mapping> leaveEntries(Size stubBytes, Size slotBytes);
  /// Kernel mappings that begin in the arena or in its writable view.
  Size countMappings() const;

private:
  Arena() = default;
  llvm::Error map();
  void discard(SegmentKind kind, Range pages);

  Mapping reservation_;
  Mapping writableView_;
  Range entryStubs_;
  Range entrySlots_;
  std::array<Range, 3> segments_;
  std::vector<OccupancyMap> occupancy_; // one a kind
  bool leavesEntries_ = false;
};

} // namespace nomad
