#include "memory/arena.h"

#include "base/assert.h"
#include "base/error.h"

#include <algorithm>
#include <fstream>
#include <string>

using namespace nomad;
using namespace llvm;

namespace {

constexpr Size step = 64 * 1024; // borders lie on multiples of this, the largest alignment that a module may ask for

// A slot takes 8 bytes and its stub three times as many: room for 2 million of them in 1 GiB.
constexpr Size entrySlotShare = 64;
constexpr Size stubBytesPerSlotByte = 3;

// libgcc takes the unwind record of a function at a multiple of 4 GiB for one that the static linker has dropped, because the low
// 32 bits of its address are 0: exceptions would end there. So at most the entry stubs, which have no records, begin at one.
constexpr Size unwinderRegion = Size{1} << 32;

} // namespace

const char *nomad::segmentName(SegmentKind kind) {
  switch (kind) {
  case SegmentKind::Code:
    return "code";
  case SegmentKind::Constants:
    return "constants";
  case SegmentKind::Data:
    return "data";
  }
  return "?";
}

Expected<std::unique_ptr<Arena>> Arena::create(Size arenaBytes) {
  NOMAD_ASSERT(minBytes <= arenaBytes && arenaBytes <= maxBytes, "the caller checks the size of an arena");
  std::unique_ptr<Arena> arena(new Arena);
  auto reservation = Mapping::reserve(roundUp(arenaBytes, step), step, unwinderRegion);
  if (!reservation)
    return reservation.takeError();
  arena->reservation_ = std::move(*reservation);
  if (Error error = arena->map())
    return error;
  return arena;
}

// The memory belongs to the file, which lives on with what is left of its mappings.
Arena::~Arena() {
  if (leavesEntries_)
    for (SegmentKind kind : {SegmentKind::Code, SegmentKind::Constants})
      discard(kind, segments(kind));
}

std::vector<Mapping> Arena::leaveEntries(Size stubBytes, Size slotBytes) {
  leavesEntries_ = true;
  Address lastPage = entrySlots_.limit.shifted(-static_cast<Delta>(pageSize));
  Range slots{entrySlots_.base, std::min(lastPage, entrySlots_.base + roundUp(slotBytes, pageSize))};
  std::vector<Mapping> left;
  for (Range part : {Range::at(entryStubs_.base, roundUp(stubBytes, pageSize)), slots, Range{lastPage, entrySlots_.limit}})
    left.push_back(reservation_.leave(part));
  return left;
}

Error Arena::map() {
  Size total = range().size();
  Size slots = std::max(step, roundDown(total / entrySlotShare, step));
  Size stubs = slots * stubBytesPerSlotByte;
  Size rest = total - slots - stubs;
  Size code = roundDown(rest / 32 * 17, step);
  Size constants = roundDown(rest / 16 * 3, step);
  entryStubs_ = Range::at(range().base, stubs);
  segments_[0] = Range::at(entryStubs_.limit, code);
  segments_[1] = Range::at(segments_[0].limit, constants);
  entrySlots_ = {range().limit.shifted(-static_cast<Delta>(slots)), range().limit};
  segments_[2] = {segments_[1].limit, entrySlots_.base};

  Size shared = stubs + code + constants;
  auto memory = SharedMemory::create("nomad-jit code", shared);
  if (!memory)
    return memory.takeError();
  auto view = Mapping::writableView(*memory, shared);
  if (!view)
    return view.takeError();
  writableView_ = std::move(*view);
  if (Error error = reservation_.mapShared({entryStubs_.base, segments_[0].limit}, *memory, 0, Access::ReadExecute))
    return error;
  if (Error error = reservation_.mapShared(segments_[1], *memory, stubs + code, Access::Read))
    return error;
  if (Error error = reservation_.mapPrivate({segments_[2].base, entrySlots_.limit}))
    return error;
  for (Range segments : segments_) {
    auto occupancy = OccupancyMap::create(segments);
    if (!occupancy)
      return occupancy.takeError();
    occupancy_.push_back(std::move(*occupancy));
  }
  return Error::success();
}

void Arena::discard(SegmentKind kind, Range pages) {
  if (kind == SegmentKind::Data)
    return discardPrivate(pages);
  Delta view = writableViewDelta();
  discardShared({pages.base.shifted(view), pages.limit.shifted(view)});
}

Size Arena::trim() {
  Size bytes = 0;
  for (SegmentKind kind : segmentKinds)
    for (Address at = segments(kind).base; at < segments(kind).limit;) {
      Range pages = occupancy(kind).nextVacantPages(at);
      if (pages.size() > 0)
        discard(kind, pages);
      bytes += pages.size();
      at = pages.limit;
    }
  return bytes;
}

Size Arena::countMappings() const {
  std::ifstream maps("/proc/self/maps");
  Size count = 0;
  for (std::string line; std::getline(maps, line);) {
    Address begin = Address::of(std::stoull(line, nullptr, 16));
    count += range().contains(begin) || writableView_.range().contains(begin);
  }
  return count;
}
