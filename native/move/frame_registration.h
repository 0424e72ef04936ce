// How libgcc is told of unwind records. It has three ways, by its version (docs/internals/unwinding.md):
//
//   Lists         to 12. A registration is an array of .eh_frame sections; each throw searches the list of all registrations, so
//                 there are few: one a window of code. Two may name the same section, so a new one comes before the old one goes.
//   Ranges        A tree by ranges of addresses, which may not meet: each code object is a registration of its own, which takes
//                 no part when others come and go.
//   BrokenRanges  13.1 to 13.3 and 14.1 to 14.2: a range that comes where others were is not always found again. A window of code
//                 is one range for good, and what is in it a sorted vector, which we exchange.
//
// No registration needs memory of libgcc's but the tree's nodes. Registered memory has to stay readable until it is taken
// back: libgcc then reads its addresses again.
#pragma once

#include "base/address.h"

#include "llvm/ADT/ArrayRef.h"

#include <memory>
#include <vector>

namespace nomad {

enum class FrameLookup { Lists, Ranges, BrokenRanges };

/// This process's libgcc's.
FrameLookup frameLookup();

/// An .eh_frame section of its own. Ranges only.
void registerFrames(const void *section);
void unregisterFrames(const void *section);

/// What is registered for a window of code. Not for Ranges.
class WindowFrames {
public:
  virtual ~WindowFrames() = default;
  /// These sections instead of those before, without a moment at which one that stays is not found.
  virtual void publish(llvm::ArrayRef<const void *> sections) = 0;

  static std::unique_ptr<WindowFrames> make(FrameLookup lookup, Range window);
};

} // namespace nomad
