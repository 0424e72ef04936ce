#include "link/relocation_table.h"

#include "base/assert.h"
#include "base/byte_writer.h"

#include "llvm/Support/LEB128.h"
#include "llvm/Support/MemAlloc.h"

#include <algorithm>
#include <cstring>

using namespace nomad;

namespace {

constexpr std::uint32_t beforeFirst = ~std::uint32_t{0}; // "-1": the first distance is from here, so never 0
constexpr size_t shortestRun = 4;                        // three bytes or more say a run; fewer sites are shorter one by one

// ---- encoding ----

// How many of the sites from `first` on follow each other at the same distance.
size_t runLength(llvm::ArrayRef<Relocation> group, size_t first, std::uint32_t stride) {
  size_t length = 0;
  while (first + length < group.size() && group[first + length].site - group[first + length - 1].site == stride)
    ++length;
  return length;
}

std::vector<std::uint8_t> encodeSites(llvm::ArrayRef<Relocation> group) {
  ByteWriter writer;
  writer.number(group[0].site - beforeFirst);
  for (size_t i = 1; i < group.size();) {
    std::uint32_t distance = group[i].site - group[i - 1].site;
    size_t run = runLength(group, i, distance);
    if (run < shortestRun) {
      writer.number(distance);
      ++i;
      continue;
    }
    writer.number(0);
    writer.number(distance);
    writer.number(run);
    i += run;
  }
  return std::move(writer.bytes);
}

bool sameGroup(const Relocation &a, const Relocation &b) {
  return a.segment == b.segment && a.formula == b.formula && a.target == b.target && a.reference == b.reference;
}

void encodeGroup(ByteWriter &writer, llvm::ArrayRef<Relocation> group) {
  const Relocation &first = group[0];
  writer.bytes.push_back(static_cast<std::uint8_t>(static_cast<unsigned>(first.formula) |
                                                   static_cast<unsigned>(first.segment) << 3 |
                                                   static_cast<unsigned>(first.target) << 5));
  if (first.target == TargetKind::Reference)
    writer.number(static_cast<std::uint32_t>(first.reference));
  std::vector<std::uint8_t> sites = encodeSites(group);
  writer.number(sites.size());
  writer.bytes.insert(writer.bytes.end(), sites.begin(), sites.end());
}

// ---- decoding ----

inline std::uint32_t readNumber(const std::uint8_t *&at) {
  std::uint32_t value = *at++;
  if (value < 0x80) [[likely]]
    return value;
  value &= 0x7f;
  for (unsigned shift = 7;; shift += 7) {
    std::uint32_t byte = *at++;
    value |= (byte & 0x7f) << shift;
    if (byte < 0x80)
      return value;
  }
}

struct Group {
  SegmentKind segment;
  Formula formula;
  TargetKind target;
  SegmentReference reference;
  const std::uint8_t *sites;
  const std::uint8_t *limit;
};

Group readGroup(const std::uint8_t *at) {
  std::uint8_t head = *at++;
  Group group{static_cast<SegmentKind>(head >> 3 & 3),
              static_cast<Formula>(head & 7),
              static_cast<TargetKind>(head >> 5),
              SegmentReference{},
              nullptr,
              nullptr};
  if (group.target == TargetKind::Reference)
    group.reference = static_cast<SegmentReference>(readNumber(at));
  std::uint32_t bytes = readNumber(at);
  group.sites = at;
  group.limit = at + bytes;
  return group;
}

template <typename Visit>
inline std::uint32_t everySite(const Group &group, Visit visit) {
  std::uint32_t site = beforeFirst;
  std::uint32_t count = 0;
  for (const std::uint8_t *at = group.sites; at < group.limit;) {
    std::uint32_t distance = readNumber(at);
    if (distance != 0) [[likely]] {
      visit(site += distance);
      ++count;
      continue;
    }
    std::uint32_t stride = readNumber(at);
    std::uint32_t run = readNumber(at);
    count += run;
    for (; run > 0; --run)
      visit(site += stride);
  }
  return count;
}

// ---- applying ----

template <typename Word>
inline void add(std::byte *at, Delta delta) {
  Word word;
  std::memcpy(&word, at, sizeof word);
  word += static_cast<Word>(delta);
  std::memcpy(at, &word, sizeof word);
}

template <typename Word>
std::uint32_t addEverywhere(const Group &group, std::byte *bytes, Delta delta) {
  if (delta == 0)
    return 0;
  return everySite(group, [=](std::uint32_t site) { add<Word>(bytes + site, delta); });
}

// Linkers pad segments of code objects with pointers in data, so one past the last element is inside.
bool pointsInto(std::uint64_t value, const SegmentMove &segment) { return value - segment.from.value() < segment.size; }

std::uint32_t adjustPointers(const Group &group, const SegmentMoves &moves) {
  std::uint32_t adjusted = 0;
  everySite(group, [&](std::uint32_t site) {
    std::byte *at = moves[indexOf(SegmentKind::Data)].bytes + site;
    std::uint64_t value;
    std::memcpy(&value, at, sizeof value);
    for (const SegmentMove &segment : moves)
      if (pointsInto(value, segment)) {
        add<std::uint64_t>(at, segment.delta());
        ++adjusted;
        return;
      }
  });
  return adjusted;
}

std::uint32_t applyGroup(const Group &group, const SegmentMoves &moves) {
  const SegmentMove &site = moves[indexOf(group.segment)];
  Delta target = group.target < TargetKind::Fixed ? moves[static_cast<size_t>(group.target)].delta() : 0;
  switch (group.formula) {
  case Formula::Relative32:
    return addEverywhere<std::uint32_t>(group, site.bytes, target - site.delta());
  case Formula::Relative64:
    return addEverywhere<std::uint64_t>(group, site.bytes, target - site.delta());
  case Formula::Negative32:
    return addEverywhere<std::uint32_t>(group, site.bytes, site.delta() - target);
  case Formula::Negative64:
    return addEverywhere<std::uint64_t>(group, site.bytes, site.delta() - target);
  case Formula::Absolute64:
    return addEverywhere<std::uint64_t>(group, site.bytes, target);
  case Formula::DataPointer:
    return adjustPointers(group, moves);
  }
  return 0;
}

// Only what is referred to moves.
std::uint32_t applyGroupReference(const Group &group, std::byte *bytes, Delta delta) {
  switch (group.formula) {
  case Formula::Relative32:
    return addEverywhere<std::uint32_t>(group, bytes, delta);
  case Formula::Relative64:
  case Formula::Absolute64:
    return addEverywhere<std::uint64_t>(group, bytes, delta);
  case Formula::Negative32:
    return addEverywhere<std::uint32_t>(group, bytes, -delta);
  case Formula::Negative64:
    return addEverywhere<std::uint64_t>(group, bytes, -delta);
  case Formula::DataPointer:
    break;
  }
  NOMAD_ASSERT(false, "a pointer that the program may change leads to its own code object, or to what is fixed");
  return 0;
}

} // namespace

RelocationTable RelocationTable::encode(std::vector<Relocation> relocations) {
  std::sort(relocations.begin(), relocations.end());
  ByteWriter writer;
  llvm::ArrayRef<Relocation> rest(relocations);
  while (!rest.empty()) {
    size_t length = 1;
    while (length < rest.size() && sameGroup(rest[0], rest[length]))
      ++length;
    encodeGroup(writer, rest.take_front(length));
    rest = rest.drop_front(length);
  }
  RelocationTable table;
  if (relocations.empty())
    return table;
  Encoded head{static_cast<std::uint32_t>(writer.bytes.size()), static_cast<std::uint32_t>(relocations.size())};
  void *memory = llvm::safe_malloc(sizeof head + head.size);
  table.encoded_.reset(new (memory) Encoded(head));
  std::memcpy(table.encoded_.get() + 1, writer.bytes.data(), head.size);
  return table;
}

std::vector<Relocation> RelocationTable::decode() const {
  std::vector<Relocation> relocations;
  if (!encoded_)
    return relocations;
  for (const std::uint8_t *at = encoded_->begin(); at < encoded_->end();) {
    Group group = readGroup(at);
    everySite(group, [&](std::uint32_t site) {
      relocations.push_back({group.segment, group.formula, group.target, group.reference, site});
    });
    at = group.limit;
  }
  return relocations;
}

namespace {

// Reads bytes that may be anything.
class Reader {
public:
  explicit Reader(llvm::ArrayRef<std::uint8_t> bytes) : bytes_(bytes) {}

  bool isEmpty() const { return bytes_.empty(); }
  std::optional<std::uint32_t> number() {
    unsigned length = 0;
    const char *error = nullptr;
    // More bytes than a number of 64 bits has are too much for LLVM's reader.
    const std::uint8_t *limit = bytes_.begin() + std::min<size_t>(bytes_.size(), 10);
    std::uint64_t value = llvm::decodeULEB128(bytes_.begin(), &length, limit, &error);
    if (error || value > ~std::uint32_t{0})
      return std::nullopt;
    bytes_ = bytes_.drop_front(length);
    return static_cast<std::uint32_t>(value);
  }
  std::optional<llvm::ArrayRef<std::uint8_t>> bytes(std::size_t count) {
    if (count > bytes_.size())
      return std::nullopt;
    auto taken = bytes_.take_front(count);
    bytes_ = bytes_.drop_front(count);
    return taken;
  }

private:
  llvm::ArrayRef<std::uint8_t> bytes_;
};

// Appends the sites of one group; false if they are none, or end beyond `size`.
bool readSites(Reader sites, Relocation relocation, Size size, std::vector<Relocation> &out) {
  std::uint64_t site = ~std::uint64_t{0}, end = size - std::min<Size>(size, widthOf(relocation.formula) - 1);
  auto add = [&](std::uint64_t distance) {
    site += distance;
    relocation.site = static_cast<Offset>(site);
    if (distance > 0 && site < end)
      out.push_back(relocation);
    return distance > 0 && site < end;
  };
  while (!sites.isEmpty()) {
    auto distance = sites.number();
    if (!distance || (*distance != 0 && !add(*distance)))
      return false;
    if (*distance != 0)
      continue;
    auto stride = sites.number(), run = sites.number();
    if (!stride || !run)
      return false;
    for (std::uint32_t i = 0; i < *run; ++i)
      if (!add(*stride))
        return false;
  }
  return true;
}

} // namespace

std::optional<std::vector<Relocation>> RelocationTable::decodeChecked(llvm::ArrayRef<std::uint8_t> groups,
                                                                      const std::array<Size, 3> &sizes) {
  std::vector<Relocation> relocations;
  Size bytes = sizes[0] + sizes[1] + sizes[2]; // a few bytes may say many sites, but no more than there are
  for (Reader reader(groups); !reader.isEmpty() && relocations.size() <= bytes;) {
    std::uint8_t head = reader.bytes(1)->front();
    Relocation relocation{static_cast<SegmentKind>(head >> 3 & 3), static_cast<Formula>(head & 7),
                          static_cast<TargetKind>(head >> 5), SegmentReference{}, 0};
    auto length = reader.number();
    auto sites = length ? reader.bytes(*length) : std::nullopt;
    bool isKnown = indexOf(relocation.segment) < sizes.size() && relocation.formula <= Formula::DataPointer &&
                   (relocation.formula != Formula::DataPointer || relocation.segment == SegmentKind::Data) &&
                   relocation.target < TargetKind::Reference;
    if (!sites || !isKnown || !readSites(Reader(*sites), relocation, sizes[indexOf(relocation.segment)], relocations))
      return std::nullopt;
  }
  return relocations;
}

void RelocationTable::keepOnlyReferences() {
  std::vector<Relocation> kept = decode();
  std::erase_if(kept, [](const Relocation &relocation) { return relocation.target != TargetKind::Reference; });
  *this = encode(std::move(kept));
}

std::uint32_t RelocationTable::applyGroups(const SegmentMoves &moves) const {
  std::uint32_t applied = 0;
  for (const std::uint8_t *at = encoded_->begin(); at < encoded_->end();) {
    Group group = readGroup(at);
    applied += applyGroup(group, moves);
    at = group.limit;
  }
  return applied;
}

std::uint32_t RelocationTable::applyReference(const SegmentMoves &segments, SegmentReference reference, Delta delta) const {
  std::uint32_t applied = 0;
  for (const std::uint8_t *at = encoded_ ? encoded_->begin() : nullptr; at && at < encoded_->end();) {
    Group group = readGroup(at);
    at = group.limit;
    if (group.target != TargetKind::Reference || group.reference != reference)
      continue;
    applied += applyGroupReference(group, segments[indexOf(group.segment)].bytes, delta);
  }
  return applied;
}
