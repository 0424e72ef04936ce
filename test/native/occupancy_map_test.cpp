// Oracle: one bool for each granule.
#include "support.h"

#include "memory/occupancy_map.h"

#include <algorithm>

using namespace nomad;
using namespace nomad::test;

namespace {

constexpr Size granule = OccupancyMap::granule;
const Range range = Range::at(Address::of(0x10'0000), 8 * pageSize);

Range granules(Size first, Size limit) { return {range.base + first * granule, range.base + limit * granule}; }

struct Model {
  std::vector<bool> taken = std::vector<bool>(range.size() / granule);

  auto at(Size granule) { return taken.begin() + static_cast<std::ptrdiff_t>(granule); }
  bool isVacant(Size first, Size limit) {
    return std::none_of(at(first), at(limit), [](bool bit) { return bit; });
  }
  Size claimedBytes() { return static_cast<Size>(std::count(taken.begin(), taken.end(), true)) * granule; }

  Range nextVacantPages(Address from) {
    constexpr Size perPage = pageSize / granule;
    Size pages = taken.size() / perPage;
    Size first = roundUp(static_cast<Size>(from - range.base), pageSize) / pageSize;
    while (first < pages && !isVacant(first * perPage, (first + 1) * perPage))
      ++first;
    Size limit = first;
    while (limit < pages && isVacant(limit * perPage, (limit + 1) * perPage))
      ++limit;
    return {range.base + first * pageSize, range.base + limit * pageSize};
  }
};

bool sameRange(Range a, Range b) { return a.base == b.base && a.limit == b.limit; }

// Short spans, long ones, and such as begin or end at a word's border.
std::pair<Size, Size> randomSpan(Random &random, Size count) {
  Size first = random.oneIn(3) ? roundDown(random.below(count), 64) : random.below(count);
  Size length = 1 + random.below(random.oneIn(8) ? 600 : 40);
  Size limit = std::min(count, random.oneIn(3) ? roundUp(first + length, 64) : first + length);
  return {first, std::max(limit, first + 1)};
}

} // namespace

TEST_CASE("occupancy map: random claims and vacations agree with one bool a granule") {
  SHOW_SEED;
  Random random;
  Model model;
  OccupancyMap map = need(OccupancyMap::create(range));
  std::vector<std::pair<Size, Size>> claims;
  for (int step = 0; step < 20'000; ++step) {
    INFO("step " << step);
    if (!claims.empty() && random.oneIn(2)) {
      std::swap(claims[random.below(claims.size())], claims.back());
      auto [first, limit] = claims.back();
      claims.pop_back();
      map.vacate(granules(first, limit));
      std::fill(model.at(first), model.at(limit), false);
    } else {
      auto [first, limit] = randomSpan(random, model.taken.size());
      bool expected = model.isVacant(first, limit);
      REQUIRE(map.isVacant(granules(first, limit)) == expected);
      REQUIRE(map.claim(granules(first, limit)) == expected);
      if (expected) {
        claims.push_back({first, limit});
        std::fill(model.at(first), model.at(limit), true);
      }
    }
    REQUIRE(map.claimedBytes() == model.claimedBytes());
    Address from = range.base + random.below(range.size() + 1);
    REQUIRE(sameRange(map.nextVacantPages(from), model.nextVacantPages(from)));
  }
}

TEST_CASE("occupancy map: every span across the borders of two words claims exactly its granules") {
  for (Size first = 60; first <= 68; ++first)
    for (Size limit = first + 1; limit <= 132; ++limit) {
      OccupancyMap map = need(OccupancyMap::create(range));
      REQUIRE(map.claim(granules(first, limit)));
      for (Size each = 56; each < 136; ++each)
        REQUIRE(map.isVacant(granules(each, each + 1)) == (each < first || each >= limit));
    }
}

TEST_CASE("occupancy map: a refused claim takes nothing") {
  OccupancyMap map = need(OccupancyMap::create(range));
  REQUIRE(map.claim(granules(200, 201)));
  CHECK_FALSE(map.claim(granules(10, 201)));
  CHECK(map.isVacant(granules(10, 200)));
  CHECK(map.claimedBytes() == granule);
}

TEST_CASE("occupancy map: a part of a granule counts as all of it") {
  OccupancyMap map = need(OccupancyMap::create(range));
  REQUIRE(map.claim(Range::at(range.base + 16, 17)));
  CHECK(map.isVacant(granules(0, 1)));
  CHECK_FALSE(map.isVacant(granules(2, 3)));
  CHECK(map.isVacant(granules(3, 4)));
}

TEST_CASE("occupancy map: the last granule of the range can be claimed, and page runs end there") {
  OccupancyMap map = need(OccupancyMap::create(range));
  Size count = range.size() / granule;
  REQUIRE(map.claim(granules(count - 1, count)));
  CHECK(sameRange(map.nextVacantPages(range.base), {range.base, range.base + 7 * pageSize}));
  Range none = map.nextVacantPages(range.base + 7 * pageSize);
  CHECK(sameRange(none, {range.limit, range.limit}));
  CHECK(map.footprint() > 0);
}
