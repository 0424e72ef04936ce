// The chain of entries into code and exits from it. V8's frames can't be walked (DESIGN, trap 6), so each leaves a record.
//
//   JS ... call thunk    code ... libc ... code    host thunk, exit    JS ... call thunk    code ...
//          ^entryFrame                             ^Activation                 ^entryFrame
//
// A call thunk writes the address of its frame to `entryFrame` and puts back what was there when it is left. An exit makes an
// Activation, so each is one stretch of code frames that wait for a host function.
#pragma once

#include "base/address.h"

#include <array>

namespace nomad {

struct Activation {
  /// rbx, r12, r13, r14, r15, as code left them.
  using Registers = std::array<std::uint64_t, 5>;

  Activation *previous;
  Address entryFrame; // of the call thunk that entered
  const Registers *registers;

  /// The exit's own frame: its caller's frame pointer is there, and behind it the return address.
  Address frame() const { return Address::of(registers) + 48; }
};

struct ActivationChain {
  Address entryFrame;
  Activation *innermost = nullptr;
};

/// One for all Jits of a thread: code of one may call another's.
inline ActivationChain &threadActivations() {
  static thread_local ActivationChain chain;
  return chain;
}

} // namespace nomad
