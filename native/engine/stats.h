// Counts and bytes of an engine.
#pragma once

#include "base/address.h"

#include <array>
#include <optional>

namespace nomad {

/// Compilations that a compile cache has answered, and those that it has not.
struct CacheStats {
  Size hits = 0;
  Size misses = 0;
};

struct EngineStats {
  Size liveObjects = 0;
  Size placedObjects = 0;
  std::array<Size, 3> liveBytes{};
  std::array<Size, 3> reservedBytes{};
  Size entryStubs = 0;
  Size relocationBytes = 0;
  Size bookkeepingBytes = 0;
  Size mappings = 0;
  std::optional<CacheStats> cache;
};

} // namespace nomad
