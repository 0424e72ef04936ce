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
  enum class Purpose { Place, Relocate };

  struct Step {
    CodeObject *object;
    std::array<Address, 3> to; // null where the segment stays
    Delta codeDelta;           // known once it has moved
  };

  llvm::Expected<MoveReport> run(llvm::ArrayRef<MoveRequest> requests, Purpose purpose);
  llvm::Error check(llvm::ArrayRef<MoveRequest> requests, Purpose purpose);
  llvm::Error checkState(const MoveRequest &request, Purpose purpose) const;
  llvm::Error stateError(const CodeObject &object, Purpose purpose) const;
  llvm::Error checkReferences(const CodeObject &object) const;
  llvm::Error checkPlaces(Step &step, const MoveRequest &request, Purpose purpose);
  llvm::Error checkSegment(const CodeObject &object, SegmentKind kind, Address to) const;
  llvm::Error claim(Purpose purpose);
  void unclaim(const Step *failedStep, SegmentKind failedKind, Purpose purpose);
  llvm::Error overlapError(const Step &step, SegmentKind kind) const;
  void moveOne(const WriteScope &scope, Step &step, Purpose purpose, MoveReport &report);
  void publish(const Step &step);
  void copyOverlapping(const WriteScope &scope);
  void redirectCallers(const WriteScope &scope, MoveReport &report);
  template <typename Visit> void everySegment(Visit visit);

  Arena &arena_;
  EntryTable &entries_;
  CodeObjectTable &objects_;
  UnwindRegistry &unwind_;
  /// The smallest range around some places: two batches' worth of places are disjoint if these are.
  struct Extent {
    std::array<Range, 3> around;
    void clear() { around = {}; }
    void add(SegmentKind kind, Range place);
    bool meets(const Extent &other) const;
  };

  std::vector<Step> steps_; // of the batch that runs; kept for its memory
  Extent oldPlaces_, newPlaces_;
  bool isCopied_ = false; // new places may have bytes of old ones, so all was copied in an order that allows it
};

} // namespace nomad
