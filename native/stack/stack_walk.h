// What on the stack refers to code objects (I12): return slots that the walk of the frames identifies, which can be rewritten,
// and every other word, which can't.
//
// In: activations. Out: roots. Always true: a slot is exact only if the frame that it returns from is known; when in doubt a word
// is ambiguous, and its segment stays.
//
// A word that is the address after a call, in an activation whose frames are all known, is left from a call that has returned:
// it refers to nothing, unless its code object may have such addresses by other ways. There are many: code's frames lie over old
// ones.
//
// Functions whose frames are proved plain (compile/frames.h) form a chain from the exit to the call thunk. Where the chain meets
// another return address (libc calls a comparator, a function of assembly), frame pointers say nothing beyond it, and the
// activation is walked by unwind records instead. These are believed of code whose frames LLVM has recorded, and of what is not
// code. At a frame that is neither, and at one that a signal has interrupted, the walk ends, and nothing is known beyond it.
#pragma once

#include "move/owner_index.h"
#include "stack/activation.h"
#include "stack/code_shapes.h"
#include "stack/unwind_from.h"

#include <vector>

namespace nomad {

struct StackRoot {
  enum class Kind : std::uint8_t { Return, Word, Register };

  CodeObject *object;
  SegmentKind segment;
  Kind kind;
  Address slot;
  Offset offset; // in the segment, of what the slot has
};

struct StackRoots {
  std::vector<StackRoot> exact;
  std::vector<StackRoot> ambiguous;
};

/// Of one Jit. Those of a thread know of each other: code of one Jit may call another's.
class StackWalk {
public:
  /// Code whose frames are walked, what is there beside code objects, and the owners of addresses.
  StackWalk(Range arena, Range thunks, OwnerIndex &code, OwnerIndex &data, const CodeShapes &shapes);
  ~StackWalk();
  StackWalk(const StackWalk &) = delete;
  StackWalk &operator=(const StackWalk &) = delete;

  /// `stackLimit`: of the thread.
  void walk(const Activation &activation, Address stackLimit, StackRoots &roots);
  /// Every word in `stack`, which is not the thread's, pins. False if none can be read any more.
  bool scanForeign(Range stack, StackRoots &roots);

private:
  /// What a frame that goes on somewhere is.
  enum class Place : std::uint8_t {
    Outside, // no Jit's
    Thunk,
    Plain,
    Copied,
    Recorded,
    Unknown,
  };

  static Place placeOf(Address returnsTo);
  Place placeIn(Address returnsTo);
  bool findReturns(const Activation &activation);
  bool followFrames(const Activation &activation);
  bool followUnwindRecords(const Activation &activation);
  bool takeFrame(const WaitingFrame &frame, const Activation &activation, bool &isComplete);
  void addExact(Address slot, StackRoots &roots);
  void scan(Range words, StackRoots &roots);
  void addAmbiguous(StackRoot::Kind kind, Address slot, std::uint64_t value, StackRoots &roots);
  void addPin(StackRoot root, std::uint64_t value, StackRoots &roots) const;
  bool isFinished(StackRoot root) const;

  Range arena_;
  Range thunks_;
  OwnerIndex &code_;
  OwnerIndex &data_;
  std::vector<Address> slots_; // of one activation, in address order
  bool isComplete_ = false;    // they are all that there are
  bool hasCopies_ = false;     // of what is in them, in other words
  const CodeShapes &shapes_;
};

} // namespace nomad
