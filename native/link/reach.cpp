#include "link/reach.h"

#include "llvm/Support/MathExtras.h"

using namespace nomad;

namespace {

// More than an addend of compilers, and less than the entry stubs before all segments and the slots after them take.
constexpr Size slack = Size{64} << 10;

// How far a segment can move.
struct Deltas {
  Delta lowest = 0;
  Delta highest = 0;
};

Deltas deltasOf(const Arena &arena, const std::array<Segment, 3> &segments, SegmentKind kind) {
  Range range = arena.segments(kind), now = segments[indexOf(kind)].range();
  return {range.base - now.base, range.limit - now.limit};
}

} // namespace

bool nomad::fitsEverywhere(const Arena &arena, const std::array<Segment, 3> &segments, const Relocation &relocation,
                           std::int32_t value) {
  if (widthOf(relocation.formula) != sizeof value)
    return true;
  bool isNegative = relocation.formula == Formula::Negative32;
  Delta distance = isNegative ? -Delta{value} : Delta{value}; // target - site
  if (relocation.target == TargetKind::Reference) {
    // Of the other code object only this address is known. It stays in its range, and so within reach.
    Address to = (segments[indexOf(relocation.segment)].base + relocation.site).shifted(distance);
    Range range = arena.segments(segmentOfReference(relocation.reference));
    return range.base.shifted(-static_cast<Delta>(slack)) <= to && to < range.limit + slack;
  }
  Deltas site = deltasOf(arena, segments, relocation.segment), target;
  if (relocation.target != TargetKind::Fixed)
    target = deltasOf(arena, segments, static_cast<SegmentKind>(relocation.target));
  Delta lowest = distance + target.lowest - site.highest, highest = distance + target.highest - site.lowest;
  return isNegative ? llvm::isInt<32>(-lowest) && llvm::isInt<32>(-highest) : llvm::isInt<32>(lowest) && llvm::isInt<32>(highest);
}
