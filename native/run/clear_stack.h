// What finished calls leave on the stack: words that would pin code objects, because code's frames come to lie over them and need
// not write all that they have.
#pragma once

#include <alloca.h>
#include <cstddef>
#include <cstring>

namespace nomad {

/// Overwrites what calls that have returned to the caller of this left, where registering unwind records, walking the stack and
/// moving reach. What code itself leaves is not our doing.
[[gnu::noinline]] inline void clearStackBelow() {
  constexpr std::size_t reach = 16 << 10;
  void *below = alloca(reach);
  std::memset(below, 0, reach);
  asm volatile("" : : "r"(below) : "memory"); // it is read, for all that the compiler knows
}

} // namespace nomad
