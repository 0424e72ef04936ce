// Is an address one that a call returns to? Read backwards from the bytes before it: every form of x86-64's near call.
#pragma once

#include <cstddef>
#include <cstdint>

namespace nomad {

/// `code` has `offset` readable bytes before the place in question. True for every place after a call, and for some others.
inline bool isBehindCall(const std::byte *code, std::size_t offset) {
  auto at = [&](std::size_t before) { return static_cast<std::uint8_t>(code[offset - before]); };
  // ff /2: the middle three bits of the byte after the opcode are 2; the rest says how long the operand is.
  auto isIndirect = [&](std::size_t length, unsigned mode, bool hasIndex) {
    if (offset < length || at(length) != 0xff)
      return false;
    unsigned operand = at(length - 1), base = operand & 7;
    return (operand >> 3 & 7) == 2 && operand >> 6 == mode && (base == 4) == hasIndex;
  };
  if (offset >= 5 && at(5) == 0xe8)
    return true; // call rel32
  if (offset >= 6 && at(6) == 0xff && at(5) == 0x15)
    return true; // call *slot(%rip)
  if (offset >= 2 && at(2) == 0xff && at(1) >= 0xd0 && at(1) <= 0xd7)
    return true; // call *register
  return isIndirect(2, 0, false) || isIndirect(3, 0, true) || isIndirect(3, 1, false) || isIndirect(4, 1, true) ||
         isIndirect(6, 2, false) || isIndirect(7, 2, true) || isIndirect(7, 0, true);
}

} // namespace nomad
