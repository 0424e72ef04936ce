// Place and relocate, one code object or a batch: check everything, then copy, relocate, publish.
//
// Placing is relocating from the nominal base that the linker used, so there is one mover and it is always exercised. A batch
// may put a code object where another of the same batch is, or its own old and new place may overlap (sliding compaction).
#pragma once

#include "link/code_object.h"
#include "memory/write_scope.h"
#include "move/unwind.h"

#include <array>
#include <vector>

namespace nomad {

struct MoveRequest {
  Handle object;
  std::array<Address, 3> to; // by SegmentKind; null: the segment stays, or there is none
};

struct MoveReport {
  Size moved = 0;       // code objects
  Size bytes = 0;       // copied
  Size relocations = 0; // sites rewritten, dependents' included
};

class Mover {
public:
  Mover(Arena &arena, EntryTable &entries, CodeObjectTable &objects, UnwindRegistry &unwind)
      : arena_(arena), entries_(entries), objects_(objects), unwind_(unwind) {}

  /// First placement. Errors: Placement, State; then nothing has changed.
  llvm::Expected<MoveReport> place(const MoveRequest &request);
  /// All or nothing (I7). Errors: Placement, State.
  llvm::Expected<MoveReport> relocate(llvm::ArrayRef<MoveRequest> requests);
  /// A placed code object's memory is nobody's from now on.
  void vacate(CodeObject &object);

private:
  struct Step {
    CodeObject *object;
    SegmentMoves moves;
  };

  llvm::Expected<MoveReport> run(llvm::ArrayRef<MoveRequest> requests, State expected);
  llvm::Error check(llvm::ArrayRef<MoveRequest> requests, State expected);
  llvm::Error checkOne(const MoveRequest &request, State expected, Step &step);
  llvm::Error checkState(const MoveRequest &request, State expected) const;
  llvm::Error checkReferences(const CodeObject &object) const;
  llvm::Error checkSegment(const CodeObject &object, SegmentKind kind, Address to) const;
  llvm::Error claim(State expected);
  llvm::Error overlapError(const Step &step, SegmentKind kind) const;
  void vacateOld();
  void unclaim(const Step *lastStep, size_t lastKind, State expected);
  void copy(const WriteScope &scope, State expected, MoveReport &report);
  void copyImage(Step &step);
  void copyDisjoint(const WriteScope &scope);
  void copyOverlapping(const WriteScope &scope);
  void relocateSites(MoveReport &report);
  void publish(const WriteScope &scope, MoveReport &report);
  void redirectCallers(const WriteScope &scope, const Step &step, MoveReport &report);

  Arena &arena_;
  EntryTable &entries_;
  CodeObjectTable &objects_;
  UnwindRegistry &unwind_;
  std::vector<Step> steps_; // of the batch that runs; kept for its memory
  bool overlaps_ = false;   // a new place has bytes of an old one
};

} // namespace nomad
