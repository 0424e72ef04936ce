#include "move/mover.h"

#include "base/error.h"
#include "link/relocation_apply.h"

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

// The segments of a code object where they are: sites change in segments that stay, too.
SegmentMoves unmoved(const CodeObject &object, const WriteScope &scope) {
  SegmentMoves moves;
  for (size_t kind = 0; kind < segmentKinds.size(); ++kind) {
    const Segment &segment = object.segments[kind];
    if (segment.exists())
      moves[kind] = {scope.writable(segment.base), segment.base, segment.base, segment.size};
  }
  return moves;
}

// The same for one that exists only as an image yet.
SegmentMoves unplaced(const CodeObject &object) {
  SegmentMoves moves;
  for (size_t kind = 0; kind < segmentKinds.size(); ++kind)
    moves[kind].bytes = object.image->bytes[kind].get();
  return moves;
}

} // namespace

Expected<MoveReport> Mover::place(ArrayRef<MoveRequest> requests, const Ranges &allowed) {
  ranges_ = allowed;
  auto report = run(requests, Purpose::Place);
  if (!report)
    return report;
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
  ranges_ = allowed;
  return run(requests, Purpose::Relocate);
}

Expected<MoveReport> Mover::run(ArrayRef<MoveRequest> requests, Purpose purpose) {
  if (Error error = check(requests, purpose)) {
    undo();
    return error;
  }
  UnwindRegistry::Change change(unwind_);
  MoveReport report;
  report.moved = requests.size();
  // Else all old bytes stay as they are until everything new is there, and entry stubs lead to either.
  std::optional<QuietMoves::Scope> quiet;
  if (purpose == Purpose::Relocate && (overlaps_ || isSeen_))
    quiet.emplace(quietMoves_);
  WriteScope scope(arena_);
  if (overlaps_)
    copyOverlapping(scope);
  for (Pieces rest = pieces_; !rest.empty();) {
    if (rest.size() > readAhead) [[likely]]
      rest[readAhead].object->fetch();
    size_t count = 0;
    for (const CodeObject *object = rest.front().object; count < rest.size() && rest[count].object == object; ++count)
      report.bytes += rest[count].size;
    report.relocations += moveOne(scope, rest.take_front(count), purpose);
    publish(rest.take_front(count));
    rest = rest.drop_front(count);
  }
  vacateRun();
  for (const Piece &piece : movedCallees_)
    report.relocations += redirectCallers(scope, piece);
  emissions_.clear();
  return report;
}

// ---- check: everything that can fail, before the first byte changes (I7) ----

Error Mover::check(ArrayRef<MoveRequest> requests, Purpose purpose) {
  pieces_.clear();
  pieces_.reserve(requests.size());
  movedCallees_.clear();
  emissions_.clear();
  claimed_ = 0;
  run_ = {};
  isTaken_ = false;
  overlaps_ = false;
  isSeen_ = false;
  emitsAgain_ = false;
  for (size_t i = 0; i < requests.size(); ++i) {
    const MoveRequest &request = requests[i];
    if (i + readAhead < requests.size()) [[likely]]
      if (Handle next = requests[i + readAhead].object; next < objects_.limit()) [[likely]]
        __builtin_prefetch(&objects_[next], 1);
    if (!objects_.isLive(request.object) || !isReady(objects_[request.object], purpose)) [[unlikely]]
      return stateError(request, purpose);
    CodeObject &object = objects_[request.object];
    if (SegmentKind refused; !addPieces(object, request, purpose, refused)) [[unlikely]]
      return fitError(object, refused, request.to[indexOf(refused)]);
    if (object.retain == Retain::Object) [[unlikely]]
      emitsAgain_ = purpose == Purpose::Relocate;
  }
  claimRun(pieces_.size());
  for (const MoveRequest &request : purpose == Purpose::Place ? requests : ArrayRef<MoveRequest>())
    if (Error error = checkReferences(objects_[request.object], requests))
      return error;
  if (claimed_ != pieces_.size())
    if (Error error = exchange(purpose))
      return error;
  return emitsAgain_ ? emitAgain() : Error::success();
}

inline bool Mover::isReady(const CodeObject &object, Purpose purpose) {
  if (purpose == Purpose::Place)
    return object.state == State::Unplaced && !object.isMoving;
  return object.state == State::Placed && keepsMovable(object.retain) && !object.isMoving;
}

// Its calls lead to where those are: they must be somewhere.
Error Mover::checkReferences(const CodeObject &object, ArrayRef<MoveRequest> batch) const {
  auto isOfBatch = [=](Handle handle) { return any_of(batch, [=](const MoveRequest &each) { return each.object == handle; }); };
  if (object.links)
    for (std::uint32_t i = 0; i < object.links->references.size(); ++i) {
      if (!object.links->keepsAlive(i))
        continue;
      Handle reference = object.links->references[i];
      if (objects_[reference].state != State::Placed && !objects_[reference].isMoving && !isOfBatch(reference))
        return fail(ErrorCode::State, "code object " + Twine(quoted(object)) + " refers to " + quoted(objects_[reference]) +
                                          ", which is not placed yet");
    }
  return Error::success();
}

// False if a segment can't go where it is to: `refused` is the one.
[[gnu::always_inline]] inline bool Mover::addPieces(CodeObject &object, const MoveRequest &request, Purpose purpose,
                                                    SegmentKind &refused) {
  refused = SegmentKind::Code;
  if (object.segment(refused).exists() && !addPiece(object, refused, request.to[indexOf(refused)], purpose)) [[unlikely]]
    return false;
  if (!object.segment(SegmentKind::Constants).exists() && !object.segment(SegmentKind::Data).exists()) [[likely]]
    return true;
  // Data that move may be written meanwhile, and tables that stay lead into code that moves.
  isSeen_ = isSeen_ || request.to[indexOf(SegmentKind::Data)] != MoveRequest::stays || object.hasOuterSites ||
            object.retain == Retain::Object;
  for (SegmentKind kind : {SegmentKind::Constants, SegmentKind::Data})
    if (object.segment(kind).exists() && !addPiece(object, kind, request.to[indexOf(kind)], purpose)) [[unlikely]] {
      refused = kind;
      return false;
    }
  return true;
}

// Claims the new place while all old ones are still taken. If all such claims succeed, no new place meets any old one.
inline bool Mover::addPiece(CodeObject &object, SegmentKind kind, std::int32_t offset, Purpose purpose) {
  const Segment &segment = object.segment(kind);
  if (offset == MoveRequest::stays)
    return purpose == Purpose::Relocate;
  Address to = ranges_[indexOf(kind)].base.shifted(offset);
  if (to == segment.base && purpose == Purpose::Relocate)
    return true;
  Range place = Range::at(to, segment.size);
  bool isPinned =
      object.stackUse.isPinned(kind) || (object.storesLabels && kind == SegmentKind::Code && purpose == Purpose::Relocate);
  if (!ranges_[indexOf(kind)].contains(place) || !to.isAligned(segment.alignment()) || isPinned) [[unlikely]]
    return false;
  if (kind != runKind_ || !run_.extend(place)) {
    claimRun(pieces_.size());
    run_.begin(place);
    runKind_ = kind;
  }
  pieces_.push_back({&object, segment.base, to, segment.size, kind});
  object.isMoving = true;
  return true;
}

// The new places of the pieces from `claimed_` to `limit`. Where one of them is taken, `exchange` goes on one by one.
void Mover::claimRun(size_t limit) {
  if (!isTaken_ && !run_.isEmpty()) {
    if (arena_.occupancy(runKind_).claim(run_.range()))
      claimed_ = limit;
    else
      isTaken_ = true;
  }
  run_ = {};
}

// ---- claim: the new places, or none of them ----

// Somebody has a new place. If it is one who moves too: all leave, then the rest is claimed.
Error Mover::exchange(Purpose purpose) {
  overlaps_ = purpose == Purpose::Relocate;
  if (overlaps_)
    for (const Piece &piece : pieces_)
      arena_.occupancy(piece.kind).vacate(piece.oldRange());
  for (; claimed_ < pieces_.size(); ++claimed_)
    if (const Piece &piece = pieces_[claimed_]; !arena_.occupancy(piece.kind).claim(piece.newRange()))
      return overlapError(piece);
  return Error::success();
}

void Mover::undo() {
  for (const Piece &piece : Pieces(pieces_).take_front(claimed_))
    arena_.occupancy(piece.kind).vacate(piece.newRange());
  for (const Piece &piece : pieces_) {
    piece.object->isMoving = false;
    if (overlaps_)
      arena_.occupancy(piece.kind).claim(piece.oldRange());
  }
}

// ---- copy, relocate, publish (I13) ----

SegmentMoves Mover::movesOf(const WriteScope &scope, Pieces pieces) {
  SegmentMoves moves = unmoved(*pieces.front().object, scope);
  for (const Piece &piece : pieces)
    moves[indexOf(piece.kind)] = {scope.writable(piece.to), piece.from, piece.to, piece.size};
  return moves;
}

[[gnu::always_inline]] inline std::uint32_t Mover::moveOne(const WriteScope &scope, Pieces pieces, Purpose purpose) {
  if (pieces.front().size > blockBytes && purpose == Purpose::Relocate && !overlaps_ && emissions_.empty()) [[unlikely]]
    return moveByBlocks(scope, pieces);
  for (const Piece &piece : pieces)
    if (!overlaps_)
      copyPiece(scope, piece, purpose);
  if (!emissions_.empty() && pieces.front().object->retain == Retain::Object) [[unlikely]]
    return takeEmission(scope, pieces);
  return pieces.front().object->relocations.bytes() > 0 ? relocateSites(scope, pieces) : 0;
}

inline void Mover::copyPiece(const WriteScope &scope, const Piece &piece, Purpose purpose) {
  if (purpose == Purpose::Place)
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
void Mover::copyOverlapping(const WriteScope &scope) {
  for (const Piece &piece : pieces_)
    if (piece.kind == SegmentKind::Code)
      unwind_.changes(*piece.object);
  std::vector<Piece> order = pieces_;
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
  for (auto &[handle, reference] : piece.object->links->dependents) {
    const CodeObject &dependent = objects_[handle];
    SegmentMoves segments = dependent.state == State::Placed ? unmoved(dependent, scope) : unplaced(dependent);
    redirected += dependent.relocations.applyReference(segments, referenceTo(reference, piece.kind), piece.to - piece.from);
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
