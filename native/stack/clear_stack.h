// What finished calls leave on the stack: words that would pin code objects, because later frames
// overlay these words without writing all of them.
#pragma once

#include <alloca.h>
#include <cstddef>
#include <cstring>

namespace nomad {

/// How far registering unwind records, walking the stack and moving reach.
constexpr std::size_t longReach = 16 << 10;
/// Looking something up.
constexpr std::size_t shortReach = 1 << 10;

/// Overwrites what calls that have returned to the caller of this left. What code itself leaves is not our doing.
[[gnu::noinline]] inline void clearStackBelow(std::size_t reach) {
  void *below = alloca(reach);
  std::memset(below, 0, reach);
  asm volatile("" : : "r"(below) : "memory"); // it is read, for all that the compiler knows
}

} // namespace nomad
