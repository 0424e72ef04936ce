// Is a 32-bit value right wherever segments are placed? Oracle: every corner of what can be placed, in 128 bits.
#include "support.h"

#include "link/reach.h"

#include "llvm/Support/MathExtras.h"

using namespace nomad;
using namespace nomad::test;

namespace {

// First and last base of a segment in its range.
std::array<Address, 2> ends(const Arena &arena, SegmentKind kind, const Segment &segment) {
  Range range = arena.segments(kind);
  return {range.base, range.limit.shifted(-static_cast<Delta>(segment.size))};
}

bool fitsInCorners(const Arena &arena, const std::array<Segment, 3> &segments, const Relocation &relocation, std::int32_t value) {
  const Segment &from = segments[indexOf(relocation.segment)];
  bool isFixed = relocation.target == TargetKind::Fixed, isNegative = relocation.formula == Formula::Negative32;
  auto target = isFixed ? SegmentKind::Code : static_cast<SegmentKind>(relocation.target);
  const Segment &to = segments[indexOf(target)];
  bool fits = true;
  for (Address site : ends(arena, relocation.segment, from))
    for (Address at : ends(arena, target, to)) {
      __int128 move = (isFixed ? __int128{0} : __int128{at - to.base}) - __int128{site - from.base};
      __int128 elsewhere = isNegative ? value - move : value + move;
      fits = fits && elsewhere >= INT32_MIN && elsewhere <= INT32_MAX;
    }
  return fits;
}

} // namespace

TEST_CASE("reach: as the corners of the arena say, for values near the limits") {
  SHOW_SEED;
  Random random;
  auto arena = need(Arena::create(Size{256} << 20));
  int counts[2] = {};
  for (int i = 0; i < 20000; ++i) {
    std::array<Segment, 3> segments;
    for (SegmentKind kind : segmentKinds) {
      Segment &segment = segments[indexOf(kind)];
      segment.size = static_cast<std::uint32_t>(16 + random.below(1 << 20));
      Size room = arena->segments(kind).size() - segment.size;
      segment.base = arena->segments(kind).base + random.below(room);
    }
    Relocation relocation{};
    relocation.segment = segmentKinds[random.below(3)];
    relocation.formula = random.oneIn(2) ? Formula::Relative32 : Formula::Negative32;
    relocation.target = static_cast<TargetKind>(random.below(4));
    if (static_cast<size_t>(relocation.target) == indexOf(relocation.segment))
      continue; // I1: not kept
    std::int64_t near = static_cast<std::int64_t>(random.below(std::uint64_t{400} << 20));
    auto value = static_cast<std::int32_t>(random.oneIn(2) ? INT32_MAX - near : INT32_MIN + near);
    bool expected = fitsInCorners(*arena, segments, relocation, value);
    CHECK(fitsEverywhere(*arena, segments, relocation, value) == expected);
    ++counts[expected];
  }
  CHECK(counts[0] > 1000);
  CHECK(counts[1] > 1000);
}
