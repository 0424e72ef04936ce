// How the processor rounds and what it reports of floating-point numbers. JS expects what a process begins with; code may have
// set it to something else, which then is code's own.
#pragma once

#include "llvm/ADT/ArrayRef.h"
#include "llvm/ADT/StringRef.h"

#include <cstdint>

namespace nomad {

/// Whether that function of C's library changes it for its caller; all others keep it (System V ABI).
bool isFloatControl(llvm::StringRef name);
/// Whether machine code may do so itself.
bool mayLoadFloatState(llvm::ArrayRef<std::uint8_t> code);

struct FloatState {
  std::uint32_t mxcsr;
  std::uint16_t x87;

  static FloatState now() {
    FloatState state;
    asm volatile("stmxcsr %0\n\tfnstcw %1" : "=m"(state.mxcsr), "=m"(state.x87));
    return state;
  }
  /// But for what the last operations have left in its status.
  bool isStandard() const {
    constexpr std::uint32_t status = 0x3f, standard = 0x1f80;
    return (mxcsr & ~status) == standard && x87 == 0x37f;
  }
  void set() const { asm volatile("ldmxcsr %0\n\tfldcw %1" : : "m"(mxcsr), "m"(x87)); }
};

constexpr FloatState standardFloats{0x1f80, 0x37f};

/// And string instructions go upwards, as calling conventions have it.
inline void resetFloatState() {
  asm volatile("cld");
  if (!FloatState::now().isStandard()) {
    asm volatile("fnclex"); // an exception that waits would be reported once it is allowed again
    standardFloats.set();
  }
}

/// Runs `work` as JS has to run, and gives code its own state back.
template <typename Work>
auto withStandardFloats(Work work) {
  asm volatile("cld");
  FloatState own = FloatState::now();
  if (own.isStandard()) [[likely]]
    return work();
  standardFloats.set();
  auto result = work();
  own.set();
  return result;
}

} // namespace nomad
