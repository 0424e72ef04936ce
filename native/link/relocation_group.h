// Reads the groups of a relocation table; relocation_table.h has the encoding.
#pragma once

#include "link/relocation_table.h"

namespace nomad {

/// Reads a ULEB number that is known to be one and to fit.
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

/// The sites of one group, in ascending order and as far as they are wanted.
class SiteCursor {
public:
  static constexpr Offset beforeFirst = ~Offset{0}; // "-1": the first distance is from here, so never 0
  static constexpr Offset noBorder = ~Offset{0};

  SiteCursor(const std::uint8_t *at, const std::uint8_t *limit) : at_(at), limit_(limit) {}

  /// Visits the sites before `border` that have not been visited yet; returns how many.
  template <typename Visit>
  std::uint32_t upTo(Offset border, Visit visit) {
    // Locals: what `visit` writes could be this cursor, for all a compiler knows.
    const std::uint8_t *at = at_, *const limit = limit_;
    Offset site = site_;
    Run run = run_;
    std::uint32_t visited = 0;
    for (;;) {
      for (; run.left > 0 && site + run.stride < border; --run.left, ++visited)
        visit(site += run.stride);
      if (run.left > 0)
        break;
      for (; at < limit && isWholeDistance(*at) && site + *at < border; ++at, ++visited) // most are of this kind
        visit(site += *at);
      if (at == limit)
        break;
      const std::uint8_t *next = at;
      std::uint32_t distance = readNumber(next);
      if (distance != 0 && site + distance >= border)
        break;
      at = next;
      if (distance == 0) {
        run.stride = readNumber(at);
        run.left = readNumber(at);
      } else {
        visit(site += distance);
        ++visited;
      }
    }
    at_ = at;
    site_ = site;
    run_ = run;
    return visited;
  }

private:
  // Sites that are still to come at one distance from each other.
  struct Run {
    Offset stride = 0;
    std::uint32_t left = 0;
  };

  static bool isWholeDistance(std::uint8_t byte) { return byte - 1u < 0x7f; }

  const std::uint8_t *at_;
  const std::uint8_t *limit_;
  Offset site_ = beforeFirst;
  Run run_;
};

/// What the sites of a group have in common.
struct RelocationGroup {
  SegmentKind segment;
  Formula formula;
  TargetKind target;
  SegmentReference reference;
  const std::uint8_t *sites;
  const std::uint8_t *limit;

  SiteCursor cursor() const { return {sites, limit}; }
  size_t bytes() const { return static_cast<size_t>(limit - sites); }
};

inline RelocationGroup readGroup(const std::uint8_t *at) {
  std::uint8_t head = *at++;
  RelocationGroup group{static_cast<SegmentKind>(head >> 3 & 3),
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

/// Visits the groups of a table.
template <typename Visit>
void everyGroup(llvm::ArrayRef<std::uint8_t> groups, Visit visit) {
  for (const std::uint8_t *at = groups.begin(); at < groups.end();) {
    RelocationGroup group = readGroup(at);
    visit(group);
    at = group.limit;
  }
}

} // namespace nomad
