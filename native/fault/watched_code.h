// Code of one Jit with everything that looks after it while it runs: the handlers of signals and of std::terminate, and the
// watchdog.
#pragma once

#include "stack/code_thread.h"

namespace nomad {

/// Made, used and destroyed on the Jit's thread.
class WatchedCode {
public:
  WatchedCode(Range code, Range thunks, OwnerIndex &owners);
  ~WatchedCode();

  std::uint32_t id() const { return range_.id(); }

private:
  CodeRange range_;
};

} // namespace nomad
