// Oracles: the relocations that went in; and, for applying, a model that keeps each site's target as an address and computes from
// scratch what the site must hold at the new places (target - site and so on), where the table only adds differences.
#include "support.h"

#include "link/relocation_table.h"

#include <algorithm>
#include <map>
#include <set>

using namespace nomad;
using namespace nomad::test;

namespace {

Relocation at(Offset site, Formula formula = Formula::Relative32, SegmentKind segment = SegmentKind::Code,
              TargetKind target = TargetKind::Data, std::uint32_t reference = 0) {
  return {segment, formula, target, SegmentReference{reference}, site};
}

std::vector<Relocation> sorted(std::vector<Relocation> relocations) {
  std::sort(relocations.begin(), relocations.end());
  return relocations;
}

// Distinct sites, near each other, far from each other, and in runs.
std::vector<Relocation> randomRelocations(Random &random, size_t count) {
  std::set<Relocation> relocations;
  std::uint64_t site = 0;
  while (relocations.size() < count) {
    auto target = static_cast<TargetKind>(random.below(5));
    Relocation next = at(0, static_cast<Formula>(random.below(6)), segmentKinds[random.below(3)], target,
                         target == TargetKind::Reference ? static_cast<std::uint32_t>(random.below(300)) : 0);
    std::uint64_t stride = random.oneIn(10) ? random.below(1u << 24) : 1 + random.below(200);
    for (std::uint64_t run = random.oneIn(4) ? 1 + random.below(50) : 1; run > 0; --run) {
      next.site = static_cast<Offset>((site += stride) % 0xffff'ffff);
      relocations.insert(next);
    }
  }
  return {relocations.begin(), relocations.end()};
}

} // namespace

TEST_CASE("relocation table: random relocations in any order come out as they went in") {
  SHOW_SEED;
  Random random;
  for (int round = 0; round < 300; ++round) {
    INFO("round " << round);
    std::vector<Relocation> in = randomRelocations(random, 1 + random.below(round % 10 == 0 ? 3000 : 60));
    std::vector<Relocation> shuffled = in;
    std::shuffle(shuffled.begin(), shuffled.end(), std::mt19937_64(random.bits()));
    RelocationTable table = RelocationTable::encode(shuffled);
    REQUIRE(table.count() == in.size());
    REQUIRE(sorted(table.decode()) == in);
  }
}

TEST_CASE("relocation table: an empty one takes no memory and moves nothing") {
  RelocationTable table = RelocationTable::encode({});
  CHECK(table.bytes() == 0);
  CHECK(table.decode().empty());
  CHECK(table.applyMove({}) == 0);
  CHECK(table.applyReferences({}, 16, [](SegmentReference) { return true; }) == 0);
}

TEST_CASE("relocation table: the first and the last site that an Offset can name") {
  std::vector<Relocation> in{at(0), at(1), at(0xffff'fffe)};
  CHECK(sorted(RelocationTable::encode(in).decode()) == in);
}

TEST_CASE("relocation table: sites less than 128 bytes apart take one byte each (I2)") {
  std::vector<Relocation> in;
  Offset site = 5;
  for (int i = 0; i < 1000; ++i)
    in.push_back(at(site += 1 + (static_cast<Offset>(i) * 37 + 11) % 127)); // strides that don't repeat
  CHECK(RelocationTable::encode(in).bytes() <= 1000 + 8);
}

TEST_CASE("relocation table: sites 128 bytes to 16 KiB apart take two bytes each (I2)") {
  std::vector<Relocation> in;
  Offset site = 0;
  for (unsigned i = 0; i < 1000; ++i)
    in.push_back(at(site += 128 + i * 7));
  CHECK(RelocationTable::encode(in).bytes() <= 2000 + 8);
}

TEST_CASE("relocation table: a run of equal strides takes a few bytes, however long (I2)") {
  std::vector<Relocation> in;
  for (Offset i = 0; i < 100'000; ++i)
    in.push_back(at(64 + 8 * i, Formula::Absolute64, SegmentKind::Constants, TargetKind::Code));
  RelocationTable table = RelocationTable::encode(in);
  CHECK(table.bytes() <= 10);
  CHECK(table.decode() == in);
}

TEST_CASE("relocation table: runs around the shortest length, at a group's begin, middle and end") {
  for (size_t length = 1; length <= 8; ++length)
    for (Offset before : {0u, 1u, 3u})
      for (Offset after : {0u, 1u, 3u}) {
        std::vector<Relocation> in;
        Offset site = 0;
        for (Offset i = 0; i < before; ++i)
          in.push_back(at(site += 100 + i));
        for (size_t i = 0; i < length; ++i)
          in.push_back(at(site += 8));
        for (Offset i = 0; i < after; ++i)
          in.push_back(at(site += 200 + i));
        REQUIRE(RelocationTable::encode(in).decode() == in);
      }
}

TEST_CASE("relocation table: keepOnlyReferences keeps exactly the relocations towards other code objects") {
  SHOW_SEED;
  Random random;
  std::vector<Relocation> in = randomRelocations(random, 500);
  RelocationTable table = RelocationTable::encode(in);
  table.keepOnlyReferences();
  std::erase_if(in, [](const Relocation &each) { return each.target != TargetKind::Reference; });
  REQUIRE_FALSE(in.empty());
  CHECK(sorted(table.decode()) == in);
}

// The same site may be in two groups: `.long a - b` with both ends moving, as a difference of sections.
TEST_CASE("relocation table: one site in two groups") {
  std::vector<Relocation> in{at(8, Formula::Relative32, SegmentKind::Code, TargetKind::Constants),
                             at(8, Formula::Negative32, SegmentKind::Code, TargetKind::Data)};
  CHECK(sorted(RelocationTable::encode(in).decode()) == sorted(in));
}
