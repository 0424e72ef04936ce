#include "move/mover.h"

#include "base/error.h"

#include "llvm/ADT/STLExtras.h"

#include <algorithm>
#include <cstring>

using namespace nomad;
using namespace llvm;

namespace {

// How many code objects ahead the next record is fetched: a batch is larger than a cache.
constexpr size_t readAhead = 8;

std::string segmentOf(const CodeObject &object, SegmentKind kind) {
  return std::string(segmentName(kind)) + " of code object " + quoted(object);
}

std::string offsetIn(Range range, Address address) { return hex(static_cast<std::uint64_t>(address - range.base)); }

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
  MoveReport report;
  report.moved = requests.size();
  WriteScope scope(arena_);
  if (overlaps_)
    copyOverlapping(scope);
  for (Pieces rest = pieces_; !rest.empty();) {
    rest[std::min(rest.size() - 1, readAhead)].object->fetch();
    size_t count = 1;
    while (count < rest.size() && rest[count].object == rest.front().object)
      ++count;
    Pieces pieces = rest.take_front(count);
    for (const Piece &piece : pieces)
      report.bytes += piece.size;
    report.relocations += moveOne(scope, pieces, purpose);
    publish(pieces);
    rest = rest.drop_front(count);
  }
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
  overlaps_ = false;
  emitsAgain_ = false;
  for (size_t i = 0; i < requests.size(); ++i) {
    const MoveRequest &request = requests[i];
    if (Handle next = requests[std::min(i + readAhead, requests.size() - 1)].object; next < objects_.limit())
      __builtin_prefetch(&objects_[next], 1);
    if (!isReady(request, purpose)) [[unlikely]]
      return stateError(request, purpose);
    CodeObject &object = objects_[request.object];
    if (SegmentKind refused; !addPieces(object, request, purpose, refused)) [[unlikely]]
      return fitError(object, refused, request.to[indexOf(refused)]);
    emitsAgain_ |= object.retain == Retain::Object && purpose == Purpose::Relocate;
  }
  for (const MoveRequest &request : purpose == Purpose::Place ? requests : ArrayRef<MoveRequest>())
    if (Error error = checkReferences(objects_[request.object], requests))
      return error;
  if (claimed_ != pieces_.size())
    if (Error error = exchange(purpose))
      return error;
  return emitsAgain_ ? emitAgain() : Error::success();
}

bool Mover::isReady(const MoveRequest &request, Purpose purpose) const {
  if (!objects_.isLive(request.object))
    return false;
  const CodeObject &object = objects_[request.object];
  if (purpose == Purpose::Place)
    return object.state == State::Unplaced && !object.isMoving;
  return object.state == State::Placed && keepsMovable(object.retain) && !object.isMoving;
}

Error Mover::stateError(const MoveRequest &request, Purpose purpose) const {
  if (!objects_.isLive(request.object))
    return fail(ErrorCode::State, "the code object is freed");
  const CodeObject &object = objects_[request.object];
  std::string who = "code object " + quoted(object);
  if (object.isMoving)
    return fail(ErrorCode::Placement, who + " is in the batch twice");
  if (purpose == Purpose::Place)
    return fail(ErrorCode::State, who + " is placed already; relocate moves it");
  if (object.state != State::Placed)
    return fail(ErrorCode::State, who + " is not placed");
  if (object.retain == Retain::Frozen)
    return fail(ErrorCode::State, who + " is frozen; thaw lets it move again");
  return fail(ErrorCode::State, who + " was compiled with retain: 'none' and can't move again");
}

// Its calls lead to where those are: they must be somewhere.
Error Mover::checkReferences(const CodeObject &object, ArrayRef<MoveRequest> batch) const {
  auto isOfBatch = [=](Handle handle) { return any_of(batch, [=](const MoveRequest &each) { return each.object == handle; }); };
  if (object.links)
    for (Handle reference : object.links->references)
      if (objects_[reference].state != State::Placed && !objects_[reference].isMoving && !isOfBatch(reference))
        return fail(ErrorCode::State, "code object " + Twine(quoted(object)) + " refers to " + quoted(objects_[reference]) +
                                          ", which is not placed yet");
  return Error::success();
}

// False if a segment can't go where it is to: `refused` is the one.
inline bool Mover::addPieces(CodeObject &object, const MoveRequest &request, Purpose purpose, SegmentKind &refused) {
  refused = SegmentKind::Code;
  if (object.segment(refused).exists() && !addPiece(object, refused, request.to[indexOf(refused)], purpose)) [[unlikely]]
    return false;
  for (SegmentKind kind : {SegmentKind::Constants, SegmentKind::Data}) // most have none
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
  if (claimed_ == pieces_.size() && arena_.occupancy(kind).claim(place))
    ++claimed_;
  pieces_.push_back({&object, segment.base, to, segment.size, kind});
  object.isMoving = true;
  return true;
}

Error Mover::fitError(const CodeObject &object, SegmentKind kind, std::int32_t offset) const {
  const Segment &segment = object.segment(kind);
  if (offset == MoveRequest::stays)
    return fail(ErrorCode::Placement, "no place for the " + Twine(segment.size) + " bytes of " + segmentOf(object, kind));
  Range range = ranges_[indexOf(kind)];
  Address to = range.base.shifted(offset);
  std::string at = offsetIn(range, to);
  if (!to.isAligned(segment.alignment()))
    return fail(ErrorCode::Placement,
                segmentOf(object, kind) + ": offset " + at + " is not a multiple of its alignment " + Twine(segment.alignment()));
  if (range.contains(Range::at(to, segment.size)))
    return pinError(object, kind);
  return fail(ErrorCode::Placement, segmentOf(object, kind) + ": " + Twine(segment.size) + " bytes at offset " + at +
                                        " do not lie in the arena's " + Twine(range.size()) + " bytes of " + segmentName(kind));
}

Error Mover::pinError(const CodeObject &object, SegmentKind kind) const {
  ErrorDetails details;
  details.object = objects_.handleOf(object);
  if (object.storesLabels)
    return fail(ErrorCode::Pinned, segmentOf(object, kind) + " can't move: the program may have stored addresses of its labels",
                std::move(details));
  return fail(ErrorCode::Pinned, segmentOf(object, kind) + " is pinned by what runs now: the stack may have its address",
              std::move(details));
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

Error Mover::overlapError(const Piece &piece) const {
  std::string who = "another code object of the batch";
  for (Handle handle = 0; handle < objects_.limit(); ++handle) {
    const CodeObject &other = objects_[handle];
    bool moves = llvm::any_of(pieces_, [&](const Piece &each) { return each.object == &other && each.kind == piece.kind; });
    const Segment &segment = other.segment(piece.kind);
    if (!moves && other.state == State::Placed && segment.exists() && segment.range().overlaps(piece.newRange()))
      who = "code object " + quoted(other);
  }
  return fail(ErrorCode::Placement, segmentOf(*piece.object, piece.kind) + ": " + Twine(piece.size) + " bytes at offset " +
                                        offsetIn(ranges_[indexOf(piece.kind)], piece.to) + " overlap " + who);
}

// ---- copy, relocate, publish (I13) ----

SegmentMoves Mover::movesOf(const WriteScope &scope, Pieces pieces) {
  SegmentMoves moves = unmoved(*pieces.front().object, scope);
  for (const Piece &piece : pieces)
    moves[indexOf(piece.kind)] = {scope.writable(piece.to), piece.from, piece.to, piece.size};
  return moves;
}

inline std::uint32_t Mover::moveOne(const WriteScope &scope, Pieces pieces, Purpose purpose) {
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

inline void Mover::leavePlace(const Piece &piece) {
  if (piece.kind == SegmentKind::Code)
    unwind_.changes(*piece.object);
  arena_.occupancy(piece.kind).vacate(piece.oldRange());
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

std::uint32_t Mover::relocateSites(const WriteScope &scope, Pieces pieces) const {
  return pieces.front().object->relocations.applyMove(movesOf(scope, pieces));
}

inline void Mover::publish(Pieces pieces) {
  CodeObject &object = *pieces.front().object;
  for (const Piece &piece : pieces) {
    leaves(piece);
    object.segment(piece.kind).base = piece.to;
    arrived(piece);
  }
  if (object.teardown)
    moveExitArguments(*object.teardown, pieces);
  object.state = State::Placed;
  object.isMoving = false;
  if (object.links && !object.links->dependents.empty())
    for (const Piece &piece : pieces)
      if (piece.kind == SegmentKind::Code || object.sharesData)
        movedCallees_.push_back(piece);
  if (pieces.front().kind != SegmentKind::Code) // code comes first
    return;
  for (const EntryUse &entry : object.entries)
    entries_.redirect(entry.index, pieces.front().to + entry.offset);
  unwind_.changes(object);
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

// Data that stay need no owner: what points there does not matter.
void Mover::leaves(const Piece &piece) {
  if (piece.object->state != State::Placed)
    return;
  if (piece.kind == SegmentKind::Code)
    owners_[0].leaves(*piece.object);
  else if (piece.kind == SegmentKind::Data && piece.object->moves == Moves::All)
    owners_[1].leaves(*piece.object);
}

void Mover::arrived(const Piece &piece) {
  if (piece.kind == SegmentKind::Code)
    owners_[0].arrived(*piece.object);
  else if (piece.kind == SegmentKind::Data && piece.object->moves == Moves::All)
    owners_[1].arrived(*piece.object);
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
