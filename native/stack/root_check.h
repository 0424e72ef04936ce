// What waiting frames have of code, looked for a second time, and by another way than stack/stack_walk.h goes: by unwind records
// only, frame by frame, with owners looked up in the table of code objects. Slow, and knows nothing of frame pointers.
//
// In: the chain of activations, and what the fast walk has found. Out: nothing, or an error. Always true:
//   1. each frame of code that is found here is an exact root, at the very slot, or its code is pinned;
//   2. each exact root is a frame that is found here, as far as unwind records lead; it lies in some activation, and its slot has
//      what the root says.
#pragma once

#include "base/integrity.h"
#include "link/code_object.h"
#include "stack/activation.h"
#include "stack/stack_walk.h"

#include "llvm/ADT/DenseSet.h"

#include <vector>

namespace nomad {

class RootCheck {
public:
  /// `thunks`: code that never moves and is no root.
  RootCheck(const CodeObjectTable &objects, Range thunks);

  llvm::Error check(const Activation *innermost, const StackRoots &roots);

private:
  struct Frame {
    Address slot;
    Address returnsTo;
  };

  const CodeObject *ownerOf(Address returnsTo) const;
  llvm::Error checkActivation(const Activation &activation);
  llvm::Error checkFrames(llvm::ArrayRef<Frame> frames) const;
  llvm::Error checkExact(Range activation, llvm::ArrayRef<Frame> frames, bool isWhole);

  Range thunks_;
  std::vector<const CodeObject *> owners_; // in address order
  std::vector<StackRoot> exact_;           // in the order of their slots
  llvm::DenseSet<const CodeObject *> pinned_;
  size_t seen_ = 0; // exact roots in activations
};

} // namespace nomad
