// Frames from a place in code to the call thunk by which it was entered, found by unwind records.
//
// Frames on a coroutine's stack are followed by those that wait on the thread's own, from where that was left.
//
// Always true: what `reachThunk` says can be unwound to the thunk, if it is done at once. A walk that is led astray, because code
// has something else in a register than its unwind record says, ends where it faults: `endWalk`.
#pragma once

#include "stack/code_thread.h"
#include "stack/unwind_from.h"

#include "llvm/ADT/ArrayRef.h"
#include "llvm/ADT/STLFunctionalExtras.h"

#include <algorithm>
#include <array>
#include <optional>
#include <unwind.h>

namespace nomad {

class CodeFrames {
public:
  /// What frames of other signals' handlers on the way are.
  enum class Handlers { End, Passed };

  /// From the caller on; or in a signal handler, from the instruction that the signal has interrupted.
  explicit CodeFrames(CodeThread &thread, Address interrupted = Address(), Handlers handlers = Handlers::End);

  /// The thunk is reached, and no other signal's frame lies between.
  bool reachThunk() const { return reachThunk_; }
  /// Raises what unwinds to the thunk: where the thread's own stack waits, if these frames are on another one; or past frames
  /// that `leavingAtCode` drops. Returns if there is no way.
  void raise(_Unwind_Exception *exception) const;
  /// If these frames are on another stack: drops them, and calls `function`, which does not return, where the thread's own waits.
  /// Returns if they are not, or that can't be.
  void goOnAtOwnStack(void (*function)()) const;
  /// Frames of code, and the innermost of them: addresses in the instructions that they are at.
  Size count() const { return count_; }
  llvm::ArrayRef<Address> innermost() const { return {innermost_.data(), std::min<size_t>(count_, innermost_.size())}; }
  /// The interrupted function is not code's, has nothing on the stack and was called by code, or by the thunk if code has jumped
  /// to it: memcpy, strlen.
  bool beginInLeaf(Address stackPointer) const { return foreign_ == 1 && afterFirst_ == stackPointer + 8; }
  /// The interrupted function is not code's: it is `qsort`, or another that holds no lock while it calls code, or a part of that.
  bool beginInSearch() const { return foreign_ > 0 && isSearch_; }

  /// Walks frames, or ends where that faults: false.
  static bool walkSafely(CodeThread &thread, llvm::function_ref<void()> walk);
  /// In a fault's handler. Does not return if the thread was walking frames: that walk has reached nothing.
  static void endWalk(CodeThread &thread);

  /// Where `beginInSearch` is possible: found without unwind records, which can't be asked for in the middle of `malloc`.
  static bool mayBeInSearch(Address pc);

private:
  void walk();
  bool visit(_Unwind_Context *context);
  bool add(const WaitingFrame &frame);
  void addCode(Address at);
  void addForeign(const void *function);

  CodeThread &thread_;
  Address interrupted_;
  Handlers handlers_;
  std::array<Address, 64> innermost_{};
  Size count_ = 0;
  Size foreign_ = 0; // frames before the first one of code
  Size depth_ = 0;
  std::optional<FrameContext> leavesAt_;
  bool isLeavingAtCode_ = false;
  bool isOtherStackOver_ = false; // all of a coroutine's frames have been seen
  Address lastStack_;       // of the frame before: what a handler has interrupted is in the ucontext_t there, where it returns
  Address passedHandlerAt_; // the same of the outermost handler; 0: none
  Address afterFirst_;      // the stack pointer of the second frame
  bool reachThunk_ = false;
  bool isSearch_ = false;
  bool mayAllocate_ = false;
};

/// Runs `run`. What leaves code from in there leaves at the next frame of code further out: frames in between don't see it.
void leavingAtCode(llvm::function_ref<void()> run);
/// Raises what is to leave code, from the caller on. Returns if there is no way.
void raiseFromHere(_Unwind_Exception *exception);
/// As that of CodeFrames, from the caller on.
void goOnAtOwnStack(void (*function)());

} // namespace nomad
