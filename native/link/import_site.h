// What a place in the image whose value depends on an import has there:
//
//   Absolute64               target + addend
//   Relative32, Relative64   target + addend - place
//   Negative32, Negative64   place + addend - target
//
// The addend is the same wherever the target is, so a place can be written again for a target that is elsewhere.
#pragma once

#include "link/relocation_table.h"

namespace nomad {

/// Of each call: distances are taken from the place, and a call counts from its end.
constexpr Delta callAddend = -4;

struct SitePlace {
  std::byte *bytes;
  Address address; // for which it is linked
  Formula formula;
};

Delta readAddend(const SitePlace &place, Address target);
/// False, and nothing is written, if the value needs more bits than there are.
bool writeSite(const SitePlace &place, Address target, Delta addend);

} // namespace nomad
