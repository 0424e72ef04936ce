// The chain of entries into code and exits from it. V8's frames can't be walked (pitfall 6), so each leaves a record (I16).
//
//   JS ... call thunk    code ... libc ... code    host thunk, exit    JS ... call thunk    code ...
//          ^entryFrame                             ^Activation                 ^entryFrame
//
// A call thunk writes the address of its frame to `entryFrame`, and 0 when it is left. An exit makes an Activation, so each is
// one stretch of code frames that wait; meanwhile `entryFrame` is 0.
//
// Code can call JS past host functions: through another addon's function, say. No Activation records that exit; `entryFrame` is
// the thunk's until code is entered again. Then the frames up to there become an Activation in which every address pins.
//
// Native code can enter code past call thunks, by its entry stub: entry_log.h hears of that. What such code calls is an
// Activation of which nothing is known, too. It reaches up to where that function returns; or, if it was entered in no such way,
// up to the Activation before it, or to the stack's end.
#pragma once

#include "base/address.h"

#include <array>

namespace nomad {

struct Activation {
  /// rbx, r12, r13, r14, r15, as code left them.
  using Registers = std::array<std::uint64_t, 5>;

  /// Through a host function, or past them.
  enum class Exit : std::uint8_t { Host, Unknown };

  Activation *previous;
  Address entryFrame; // of the call thunk that entered; 0 if none did
  const Registers *registers;
  Exit exit;
  Address
      enteredAt; // the slot by which the function returns that native code has called; 0 if a thunk did, or if it is not known

  /// A host function's exit's own frame: its caller's frame pointer is there, and after it the return address.
  Address frame() const { return Address::of(registers) + frameOffset; }
  static constexpr Size frameOffset = 48;
  /// Where its frames end on a stack that ends at `stackLimit`.
  Address limit(Address stackLimit) const {
    if (entryFrame != Address())
      return entryFrame;
    if (enteredAt != Address())
      return enteredAt;
    return previous ? Address::of(previous->registers) : stackLimit;
  }
};

/// Registers that callees have not saved yet are the caller's to save.
[[gnu::always_inline]] inline void saveRegisters(Activation::Registers &registers) {
  asm volatile("movq %%rbx, 0(%0)\n\tmovq %%r12, 8(%0)\n\tmovq %%r13, 16(%0)\n\tmovq %%r14, 24(%0)\n\tmovq %%r15, 32(%0)"
               :
               : "r"(registers.data())
               : "memory");
}

struct ActivationChain {
  Address entryFrame;
  Activation *innermost = nullptr;
  Range stack;                 // of the thread; empty until it has a Jit
  bool hasStackWithin = false; // some coroutine's stack is, or was, an array there
};

/// One for all Jits of a thread: code of one may call another's. At a fixed distance from the thread pointer, because entry stubs
/// read `entryFrame`.
[[gnu::tls_model("initial-exec")]] extern constinit thread_local ActivationChain activationChain;

/// Of a thread that has a Jit.
ActivationChain &threadActivations();

/// Code waits as long as this lives.
class Waiting {
public:
  Waiting(ActivationChain &chain, const Activation::Registers &registers, Activation::Exit exit, Address enteredAt = {})
      : chain_(chain), activation_{chain.innermost, chain.entryFrame, &registers, exit, enteredAt} {
    chain_.innermost = &activation_;
    chain_.entryFrame = Address();
  }
  ~Waiting() {
    chain_.innermost = activation_.previous;
    chain_.entryFrame = activation_.entryFrame;
  }
  Waiting(const Waiting &) = delete;
  Waiting &operator=(const Waiting &) = delete;

private:
  ActivationChain &chain_;
  Activation activation_;
};

} // namespace nomad
