#include "move/frame_records.h"

#include <cstring>
#include <optional>

using namespace nomad;
using namespace llvm;

namespace {

// DW_EH_PE_*: how a pointer is written.
constexpr std::uint8_t absolute = 0x00, relative = 0x10, formOf = 0x0f, signOf = 0x08, baseOf = 0x70;

std::optional<size_t> sizeOf(std::uint8_t encoding) {
  switch (encoding & formOf & ~signOf) {
  case 0x00:
  case 0x04:
    return 8;
  case 0x02:
    return 2;
  case 0x03:
    return 4;
  default:
    return std::nullopt;
  }
}

std::uint64_t readInteger(const std::uint8_t *at, size_t size, bool isSigned) {
  std::uint64_t value = 0;
  std::memcpy(&value, at, size);
  unsigned unused = 64 - 8 * static_cast<unsigned>(size);
  return isSigned ? static_cast<std::uint64_t>(static_cast<std::int64_t>(value << unused) >> unused) : value;
}

const std::uint8_t *skipLeb(const std::uint8_t *at) {
  while (*at++ & 0x80)
    ;
  return at;
}

// Of the addresses in records that begin with this common part.
std::optional<std::uint8_t> encodingOf(const std::uint8_t *common) {
  std::uint8_t version = common[8];
  auto *letters = reinterpret_cast<const char *>(common + 9);
  if (*letters == 0)
    return absolute;
  if (*letters != 'z' || (version != 1 && version != 3))
    return std::nullopt;
  const std::uint8_t *at = skipLeb(skipLeb(common + 9 + std::strlen(letters) + 1)); // the alignments
  at = version == 1 ? at + 1 : skipLeb(at);                                         // the return address's register
  at = skipLeb(at);                                                                 // the bytes of what follows
  for (++letters; *letters; ++letters)
    if (*letters == 'R')
      return *at;
    else if (*letters == 'L')
      ++at;
    else if (auto size = sizeOf(*at); *letters == 'P' && size)
      at += 1 + *size;
    else if (*letters != 'S')
      return std::nullopt;
  return absolute;
}

std::optional<Range> codeOf(const std::uint8_t *record, std::uint32_t toCommon) {
  auto encoding = encodingOf(record + 4 - toCommon);
  auto size = encoding ? sizeOf(*encoding) : std::nullopt;
  if (!size || ((*encoding & baseOf) != absolute && (*encoding & baseOf) != relative))
    return std::nullopt;
  const std::uint8_t *at = record + 8;
  std::uint64_t base = readInteger(at, *size, *encoding & signOf);
  if ((*encoding & baseOf) == relative)
    base += Address::of(at).value();
  return Range::at(Address::of(base), readInteger(at + *size, *size, false));
}

} // namespace

void nomad::everyRecord(const void *section, function_ref<void(const FrameRecord &)> visit) {
  auto *record = static_cast<const std::uint8_t *>(section);
  while (auto length = static_cast<std::uint32_t>(readInteger(record, 4, false))) {
    auto toCommon = static_cast<std::uint32_t>(readInteger(record + 4, 4, false));
    if (auto code = toCommon == 0 ? std::nullopt : codeOf(record, toCommon))
      visit({record, *code});
    record += 4 + length;
  }
}
