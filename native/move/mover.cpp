#include "move/mover.h"

#include "base/error.h"
#include "link/relocation_apply.h"
#include "move/batch_emit.h"
#include "move/segments.h"

#include "llvm/ADT/STLExtras.h"

#include <cstring>

using namespace nomad;
using namespace llvm;

namespace {

// How many code objects ahead the next record is fetched: a batch is larger than a cache.
constexpr size_t readAhead = 8;

// What is copied at once where a segment is large: with its old place it fits a second-level cache, where its sites are rewritten
// then. Smaller blocks are no faster: that costs a look at each group of relocations for each block.
constexpr Size blockBytes = 64 * 1024;

} // namespace

Expected<MoveReport> Mover::place(ArrayRef<MoveRequest> requests, const Ranges &allowed) {
  auto batch = Batch::reserve({arena_, objects_, emitter_}, requests, Batch::Purpose::Place, allowed, pieces_);
  if (!batch)
    return batch.takeError();
  MoveReport report = commit(*batch);
  report.moved = requests.size();
  for (const MoveRequest &request : requests) {
    CodeObject &object = objects_[request.object];
    object.state = State::Placed; // also if it has no segment at all
    object.image.reset();
    if (object.retain != Retain::Relocations)
      object.relocations.keepOnlyReferences();
  }
  return report;
}

Expected<MoveReport> Mover::relocate(ArrayRef<MoveRequest> requests, const Ranges &allowed) {
  auto batch = Batch::reserve({arena_, objects_, emitter_}, requests, Batch::Purpose::Relocate, allowed, pieces_);
  if (!batch)
    return batch.takeError();
  MoveReport report = commit(*batch);
  report.moved = requests.size();
  return report;
}

// From here on nothing can fail.
MoveReport Mover::commit(Batch &batch) {
  batch.claims.keep();
  movedCallees_.clear();
  UnwindRegistry::Change change(unwind_);
  MoveReport report;
  // Else all old bytes stay as they are until everything new is there, and entry stubs lead to either.
  std::optional<QuietMoves::Scope> quiet;
  if (batch.purpose == Batch::Purpose::Relocate && (batch.claims.haveLeft() || batch.isSeen))
    quiet.emplace(quietMoves_);
  WriteScope scope(arena_);
  if (batch.claims.haveLeft())
    copyOverlapping(scope, batch.claims.pieces());
  for (Pieces rest = batch.claims.pieces(); !rest.empty();) {
    if (rest.size() > readAhead) [[likely]]
      rest[readAhead].object->fetch();
    size_t count = 0;
    for (const CodeObject *object = rest.front().object; count < rest.size() && rest[count].object == object; ++count)
      report.bytes += rest[count].size;
    report.relocations += moveOne(scope, batch, rest.take_front(count));
    publish(rest.take_front(count));
    rest = rest.drop_front(count);
  }
  vacateRun();
  for (const Piece &piece : movedCallees_)
    report.relocations += redirectCallers(scope, piece);
  return report;
}

// ---- copy, relocate, publish (I13) ----

SegmentMoves Mover::movesOf(const WriteScope &scope, Pieces pieces) {
  SegmentMoves moves = placedSegments(*pieces.front().object, scope);
  for (const Piece &piece : pieces)
    moves[indexOf(piece.kind)] = {scope.writable(piece.to), piece.from, piece.to, piece.size};
  return moves;
}

[[gnu::always_inline]] inline std::uint32_t Mover::moveOne(const WriteScope &scope, Batch &batch, Pieces pieces) {
  CodeObject &object = *pieces.front().object;
  bool isCopied = batch.claims.haveLeft(), isEmitted = !batch.emissions.empty() && object.retain == Retain::Object;
  if (pieces.front().size > blockBytes && batch.purpose == Batch::Purpose::Relocate && !isCopied && batch.emissions.empty())
      [[unlikely]]
    return moveByBlocks(scope, pieces);
  for (const Piece &piece : pieces)
    if (!isCopied)
      copyPiece(scope, piece, batch.purpose);
  if (isEmitted) [[unlikely]]
    return takeEmission(object, batch.emissions[&object], movesOf(scope, pieces));
  return object.relocations.bytes() > 0 ? relocateSites(scope, pieces) : 0;
}

inline void Mover::copyPiece(const WriteScope &scope, const Piece &piece, Batch::Purpose purpose) {
  if (purpose == Batch::Purpose::Place)
    return copyImage(scope, piece);
  leavePlace(piece);
  std::memcpy(scope.writable(piece.to), scope.writable(piece.from), piece.size);
}

[[gnu::always_inline]] inline void Mover::leavePlace(const Piece &piece) {
  if (piece.kind == SegmentKind::Code)
    unwind_.changes(*piece.object);
  if (piece.kind == runKind_ && run_.extend(piece.oldRange()))
    return;
  vacateRun();
  run_.begin(piece.oldRange());
  runKind_ = piece.kind;
}

void Mover::vacateRun() {
  if (!run_.isEmpty())
    arena_.occupancy(runKind_).vacate(run_.range());
  run_ = {};
}

void Mover::copyImage(const WriteScope &scope, const Piece &piece) {
  const Image &image = *piece.object->image;
  std::uint32_t stored = image.storedBytes[indexOf(piece.kind)];
  std::memcpy(scope.writable(piece.to), image.bytes[indexOf(piece.kind)].get(), stored);
  if (stored < piece.size)
    zeroPrivate({piece.to + stored, piece.to + piece.size}); // data only: what else there is, is stored whole
}

// Sliding: if all go down, lower ones first never overwrite what is still to be copied; if all go up, higher ones first. A batch
// that does both (a swap) goes through a buffer.
void Mover::copyOverlapping(const WriteScope &scope, Pieces pieces) {
  for (const Piece &piece : pieces)
    if (piece.kind == SegmentKind::Code)
      unwind_.changes(*piece.object);
  std::vector<Piece> order = pieces.vec();
  auto isDown = [](const Piece &piece) { return piece.to < piece.from; };
  bool allDown = llvm::all_of(order, isDown);
  if (allDown || llvm::none_of(order, isDown)) {
    llvm::sort(order, [=](const Piece &a, const Piece &b) { return allDown ? a.from < b.from : a.from > b.from; });
    for (const Piece &piece : order)
      std::memmove(scope.writable(piece.to), scope.writable(piece.from), piece.size);
    return;
  }
  std::vector<std::byte> buffer;
  for (const Piece &piece : order)
    buffer.insert(buffer.end(), scope.writable(piece.from), scope.writable(piece.from) + piece.size);
  const std::byte *at = buffer.data();
  for (const Piece &piece : order) {
    std::memcpy(scope.writable(piece.to), at, piece.size);
    at += piece.size;
  }
}

std::uint32_t Mover::moveByBlocks(const WriteScope &scope, Pieces pieces) {
  SegmentMoves moves = movesOf(scope, pieces);
  PartwiseMove sites(pieces.front().object->relocations, moves);
  for (const Piece &piece : pieces) {
    leavePlace(piece);
    std::byte *to = scope.writable(piece.to), *from = scope.writable(piece.from);
    for (Size done = 0; done < piece.size;) {
      Size bytes = std::min<Size>(blockBytes, piece.size - done);
      std::memcpy(to + done, from + done, bytes);
      sites.arrived(piece.kind, done += bytes);
    }
  }
  return sites.finish();
}

std::uint32_t Mover::relocateSites(const WriteScope &scope, Pieces pieces) const {
  return pieces.front().object->relocations.applyMove(movesOf(scope, pieces));
}

[[gnu::always_inline]] inline void Mover::publish(Pieces pieces) {
  CodeObject &object = *pieces.front().object;
  for (const Piece &piece : pieces)
    publishPiece(object, piece);
  if (object.teardown) [[unlikely]]
    moveExitArguments(*object.teardown, pieces);
  if (object.links) [[unlikely]]
    noteMovedCallees(object, pieces);
  object.state = State::Placed;
  object.isMoving = false;
  if (pieces.front().kind != SegmentKind::Code) // code comes first
    return;
  for (const EntryUse &entry : object.entries)
    entries_.redirect(entry.index, pieces.front().to + entry.offset);
  unwind_.changes(object);
}

// Data that stay need no owner: what points there does not matter.
[[gnu::always_inline]] inline void Mover::publishPiece(CodeObject &object, const Piece &piece) {
  bool isOwned = piece.kind == SegmentKind::Code || (piece.kind == SegmentKind::Data && object.moves == Moves::All);
  OwnerIndex &owners = owners_[piece.kind == SegmentKind::Code ? 0 : 1];
  if (isOwned && object.state == State::Placed)
    owners.leaves(object);
  object.segment(piece.kind).base = piece.to;
  if (isOwned)
    owners.arrived(object);
}

void Mover::noteMovedCallees(const CodeObject &object, Pieces pieces) {
  if (object.links->dependents.empty())
    return;
  for (const Piece &piece : pieces)
    if (piece.kind == SegmentKind::Code || object.sharesData)
      movedCallees_.push_back(piece);
}

// An exit handler's argument is what C++ calls `this` of a static object: in data, where only we know of it.
void Mover::moveExitArguments(Teardown &teardown, Pieces pieces) {
  for (Teardown::ExitHandler &handler : teardown.exitHandlers)
    for (const Piece &piece : pieces)
      if (Address argument = Address::of(handler.argument); piece.oldRange().contains(argument)) {
        handler.argument = argument.shifted(piece.to - piece.from).pointer<void>();
        break;
      }
}

// After all moves, since callers may have moved too. Their own moves are in their call sites already; what is missing is the
// callee's.
std::uint32_t Mover::redirectCallers(const WriteScope &scope, const Piece &piece) {
  std::uint32_t redirected = 0;
  Handle moved = objects_.handleOf(*piece.object);
  for (Handle handle : piece.object->links->dependents) {
    const CodeObject &dependent = objects_[handle];
    auto leadsThere = [&](SegmentReference reference) {
      return segmentOfReference(reference) == piece.kind &&
             dependent.links->references[indexOfReference(reference)].object == moved;
    };
    redirected += dependent.relocations.applyReferences(segmentsOf(dependent, scope), piece.to - piece.from, leadsThere);
  }
  return redirected;
}

void Mover::vacate(CodeObject &object) {
  unwind_.changes(object);
  if (object.segment(SegmentKind::Code).exists())
    owners_[0].leaves(object);
  if (object.segment(SegmentKind::Data).exists() && object.moves == Moves::All)
    owners_[1].leaves(object);
  for (SegmentKind kind : segmentKinds)
    if (object.segment(kind).exists())
      arena_.occupancy(kind).vacate(object.segment(kind).range());
}
