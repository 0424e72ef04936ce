// References to code objects in waiting frames (I12). Each look is a new one: a host function may have written to waiting
// frames since.
//
// While a look is current, `stackUse` of each code object says what the stack has of it; `forget` ends that.
#pragma once

#include "engine/code_objects.h"
#include "enter/entry_log.h"
#include "stack/stack_walk.h"

namespace nomad {

class Roots {
public:
  /// `thunks`: code that never moves and is no root.
  Roots(ActivationChain &chain, EntryLog &log, StackWalk &walk, CodeObjects &objects, Range thunks)
      : chain_(chain), log_(log), walk_(walk), objects_(objects), thunks_(thunks) {}

  const StackRoots &look();
  void forget();
  /// A look is current, and has found something.
  bool areKnown() const { return !roots_.exact.empty() || !roots_.ambiguous.empty(); }
  /// Writes to exact slots where their code is now.
  void follow();
  /// Looks. Those of which some segment can't move now.
  llvm::DenseSet<Handle> pinned();
  /// Looks a second time, by another algorithm.
  llvm::Error verify();

  // As of the last look. Code that is suspended elsewhere does not run: only code could resume it.

  /// Code has been entered on another thread or stack, or some of the thread's own stack refers to code.
  bool mayRun() const { return isOnStack_ || runsElsewhere_; }
  /// Code runs on another thread or stack, or waits on a coroutine's, or may.
  bool isElsewhere() const { return runsElsewhere_ || waitsElsewhere_; }

private:
  bool scanOtherStacks();
  void pinAll();
  void noteUses();

  ActivationChain &chain_;
  EntryLog &log_;
  StackWalk &walk_;
  CodeObjects &objects_;
  Range thunks_;
  StackRoots roots_;
  bool isOnStack_ = false;
  bool runsElsewhere_ = false;
  bool waitsElsewhere_ = false;
};

} // namespace nomad
