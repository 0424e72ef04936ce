// Place and relocate, one code object or a batch: check everything, then copy, relocate, publish.
//
// Placing is relocating from the nominal base that the linker used, so there is one mover and it is always exercised. A batch
// may put a code object where another of the same batch is, or its own old and new place may overlap (sliding compaction).
#pragma once

#include "link/linker.h"
#include "memory/write_scope.h"
#include "move/owner_index.h"
#include "move/quiet.h"
#include "move/unwind.h"

#include <array>
#include <optional>
#include <vector>

namespace nomad {

/// As lib/jit/move-batch.ts writes it: a batch comes from JS without being copied.
struct MoveRequest {
  static constexpr std::int32_t stays = -1; // also where there is no such segment

  Handle object;
  std::array<std::int32_t, 3> to; // by SegmentKind: offsets in the allowed ranges
};
static_assert(sizeof(MoveRequest) == 16);

struct MoveReport {
  Size moved = 0;       // code objects
  Size bytes = 0;       // copied
  Size relocations = 0; // sites rewritten, dependents' included
};

/// Links a code object that has its object file (Retain::Object) for other addresses.
class Emitter {
public:
  virtual llvm::Expected<Emission> emit(const CodeObject &object, const SegmentBases &bases) = 0;

protected:
  ~Emitter() = default;
};

class Mover {
public:
  Mover(Arena &arena, EntryTable &entries, CodeObjectTable &objects, Emitter &emitter, QuietMoves &quietMoves)
      : arena_(arena), entries_(entries), objects_(objects), emitter_(emitter), quietMoves_(quietMoves),
        owners_{OwnerIndex(SegmentKind::Code, arena.segments(SegmentKind::Code)),
                OwnerIndex(SegmentKind::Data, arena.segments(SegmentKind::Data))},
        unwind_(arena.segments(SegmentKind::Code), owners_[0]) {}

  using Ranges = std::array<Range, 3>; // by SegmentKind

  /// First placement, somewhere in `allowed`; those of one batch may refer to each other. Errors: Placement, State; then nothing
  /// has changed.
  llvm::Expected<MoveReport> place(llvm::ArrayRef<MoveRequest> requests, const Ranges &allowed);
  /// All or nothing (I7). Errors: Placement, State, and Pinned by the code object's `stackUse`; Link, where something is emitted
  /// again.
  llvm::Expected<MoveReport> relocate(llvm::ArrayRef<MoveRequest> requests, const Ranges &allowed);
  /// A placed code object's memory is nobody's from now on. In an UnwindRegistry::Change.
  void vacate(CodeObject &object);

  /// Who has an address in code; and in data, of those that move as a whole.
  OwnerIndex &codeOwners() { return owners_[0]; }
  OwnerIndex &dataOwners() { return owners_[1]; }
  UnwindRegistry &unwind() { return unwind_; }

private:
  enum class Purpose { Place, Relocate };

  /// One segment that moves. Those of one code object follow each other.
  struct Piece {
    CodeObject *object;
    Address from; // nominal when it is placed
    Address to;
    std::uint32_t size;
    SegmentKind kind;

    Range oldRange() const { return Range::at(from, size); }
    Range newRange() const { return Range::at(to, size); }
  };
  using Pieces = llvm::ArrayRef<Piece>;

  llvm::Expected<MoveReport> run(llvm::ArrayRef<MoveRequest> requests, Purpose purpose);
  llvm::Error check(llvm::ArrayRef<MoveRequest> requests, Purpose purpose);
  static bool isReady(const CodeObject &object, Purpose purpose);
  llvm::Error stateError(const MoveRequest &request, Purpose purpose) const;
  llvm::Error checkReferences(const CodeObject &object, llvm::ArrayRef<MoveRequest> batch) const;
  bool addPieces(CodeObject &object, const MoveRequest &request, Purpose purpose, SegmentKind &refused);
  bool addPiece(CodeObject &object, SegmentKind kind, std::int32_t offset, Purpose purpose);
  void claimRun(size_t limit);
  llvm::Error fitError(const CodeObject &object, SegmentKind kind, std::int32_t offset) const;
  llvm::Error exchange(Purpose purpose);
  void undo();
  llvm::Error pinError(const CodeObject &object, SegmentKind kind) const;
  llvm::Error overlapError(const Piece &piece) const;
  void copyOverlapping(const WriteScope &scope);
  static SegmentMoves movesOf(const WriteScope &scope, Pieces pieces);
  std::uint32_t moveOne(const WriteScope &scope, Pieces pieces, Purpose purpose);
  void leavePlace(const Piece &piece);
  void vacateRun();
  void copyPiece(const WriteScope &scope, const Piece &piece, Purpose purpose);
  static void copyImage(const WriteScope &scope, const Piece &piece);
  llvm::Error emitAgain();
  std::uint32_t takeEmission(const WriteScope &scope, Pieces pieces);
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
  Ranges ranges_; // where the batch that runs may go

  // The batch that runs; kept for its memory.
  std::vector<Piece> pieces_;
  size_t claimed_ = 0;    // pieces, from the first on, whose new places are claimed
  OccupancyMap::Run run_; // of one kind: new places to be claimed, then old ones to be vacated
  SegmentKind runKind_ = SegmentKind::Code;
  bool isTaken_ = false;            // somebody has a new place
  bool overlaps_ = false;           // a new place is where some segment of the batch was
  bool isSeen_ = false;             // whoever runs meanwhile could see that some bytes have moved and others have not
  bool emitsAgain_ = false;         // some of the batch have their object file
  std::vector<Piece> movedCallees_; // what others refer to
  llvm::DenseMap<const CodeObject *, Emission> emissions_;
};

} // namespace nomad
