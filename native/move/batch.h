// A batch of moves that can no longer fail: everything is checked, and the new places are claimed.
//
//   requests -- Batch::reserve -->  Batch  -- Mover commits it --> moved
//                  |                  |
//                  error              destroyed: all is as it was (I7)
//
// A batch may put a code object where another of the same batch is, or its own old and new place may overlap (sliding
// compaction).
#pragma once

#include "link/linker.h"

#include <array>
#include <utility>
#include <vector>

namespace nomad {

/// As lib/jit/move-batch.ts writes it: a batch comes from JS without being copied.
struct MoveRequest {
  static constexpr std::int32_t stays = -1; // also where there is no such segment

  Handle object;
  std::array<std::int32_t, 3> to; // by SegmentKind: offsets in the allowed ranges
};
static_assert(sizeof(MoveRequest) == 16);

/// Links a code object that has its object file (Retain::Object) for other addresses.
class Emitter {
public:
  virtual llvm::Expected<Emission> emit(const CodeObject &object, const SegmentBases &bases) = 0;

protected:
  ~Emitter() = default;
};

/// One segment that moves. Those of one code object follow each other, code first.
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

/// New places. Always true: until they are kept, the destructor gives back all of them, and takes the old ones again that had to
/// be left.
class Claims {
public:
  /// `pieces` is memory for them, which outlives this.
  Claims(Arena &arena, std::vector<Piece> &pieces) : arena_(&arena), pieces_(pieces) { pieces_.clear(); }
  Claims(Claims &&other) noexcept
      : arena_(std::exchange(other.arena_, nullptr)), pieces_(other.pieces_), claimed_(other.claimed_),
        haveLeft_(other.haveLeft_) {}
  ~Claims() {
    if (arena_) [[unlikely]]
      giveBack();
  }

  Pieces pieces() const { return pieces_; }
  /// Old places have been left: some new place is there.
  bool haveLeft() const { return haveLeft_; }
  /// In the order of Piece. Claims it while all old places are still taken: if all such claims succeed, no new place meets any
  /// old one.
  void add(const Piece &piece);
  /// After the last. Where a new place is taken, all of the batch leave their old ones if they `mayLeave`. Null, or a piece whose
  /// new place is occupied.
  const Piece *claimAll(bool mayLeave);
  void keep() { arena_ = nullptr; }

private:
  void claimRun();
  const Piece *claimRest();
  void giveBack();

  Arena *arena_; // null: there is nothing to give back
  std::vector<Piece> &pieces_;
  size_t claimed_ = 0; // pieces, from the first on, whose new places are claimed
  bool haveLeft_ = false;
  bool isTaken_ = false;  // a new place is occupied
  OccupancyMap::Run run_; // new places, of one kind, that follow each other and are not claimed yet
  SegmentKind runKind_ = SegmentKind::Code;
};

struct Batch {
  enum class Purpose : std::uint8_t { Place, Relocate };
  using Ranges = std::array<Range, 3>; // by SegmentKind

  /// What is asked before a batch may run.
  struct Records {
    Arena &arena;
    CodeObjectTable &objects;
    Emitter &emitter;
  };

  /// To somewhere in `allowed`. `memory` outlives the batch. Errors: Placement, State, and Pinned by the code object's
  /// `stackUse`; Link, where something is emitted again. Then nothing has changed.
  static llvm::Expected<Batch> reserve(const Records &records, llvm::ArrayRef<MoveRequest> requests, Purpose purpose,
                                       const Ranges &allowed, std::vector<Piece> &memory);

  Purpose purpose;
  Claims claims;
  bool isSeen = false; // whatever runs meanwhile could see that some bytes have moved and others have not
  llvm::DenseMap<const CodeObject *, Emission> emissions{}; // of those that have their object file
};

} // namespace nomad
