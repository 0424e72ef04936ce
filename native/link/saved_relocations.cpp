// A relocation table outside of its code object: what `freeze` hands out, and `thaw` takes back if it is whole.
//
//   | magic: u32 | count: u32 | id: u64 | checksum of all else: u64 | groups, as in relocation_table.h ... |
#include "link/relocation_table.h"

#include "base/error.h"

#include "llvm/Support/xxhash.h"

#include <cstring>

using namespace nomad;
using namespace llvm;

namespace {

constexpr std::uint32_t magic = 0x314c524e; // "NRL1"

struct Header {
  std::uint32_t magic;
  std::uint32_t count;
  std::uint64_t id;
  std::uint64_t checksum;
};

std::uint64_t checksumOf(Header header, ArrayRef<std::uint8_t> groups) {
  std::vector<std::uint8_t> bytes(sizeof header + groups.size());
  header.checksum = 0;
  std::memcpy(bytes.data(), &header, sizeof header);
  llvm::copy(groups, bytes.begin() + sizeof header);
  return xxh3_64bits(bytes);
}

Error damaged(const Twine &what) { return fail(ErrorCode::State, what); }

bool isOwn(const Relocation &relocation) { return relocation.target != TargetKind::Reference; }

} // namespace

std::pair<std::vector<std::uint8_t>, std::uint32_t> RelocationTable::ownGroups() const {
  std::vector<Relocation> own = decode();
  std::erase_if(own, [](const Relocation &relocation) { return !isOwn(relocation); });
  RelocationTable table = encode(std::move(own));
  std::vector<std::uint8_t> groups;
  if (table.encoded_)
    groups.assign(table.encoded_->begin(), table.encoded_->end());
  return {std::move(groups), table.count()};
}

std::optional<RelocationTable> RelocationTable::fromGroups(ArrayRef<std::uint8_t> groups, std::uint32_t count,
                                                           const std::array<Size, 3> &sizes, ArrayRef<Relocation> more) {
  auto relocations = decodeChecked(groups, sizes);
  if (!relocations || relocations->size() != count)
    return std::nullopt;
  llvm::append_range(*relocations, more);
  return encode(std::move(*relocations));
}

std::vector<std::uint8_t> RelocationTable::takeOwn(std::uint64_t id) {
  auto [groups, count] = ownGroups();
  keepOnlyReferences();
  Header header{magic, count, id, 0};
  header.checksum = checksumOf(header, groups);
  std::vector<std::uint8_t> saved(sizeof header + groups.size());
  std::memcpy(saved.data(), &header, sizeof header);
  llvm::copy(groups, saved.begin() + sizeof header);
  return saved;
}

// Bytes with a forged checksum could write to code anyway, but must not by mistake: sites are checked too.
Error RelocationTable::putBack(ArrayRef<std::uint8_t> saved, std::uint64_t id, const std::array<Size, 3> &sizes) {
  Header header;
  if (saved.size() < sizeof header)
    return damaged(Twine(saved.size()) + " bytes are too few");
  std::memcpy(&header, saved.data(), sizeof header);
  ArrayRef<std::uint8_t> groups = saved.drop_front(sizeof header);
  if (header.magic != magic)
    return damaged("it does not begin with 'NRL1'");
  if (header.checksum != checksumOf(header, groups))
    return damaged("its checksum is wrong");
  if (header.id != id)
    return damaged("it belongs to another code object");
  auto own = decodeChecked(groups, sizes);
  if (!own || own->size() != header.count)
    return damaged("its relocations are not in the segments");
  std::vector<Relocation> all = decode();
  llvm::append_range(all, *own);
  *this = encode(std::move(all));
  return Error::success();
}
