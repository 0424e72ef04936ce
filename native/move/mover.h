// Place and relocate, one code object or a batch: reserve all places (move/batch.h), then copy, relocate, publish.
//
// Placing is relocating from the nominal base that the linker used, so there is one mover and it is always exercised.
#pragma once

#include "memory/write_scope.h"
#include "move/batch.h"
#include "move/owner_index.h"
#include "move/quiet.h"
#include "move/unwind.h"

#include <array>
#include <optional>
#include <vector>

namespace nomad {

struct MoveReport {
  Size moved = 0;       // code objects
  Size bytes = 0;       // copied
  Size relocations = 0; // sites rewritten, dependents' included
};

class Mover {
public:
  Mover(Arena &arena, EntryTable &entries, CodeObjectTable &objects, Emitter &emitter, QuietMoves &quietMoves)
      : arena_(arena), entries_(entries), objects_(objects), emitter_(emitter), quietMoves_(quietMoves),
        owners_{OwnerIndex(SegmentKind::Code, arena.segments(SegmentKind::Code)),
                OwnerIndex(SegmentKind::Data, arena.segments(SegmentKind::Data))},
        unwind_(arena.segments(SegmentKind::Code), owners_[0]) {}

  using Ranges = Batch::Ranges;

  /// First placement, somewhere in `allowed`; those of one batch may refer to each other. Errors: Placement, State; then nothing
  /// has changed.
  llvm::Expected<MoveReport> place(llvm::ArrayRef<MoveRequest> requests, const Ranges &allowed);
  /// Errors: as Batch::reserve; then nothing has changed (I7).
  llvm::Expected<MoveReport> relocate(llvm::ArrayRef<MoveRequest> requests, const Ranges &allowed);
  /// A placed code object's memory is free from now on. In an UnwindRegistry::Change.
  void vacate(CodeObject &object);

  /// The owner of an address in code; and in data, of those that move as a whole.
  OwnerIndex &codeOwners() { return owners_[0]; }
  OwnerIndex &dataOwners() { return owners_[1]; }
  UnwindRegistry &unwind() { return unwind_; }

private:
  MoveReport commit(Batch &batch);
  void copyOverlapping(const WriteScope &scope, Pieces pieces);
  static SegmentMoves movesOf(const WriteScope &scope, Pieces pieces);
  std::uint32_t moveOne(const WriteScope &scope, Batch &batch, Pieces pieces);
  void leavePlace(const Piece &piece);
  void vacateRun();
  void copyPiece(const WriteScope &scope, const Piece &piece, Batch::Purpose purpose);
  static void copyImage(const WriteScope &scope, const Piece &piece);
  std::uint32_t moveByBlocks(const WriteScope &scope, Pieces pieces);
  std::uint32_t relocateSites(const WriteScope &scope, Pieces pieces) const;
  void publish(Pieces pieces);
  void publishPiece(CodeObject &object, const Piece &piece);
  void noteMovedCallees(const CodeObject &object, Pieces pieces);
  static void moveExitArguments(Teardown &teardown, Pieces pieces);
  std::uint32_t redirectCallers(const WriteScope &scope, const Piece &piece);

  Arena &arena_;
  EntryTable &entries_;
  CodeObjectTable &objects_;
  Emitter &emitter_;
  QuietMoves &quietMoves_;
  std::array<OwnerIndex, 2> owners_; // code, data
  UnwindRegistry unwind_;

  // Of the batch that runs; kept for their memory.
  std::vector<Piece> pieces_;
  std::vector<Piece> movedCallees_; // what others refer to
  OccupancyMap::Run run_;           // of one kind: old places to be vacated
  SegmentKind runKind_ = SegmentKind::Code;
};

} // namespace nomad
