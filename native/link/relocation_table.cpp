#include "link/relocation_table.h"

#include "base/byte_writer.h"
#include "link/relocation_group.h"
#include "link/site_map.h"

#include "llvm/Support/LEB128.h"
#include "llvm/Support/MemAlloc.h"

#include <algorithm>
#include <cstring>

using namespace nomad;

namespace {

constexpr size_t shortestRun = 4; // three bytes or more say a run; fewer sites are shorter one by one

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
  writer.number(group[0].site - SiteCursor::beforeFirst);
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
  everyGroup(groups(), [&](const RelocationGroup &group) {
    group.cursor().upTo(SiteCursor::noBorder, [&](Offset site) {
      relocations.push_back({group.segment, group.formula, group.target, group.reference, site});
    });
  });
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
  return shareBytes(relocations) ? std::nullopt : std::optional(std::move(relocations));
}

void RelocationTable::keepOnlyReferences() {
  std::vector<Relocation> kept = decode();
  std::erase_if(kept, [](const Relocation &relocation) { return relocation.target != TargetKind::Reference; });
  *this = encode(std::move(kept));
}

llvm::Error RelocationTable::checkIntegrity(const std::array<Size, 3> &sizes, Size references) const {
  std::vector<Relocation> relocations;
  for (Reader reader(groups()); !reader.isEmpty();) {
    std::uint8_t head = reader.bytes(1)->front();
    Relocation relocation{static_cast<SegmentKind>(head >> 3 & 3), static_cast<Formula>(head & 7),
                          static_cast<TargetKind>(head >> 5), SegmentReference{}, 0};
    bool isReference = relocation.target == TargetKind::Reference;
    auto reference = isReference ? reader.number() : std::optional(0u);
    auto length = reader.number();
    auto sites = length ? reader.bytes(*length) : std::nullopt;
    bool isKnown = indexOf(relocation.segment) < sizes.size() && relocation.formula <= Formula::DataPointer &&
                   (relocation.formula != Formula::DataPointer || relocation.segment == SegmentKind::Data) &&
                   relocation.target <= TargetKind::Reference;
    if (!isKnown || !reference || !sites)
      return broken("relocations", 1, "a group is not whole, or of no kind that there is");
    if (!readSites(Reader(*sites), relocation, sizes[indexOf(relocation.segment)], relocations))
      return broken("relocations", 2, llvm::Twine("a site is outside of the ") + segmentName(relocation.segment));
    if (isReference && *reference / segmentKinds.size() >= references)
      return broken("relocations", 3, "reference " + llvm::Twine(*reference / segmentKinds.size()) + " does not exist");
  }
  if (shareBytes(relocations))
    return broken("relocations", 5, "two sites share bytes");
  return relocations.size() == count()
             ? llvm::Error::success()
             : broken("relocations", 4, llvm::Twine(relocations.size()) + " sites instead of " + llvm::Twine(count()));
}
