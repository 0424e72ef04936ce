// The time at which libgcc is told of changed unwind tables: at once, if code may run before it is entered; else at the next
// entry.
#pragma once

#include "enter/entry_log.h"

namespace nomad {

class UnwindRefresh {
public:
  UnwindRefresh(const ActivationChain &activations, EntryLog &log) : activations_(activations), log_(log) {}

  /// Code has been placed, moved or freed.
  void afterChange();
  /// Before code is entered.
  static void beforeEntry();

private:
  bool returnsUnseen();

  const ActivationChain &activations_;
  EntryLog &log_;
};

} // namespace nomad
