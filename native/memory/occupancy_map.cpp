#include "memory/occupancy_map.h"

#include "base/error.h"

#include <algorithm>
#include <bit>
#include <functional>
#include <numeric>

using namespace nomad;
using namespace llvm;

namespace {

constexpr Size wordsPerPage = pageSize / OccupancyMap::granule / 64;

// What of the range a page of the map is about.
constexpr Size bytesPerMapPage = pageSize * 8 * OccupancyMap::granule;

} // namespace

Expected<OccupancyMap> OccupancyMap::create(Range range) {
  NOMAD_ASSERT(range.base.isAligned(pageSize) && range.size() % pageSize == 0, "a mapped range is whole pages");
  Size bytes = roundUp(range.size() / granule / 8, pageSize);
  auto bits = Mapping::anonymous(bytes);
  if (!bits)
    return bits.takeError();
  return OccupancyMap(range, std::move(*bits));
}

// Not stopped at the first one that is claimed: this way it is done several words at a time.
bool OccupancyMap::isVacantMany(Granules part) const {
  Words many = wordsOf(part);
  std::uint64_t claimed = (*many.first & many.firstMask) | (*many.last & many.lastMask);
  return std::accumulate(many.first + 1, many.last, claimed, std::bit_or()) == 0;
}

bool OccupancyMap::claimMany(Granules part) {
  if (!isVacantMany(part))
    return false;
  Words many = wordsOf(part);
  *many.first |= many.firstMask;
  std::fill(many.first + 1, many.last, ~std::uint64_t{0});
  *many.last |= many.lastMask;
  return true;
}

void OccupancyMap::vacateMany(Granules part) {
  Words many = wordsOf(part);
  *many.first &= ~many.firstMask;
  std::fill(many.first + 1, many.last, std::uint64_t{0});
  *many.last &= ~many.lastMask;
}

Size OccupancyMap::claimedBytes() const {
  auto count = [](Size sum, std::uint64_t word) { return sum + static_cast<Size>(std::popcount(word)); };
  return std::accumulate(words(), words() + range_.size() / granule / bitsPerWord, Size{0}, count) * granule;
}

bool OccupancyMap::isClaimed(Granules part) const {
  for (Size granule = part.first; granule < part.limit; ++granule)
    if ((words()[granule / bitsPerWord] >> granule % bitsPerWord & 1) == 0)
      return false;
  return true;
}

Error OccupancyMap::checkIntegrity(ArrayRef<Owned> owned) const {
  auto outwards = [](Range part) {
    return Range{Address::of(roundDown(part.base.value(), granule)), Address::of(roundUp(part.limit.value(), granule))};
  };
  // The map of a large arena is megabytes, of which next to nothing has ever been touched: what is not resident is zero.
  std::vector<bool> resident = residentPages(bits_.range());
  auto isTouched = [&](Size page) { return page >= resident.size() || resident[page]; };
  auto isNobodys = [&](Range gap) {
    for (Address at = gap.base; at < gap.limit;) {
      Size page = static_cast<Size>(at - range_.base) / bytesPerMapPage;
      Range look{at, std::min(gap.limit, range_.base + (page + 1) * bytesPerMapPage)};
      if (isTouched(page) && !isVacant(look))
        return false;
      at = look.limit;
    }
    return true;
  };
  Address vacantFrom = range_.base;
  StringRef before;
  for (const auto &[part, owner] : owned) {
    if (part.size() == 0 || !range_.contains(part))
      return broken("occupancy", 1, "code object '" + owner + "' is outside of its range, at " + hex(part.base.value()));
    if (outwards(part).base < vacantFrom)
      return broken("occupancy", 2, "code objects '" + before + "' and '" + owner + "' overlap at " + hex(part.base.value()));
    if (!isClaimed(granules(part)))
      return broken("occupancy", 3,
                    "code object '" + owner + "' lies in memory that counts as vacant, at " + hex(part.base.value()));
    if (!isNobodys({vacantFrom, outwards(part).base}))
      return broken("occupancy", 4,
                    "memory without an owner is claimed before code object '" + owner + "' at " + hex(part.base.value()));
    vacantFrom = outwards(part).limit;
    before = owner;
  }
  if (!isNobodys({vacantFrom, range_.limit}))
    return broken("occupancy", 4, "memory without an owner is claimed from " + hex(vacantFrom.value()) + " on");
  return Error::success();
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
