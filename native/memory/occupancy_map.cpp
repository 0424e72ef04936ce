#include "memory/occupancy_map.h"

#include <algorithm>
#include <bit>

using namespace nomad;
using namespace llvm;

namespace {

constexpr Size wordsPerPage = pageSize / OccupancyMap::granule / 64;

} // namespace

Expected<OccupancyMap> OccupancyMap::create(Range range) {
  NOMAD_ASSERT(range.base.isAligned(pageSize) && range.size() % pageSize == 0, "a mapped range is whole pages");
  Size bytes = roundUp(range.size() / granule / 8, pageSize);
  auto bits = Mapping::anonymous(bytes);
  if (!bits)
    return bits.takeError();
  return OccupancyMap(range, std::move(*bits));
}

// Calls visit(word, mask) for each word that holds bits of the part, until one says false.
template <typename Visit>
bool OccupancyMap::everyWord(Granules part, Visit visit) const {
  for (Size at = part.first; at < part.limit;) {
    Size word = at / bitsPerWord;
    Size next = std::min(part.limit, (word + 1) * bitsPerWord);
    if (!visit(words()[word], maskOf({at, next})))
      return false;
    at = next;
  }
  return true;
}

bool OccupancyMap::isVacant(Range part) const {
  return everyWord(granules(part), [](std::uint64_t &word, std::uint64_t mask) { return (word & mask) == 0; });
}

bool OccupancyMap::claimMany(Granules part) {
  if (!everyWord(part, [](std::uint64_t &word, std::uint64_t mask) { return (word & mask) == 0; }))
    return false;
  everyWord(part, [](std::uint64_t &word, std::uint64_t mask) { return word |= mask, true; });
  return true;
}

void OccupancyMap::vacateMany(Granules part) {
  everyWord(part, [](std::uint64_t &word, std::uint64_t mask) { return word &= ~mask, true; });
}

Size OccupancyMap::claimedBytes() const {
  Size claimed = 0;
  everyWord(granules(range_),
            [&](std::uint64_t word, std::uint64_t mask) { return claimed += std::popcount(word & mask), true; });
  return claimed * granule;
}

Size OccupancyMap::footprint() const { return residentBytes(bits_.range()); }

bool OccupancyMap::isVacantPage(Size page) const {
  const std::uint64_t *first = words() + page * wordsPerPage;
  return std::all_of(first, first + wordsPerPage, [](std::uint64_t word) { return word == 0; });
}

Range OccupancyMap::nextVacantPages(Address from) const {
  Size pages = range_.size() / pageSize;
  Size first = roundUp(static_cast<Size>(from - range_.base), pageSize) / pageSize;
  while (first < pages && !isVacantPage(first))
    ++first;
  Size limit = first;
  while (limit < pages && isVacantPage(limit))
    ++limit;
  return {range_.base + first * pageSize, range_.base + limit * pageSize};
}
