// Whether a value of 32 bits is right wherever code objects lie in their arena, so that no move can run out of range (I6).
//
// Everything in an arena is within 2 GB of everything else, but an addend leads beyond what it is added to: `g + 1 GB` may fit at
// the places where it is linked, and not at others. With `value` at the places of now, and each of the two segments anywhere in
// its range, the value elsewhere is between value + (lowest target delta) - (highest site delta) and the opposite.
#pragma once

#include "link/code_object.h"

namespace nomad {

/// `value` is what the site has with the segments where they are. True for relocations of 64 bits.
bool fitsEverywhere(const Arena &arena, const std::array<Segment, 3> &segments, const Relocation &relocation, std::int32_t value);

} // namespace nomad
