// Memory that others own and may have given back: read without a fault.
#pragma once

#include "base/address.h"

namespace nomad {

enum class Reading : std::uint8_t {
  Done,
  Gone,    // some of it is not there
  Refused, // the system does not let us look
};

/// Copies `range` to `to`.
Reading readForeign(Range range, void *to);

} // namespace nomad
