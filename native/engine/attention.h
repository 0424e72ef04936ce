// The word that call thunks read when code returns: is there anything to do before JS goes on?
//
// Always true: a refused host call is reported once, at the next return of code to JS; of several, the last one.
#pragma once

#include "enter/host_table.h"

#include <atomic>
#include <optional>

namespace nomad {

/// Why there is no JS for code that calls a host function.
enum class Refusal : std::uint32_t { OtherThread, OtherStack, Signal };

class Attention {
public:
  struct Refused {
    HostIndex host;
    Refusal why;
  };

  Address word() const { return Address::of(&word_); }
  /// On any thread.
  void noteRefusal(HostIndex host, Refusal why) {
    refused_.store((host + 1) | static_cast<std::uint32_t>(why) << refusalShift);
    word_ |= HasRefused;
  }
  /// Some code may change the floating-point control registers: from now on every return restores them.
  void watchFloats() { word_ |= Floats; }
  std::optional<Refused> takeRefused();

private:
  enum : std::uint32_t { HasRefused = 1, Floats = 2 };
  static constexpr unsigned refusalShift = 29;

  std::atomic<std::uint32_t> word_{0};
  std::atomic<std::uint32_t> refused_{0}; // index + 1, and why
};

} // namespace nomad
