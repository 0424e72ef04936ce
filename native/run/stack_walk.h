// What on the stack refers to code objects (I12): return slots that the walk of the frames identifies, which can be rewritten,
// and every other word, which can't.
//
// In: activations. Out: roots. Always true: a slot is exact only if the frame that it returns from is known; when in doubt a word
// is ambiguous, and its segment stays.
//
// A word that is the address behind a call, in an activation whose frames are all known, is left from a call that has returned:
// it refers to nothing, unless its code object may have such addresses by other ways. There are many: code's frames lie over old
// ones.
//
// Code keeps frame pointers, so its frames are a chain from the exit to the call thunk. Where the chain meets a return address
// that is not code's (libc calls a comparator), frame pointers say nothing beyond it, and the activation is walked by unwind
// records instead.
#pragma once

#include "move/owner_index.h"
#include "run/activation.h"

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

class StackWalk {
public:
  /// Code whose frames are walked, what is there beside code objects, and who owns what.
  StackWalk(Range arena, Range thunks, OwnerIndex &code, OwnerIndex &data)
      : arena_(arena), thunks_(thunks), code_(code), data_(data) {}

  void walk(const Activation &activation, StackRoots &roots);
  /// Where `object` may have labels' addresses that look like return addresses; nowhere, if it is not said.
  void setJumpTargets(const CodeObject &object, std::vector<Offset> offsets);

private:
  bool findReturns(const Activation &activation);
  bool followFrames(const Activation &activation);
  bool followUnwindRecords(const Activation &activation);
  void addExact(Address slot, StackRoots &roots);
  void scan(Address registers, Address entryFrame, StackRoots &roots);
  void addAmbiguous(StackRoot::Kind kind, Address slot, StackRoots &roots);
  void addPin(StackRoot root, std::uint64_t value, StackRoots &roots) const;

  Range arena_;
  Range thunks_;
  OwnerIndex &code_;
  OwnerIndex &data_;
  bool isFinished(StackRoot root) const;

  std::vector<Address> slots_; // of one activation, in address order
  bool isComplete_ = false;    // they are all that there are
  llvm::DenseMap<const CodeObject *, std::vector<Offset>> jumpTargets_;
};

} // namespace nomad
