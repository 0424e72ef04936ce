// Where an engine's own code is: the ends of the arena's code and data ranges, which are taken from front to back and never given
// back. Clients place code objects in all the rest.
#pragma once

#include "memory/arena.h"

#include <array>
#include <optional>

namespace nomad {

class ThunkSpace {
public:
  using Ranges = std::array<Range, 3>; // by SegmentKind
  /// Up to where each range is taken.
  using Ends = std::array<Address, 3>;

  explicit ThunkSpace(const Arena &arena);

  const Ranges &ranges() const { return ranges_; }
  Range code() const { return ranges_[indexOf(SegmentKind::Code)]; }
  /// Where clients may place code objects.
  const Ranges &placeable() const { return placeable_; }

  const Ends &ends() const { return ends_; }
  /// The next `size` bytes after `ends`, which moves on; none if there is no room. Nothing is taken before `take`.
  std::optional<Range> next(Ends &ends, SegmentKind kind, Size size, Size alignment) const;
  void take(const Ends &ends) { ends_ = ends; }

private:
  Ranges ranges_;
  Ranges placeable_;
  Ends ends_;
};

} // namespace nomad
