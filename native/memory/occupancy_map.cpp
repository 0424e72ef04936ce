#include "memory/occupancy_map.h"

#include "base/assert.h"

#include <algorithm>

using namespace nomad;
using namespace llvm;

namespace {

constexpr Size bitsPerWord = 64;
constexpr Size wordsPerPage = pageSize / OccupancyMap::granule / bitsPerWord;

std::uint64_t maskOf(Size first, Size limit) { // bits [first, limit) of one word, limit in 1..64
  std::uint64_t upTo = limit == bitsPerWord ? ~std::uint64_t{0} : (std::uint64_t{1} << limit) - 1;
  return upTo & ~((std::uint64_t{1} << first) - 1);
}

} // namespace

Expected<OccupancyMap> OccupancyMap::create(Range range) {
  NOMAD_ASSERT(range.base.isAligned(pageSize) && range.size() % pageSize == 0, "a mapped range is whole pages");
  Size bytes = roundUp(range.size() / granule / 8, pageSize);
  auto bits = Mapping::anonymous(bytes);
  if (!bits)
    return bits.takeError();
  return OccupancyMap(range, std::move(*bits));
}

OccupancyMap::Granules OccupancyMap::granules(Range part) const {
  NOMAD_ASSERT(range_.contains(part), "segments lie in their range");
  Size first = static_cast<Size>(part.base - range_.base) / granule;
  Size limit = roundUp(static_cast<Size>(part.limit - range_.base), granule) / granule;
  return {first, limit};
}

// Calls visit(word, mask) for each word that holds bits of the part, until one says false.
template <typename Visit> bool OccupancyMap::everyWord(Granules part, Visit visit) const {
  for (Size at = part.first; at < part.limit;) {
    Size word = at / bitsPerWord;
    Size next = std::min(part.limit, (word + 1) * bitsPerWord);
    if (!visit(words()[word], maskOf(at % bitsPerWord, next - word * bitsPerWord)))
      return false;
    at = next;
  }
  return true;
}

bool OccupancyMap::isVacant(Range part) const {
  return everyWord(granules(part), [](std::uint64_t &word, std::uint64_t mask) { return (word & mask) == 0; });
}

bool OccupancyMap::claim(Range part) {
  if (!isVacant(part))
    return false;
  Granules claimed = granules(part);
  everyWord(claimed, [](std::uint64_t &word, std::uint64_t mask) { return word |= mask, true; });
  claimedGranules_ += claimed.limit - claimed.first;
  return true;
}

void OccupancyMap::vacate(Range part) {
  Granules vacated = granules(part);
  everyWord(vacated, [](std::uint64_t &word, std::uint64_t mask) { return word &= ~mask, true; });
  claimedGranules_ -= vacated.limit - vacated.first;
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
