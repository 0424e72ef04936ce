// Code calls host functions: each call is an exit from code, a safepoint, and a way back.
#pragma once

#include "engine/attention.h"
#include "engine/outside.h"
#include "engine/roots.h"

namespace nomad {

class HostCalls {
public:
  HostCalls(const Outside &outside, ActivationChain &chain, EntryLog &log, Roots &roots, Attention &attention)
      : outside_(outside), chain_(chain), log_(log), roots_(roots), attention_(attention) {}

  /// Called by the exit only. Does not return normally if the host function throws.
  void call(HostIndex index, const Activation::Registers &registers);
  /// Nothing runs, the result is 0, and code that returns to JS next throws. Other threads call it, too.
  void refuse(HostIndex index, Refusal why) { attention_.noteRefusal(index, why); }
  /// Those that have not returned.
  Size underWay() const { return underWay_; }

private:
  std::optional<Refusal> refusalOf(const Activation::Registers &registers);
  bool interruptsOthers(const Activation::Registers &registers) const;
  bool callWaiting(HostIndex index, const Activation::Registers &registers);

  const Outside &outside_;
  ActivationChain &chain_;
  EntryLog &log_;
  Roots &roots_;
  Attention &attention_;
  Size underWay_ = 0;
};

} // namespace nomad
