// Oracle: for each formula, what the site must hold is computed from scratch out of the addresses of site and target before and
// after; the table only adds differences.
#include "support.h"

#include "link/relocation_apply.h"

#include <algorithm>

using namespace nomad;
using namespace nomad::test;

namespace {

constexpr std::uint32_t segmentBytes = 4096;
const Address arenaBase = Address::of(0x7f12'3450'0000);

// Three segments that exist only as bytes and addresses.
struct World {
  std::array<std::vector<std::byte>, 3> bytes;
  SegmentMoves moves;

  explicit World(Random &random) {
    for (size_t kind = 0; kind < 3; ++kind) {
      bytes[kind].resize(segmentBytes);
      for (std::byte &each : bytes[kind])
        each = static_cast<std::byte>(random.bits());
      // Old and new places of all segments are apart: 64 slots of 32 MiB, of which each kind has its own.
      Size from = (6 * kind + random.below(3)) << 25, to = (6 * kind + 3 + random.below(3)) << 25;
      moves[kind] = {bytes[kind].data(), arenaBase + from + 16 * random.below(1000), arenaBase + to + 16 * random.below(1000),
                     segmentBytes};
      if (random.oneIn(4))
        moves[kind].to = moves[kind].from;
    }
  }

  template <typename Word>
  Word get(size_t kind, Offset site) const {
    Word value;
    std::memcpy(&value, bytes[kind].data() + site, sizeof value);
    return value;
  }
  template <typename Word>
  void set(size_t kind, Offset site, Word value) {
    std::memcpy(bytes[kind].data() + site, &value, sizeof value);
  }
};

// Where something is before (false) and after (true) the move.
Address placeOf(const SegmentMove &move, Offset offset, bool after) { return (after ? move.to : move.from) + offset; }

// The ABI's definition of each formula, for a site and a target.
std::uint64_t define(Formula formula, Address site, Address target) {
  switch (formula) {
  case Formula::Relative32:
  case Formula::Relative64:
    return static_cast<std::uint64_t>(target - site);
  case Formula::Negative32:
  case Formula::Negative64:
    return static_cast<std::uint64_t>(site - target);
  case Formula::Absolute64:
  case Formula::DataPointer:
    return target.value();
  }
  return 0;
}

struct Site {
  Relocation relocation;
  Offset target; // in the segment that `relocation.target` says, or from arenaBase if Fixed
};

Address targetOf(const World &world, const Site &site, bool after) {
  if (site.relocation.target == TargetKind::Fixed)
    return arenaBase.shifted(-0x100'0000) + site.target;
  return placeOf(world.moves[static_cast<size_t>(site.relocation.target)], site.target, after);
}

std::vector<Site> randomSites(Random &random, Formula formula) {
  std::vector<Site> sites;
  for (SegmentKind segment : segmentKinds)
    for (Offset slot = static_cast<Offset>(random.below(4)); slot < segmentBytes / 8;
         slot += static_cast<Offset>(1 + random.below(9))) {
      if (formula == Formula::DataPointer && segment != SegmentKind::Data)
        continue; // those are DataPointers only where the program can write
      auto target = static_cast<TargetKind>(random.below(4));
      sites.push_back(
          {{segment, formula, target, SegmentReference{}, slot * 8}, static_cast<Offset>(random.below(segmentBytes))});
    }
  return sites;
}

template <typename Word>
void fill(World &world, const std::vector<Site> &sites, bool after) {
  for (const auto &[relocation, target] : sites) {
    size_t kind = indexOf(relocation.segment);
    Address site = placeOf(world.moves[kind], relocation.site, after);
    world.set(kind, relocation.site,
              static_cast<Word>(define(relocation.formula, site, targetOf(world, {relocation, target}, after))));
  }
}

template <typename Word>
void checkFormula(Formula formula) {
  SHOW_SEED;
  Random random(static_cast<std::uint64_t>(formula));
  for (int round = 0; round < 100; ++round) {
    INFO("round " << round);
    World world(random);
    std::vector<Site> sites = randomSites(random, formula);
    std::vector<Relocation> relocations;
    for (const Site &site : sites)
      relocations.push_back(site.relocation);
    fill<Word>(world, sites, false);
    World expected = world; // all that is no site stays as it is
    fill<Word>(expected, sites, true);
    RelocationTable::encode(relocations).applyMove(world.moves);
    REQUIRE(world.bytes == expected.bytes);
  }
}

} // namespace

TEST_CASE("relocation formula: Relative32 is target - site") { checkFormula<std::uint32_t>(Formula::Relative32); }
TEST_CASE("relocation formula: Relative64 is target - site") { checkFormula<std::uint64_t>(Formula::Relative64); }
TEST_CASE("relocation formula: Negative32 is site - target") { checkFormula<std::uint32_t>(Formula::Negative32); }
TEST_CASE("relocation formula: Negative64 is site - target") { checkFormula<std::uint64_t>(Formula::Negative64); }
TEST_CASE("relocation formula: Absolute64 is the target's address") { checkFormula<std::uint64_t>(Formula::Absolute64); }
TEST_CASE("relocation formula: DataPointer follows what it points to (I4)") { checkFormula<std::uint64_t>(Formula::DataPointer); }

namespace {

// One data slot with a given value; where must it point after the move?
std::uint64_t moveSlot(World &world, std::uint64_t value) {
  world.set(2, 8, value);
  RelocationTable::encode({{SegmentKind::Data, Formula::DataPointer, TargetKind::Data, SegmentReference{}, 8}})
      .applyMove(world.moves);
  return world.get<std::uint64_t>(2, 8);
}

World movingWorld() {
  Random random(0);
  World world(random);
  for (size_t kind = 0; kind < 3; ++kind) {
    world.moves[kind].from = arenaBase + (kind << 26);
    world.moves[kind].to = arenaBase + (kind << 26) + 0x10000 * (kind + 1);
  }
  return world;
}

} // namespace

// One past the end of what the program knows is still inside: linkers pad the segments of such code objects by a byte.
TEST_CASE("relocation formula: DataPointer, first and last byte follow each segment (I4)") {
  for (size_t kind = 0; kind < 3; ++kind)
    for (Size offset : {Size{0}, Size{segmentBytes - 1}}) {
      World world = movingWorld();
      const SegmentMove &move = world.moves[kind];
      CHECK(moveSlot(world, (move.from + offset).value()) == (move.to + offset).value());
    }
}

TEST_CASE("relocation formula: DataPointer, what the program stored there stays (I4)") {
  World world = movingWorld();
  for (std::uint64_t value : {std::uint64_t{0}, std::uint64_t{42}, ~std::uint64_t{0}, world.moves[0].from.value() - 1,
                              world.moves[2].from.value() + segmentBytes, world.moves[1].to.value()}) {
    World copy = world;
    for (size_t kind = 0; kind < 3; ++kind)
      copy.moves[kind].bytes = copy.bytes[kind].data();
    CHECK(moveSlot(copy, value) == value);
  }
}

// Segments of two kinds can touch at the border of two ranges: a pointer to the second one's first byte is not one past the
// first.
TEST_CASE("relocation formula: DataPointer, a pointer to a segment's first byte is that segment's, whatever ends there (I4)") {
  World world = movingWorld();
  world.moves[2].from = world.moves[1].from + segmentBytes;
  CHECK(moveSlot(world, world.moves[2].from.value()) == world.moves[2].to.value());
}

TEST_CASE("relocation formula: a segment that does not exist attracts no pointer") {
  World world = movingWorld();
  world.moves[1] = {};
  CHECK(moveSlot(world, 0) == 0);
}

TEST_CASE("relocation formula: a move of another code object rewrites the calls of it and nothing else (I9)") {
  SHOW_SEED;
  Random random(77);
  World world(random);
  std::vector<Relocation> relocations;
  for (Offset i = 0; i < 300; ++i)
    relocations.push_back({SegmentKind::Code, Formula::Relative32, TargetKind::Reference, SegmentReference{i % 5}, i * 8});
  relocations.push_back({SegmentKind::Code, Formula::Relative32, TargetKind::Data, SegmentReference{}, 4000});
  RelocationTable table = RelocationTable::encode(relocations);
  World expected = world;
  constexpr Delta delta = -0x123'4560;
  auto isThird = [](SegmentReference reference) { return reference == SegmentReference{3}; };
  auto isNone = [](SegmentReference) { return false; };
  for (const Relocation &each : relocations)
    if (each.target == TargetKind::Reference && each.reference == SegmentReference{3})
      expected.set(0, each.site, world.get<std::uint32_t>(0, each.site) + static_cast<std::uint32_t>(delta));
  CHECK(table.applyReferences(world.moves, delta, isThird) == 60);
  CHECK(world.bytes == expected.bytes);
  CHECK(table.applyReferences(world.moves, delta, isNone) == 0);
  CHECK(world.bytes == expected.bytes);
}

TEST_CASE("relocation formula: a call of another code object keeps its target when the caller moves (I9)") {
  World world = movingWorld();
  Address callee = arenaBase + 0x300'0000;
  world.set(0, 100, static_cast<std::uint32_t>(callee - (world.moves[0].from + 100)));
  RelocationTable::encode({{SegmentKind::Code, Formula::Relative32, TargetKind::Reference, SegmentReference{9}, 100}})
      .applyMove(world.moves);
  CHECK(world.get<std::uint32_t>(0, 100) == static_cast<std::uint32_t>(callee - (world.moves[0].to + 100)));
}

namespace {

// One formula and target for most sites of a segment, so that their group is long, and any for the others; one by one and in
// runs, so that a run crosses the border of a part.
std::vector<Relocation> manyRelocations(Random &random) {
  std::vector<Relocation> relocations;
  for (SegmentKind segment : segmentKinds) {
    auto anyFormula = [&] { return static_cast<Formula>(random.below(segment == SegmentKind::Data ? 6 : 5)); };
    auto anyTarget = [&] { return static_cast<TargetKind>(random.below(4)); };
    Formula formula = anyFormula();
    TargetKind target = anyTarget();
    for (Offset slot = 0; slot + 20 < segmentBytes / 8; slot += static_cast<Offset>(random.below(3))) {
      bool isUsual = !random.oneIn(6);
      Relocation next{segment, isUsual ? formula : anyFormula(), isUsual ? target : anyTarget(), SegmentReference{}, 0};
      for (std::uint64_t left = random.oneIn(8) ? 4 + random.below(16) : 1; left > 0; --left) {
        next.site = 8 * slot++;
        relocations.push_back(next);
      }
    }
  }
  return relocations;
}

// Copies what a World has to where it moves, a random part at a time.
std::uint32_t moveInParts(Random &random, const World &from, const RelocationTable &table, World &to) {
  PartwiseMove sites(table, to.moves);
  for (SegmentKind segment : segmentKinds)
    for (Size done = 0; done < segmentBytes;) {
      Size bytes = std::min<Size>(segmentBytes - done, 1 + random.below(random.oneIn(2) ? 12 : 1500));
      std::memcpy(to.moves[indexOf(segment)].bytes + done, from.bytes[indexOf(segment)].data() + done, bytes);
      sites.arrived(segment, done += bytes);
    }
  return sites.finish();
}

} // namespace

// Oracle: applyMove after the whole copy, which the tests above check.
TEST_CASE("relocations in parts: the same bytes and the same count as all at once, however a copy is cut") {
  SHOW_SEED;
  Random random(78);
  for (int round = 0; round < 100; ++round) {
    INFO("round " << round);
    World before(random);
    World whole = before, parts = before;
    for (size_t kind = 0; kind < 3; ++kind) {
      whole.moves[kind].bytes = whole.bytes[kind].data();
      parts.moves[kind].bytes = parts.bytes[kind].data();
      std::fill(parts.bytes[kind].begin(), parts.bytes[kind].end(), std::byte{0xcc}); // not copied yet
    }
    RelocationTable table = RelocationTable::encode(manyRelocations(random));
    std::uint32_t applied = table.applyMove(whole.moves);
    REQUIRE(moveInParts(random, before, table, parts) == applied);
    REQUIRE(parts.bytes == whole.bytes);
  }
}

TEST_CASE("relocations in parts: nothing to apply, and segments that stay") {
  Random random(79);
  World world(random);
  World expected = world;
  RelocationTable empty;
  PartwiseMove none(empty, world.moves);
  none.arrived(SegmentKind::Code, segmentBytes);
  CHECK(none.finish() == 0);
  CHECK(world.bytes == expected.bytes);
}
