#include "move/batch.h"

#include "base/error.h"
#include "move/batch_emit.h"
#include "move/batch_errors.h"

#include "llvm/ADT/STLExtras.h"

using namespace nomad;
using namespace llvm;

// ---- claims ----

[[gnu::always_inline]] inline void Claims::add(const Piece &piece) {
  if (piece.kind != runKind_ || !run_.extend(piece.newRange())) {
    claimRun();
    run_.begin(piece.newRange());
    runKind_ = piece.kind;
  }
  pieces_.push_back(Piece(piece)); // a copy needs no place in memory
  piece.object->isMoving = true;
}

// The pieces from `claimed_` on. Where one of them is taken, `claimRest` goes on one by one.
void Claims::claimRun() {
  if (!isTaken_ && !run_.isEmpty()) {
    if (arena_->occupancy(runKind_).claim(run_.range()))
      claimed_ = pieces_.size();
    else
      isTaken_ = true;
  }
  run_ = {};
}

const Piece *Claims::claimAll(bool mayLeave) {
  claimRun();
  if (claimed_ == pieces_.size())
    return nullptr;
  haveLeft_ = mayLeave;
  if (haveLeft_)
    for (const Piece &piece : pieces_)
      arena_->occupancy(piece.kind).vacate(piece.oldRange());
  return claimRest();
}

const Piece *Claims::claimRest() {
  for (; claimed_ < pieces_.size(); ++claimed_)
    if (const Piece &piece = pieces_[claimed_]; !arena_->occupancy(piece.kind).claim(piece.newRange()))
      return &piece;
  return nullptr;
}

void Claims::giveBack() {
  for (const Piece &piece : pieces().take_front(claimed_))
    arena_->occupancy(piece.kind).vacate(piece.newRange());
  for (const Piece &piece : pieces_) {
    piece.object->isMoving = false;
    if (haveLeft_)
      arena_->occupancy(piece.kind).claim(piece.oldRange());
  }
}

// ---- reserve: everything that can fail, before the first byte changes (I7) ----

namespace {

// As the mover has it: how many code objects ahead the next record is fetched.
constexpr size_t readAhead = 8;

class Reservation {
public:
  Reservation(const Batch::Records &records, ArrayRef<MoveRequest> requests, const Batch::Ranges &allowed, Batch &batch)
      : records_(records), objects_(records.objects), requests_(requests), allowed_(allowed), batch_(batch),
        isPlacement_(batch.purpose == Batch::Purpose::Place) {}

  Error run() {
    if (Error error = addAll())
      return error;
    if (isPlacement_)
      for (const MoveRequest &request : requests_)
        if (Error error = checkReferences(objects_[request.object]))
          return error;
    if (const Piece *piece = batch_.claims.claimAll(!isPlacement_))
      return overlapError(objects_, batch_.claims.pieces(), *piece, allowed_[indexOf(piece->kind)]);
    return emitsAgain_ ? emitAgain(records_.emitter, batch_) : Error::success();
  }

private:
  Error addAll();
  bool isReady(const CodeObject &object) const;
  Error checkReferences(const CodeObject &object) const;
  bool addPieces(CodeObject &object, const MoveRequest &request, SegmentKind &refused);
  bool addPiece(CodeObject &object, SegmentKind kind, std::int32_t offset);

  const Batch::Records &records_;
  CodeObjectTable &objects_;
  ArrayRef<MoveRequest> requests_;
  const Batch::Ranges &allowed_;
  Batch &batch_;
  const bool isPlacement_;
  bool emitsAgain_ = false; // some of the batch have their object file
};

// Flattened: gcc would leave the vector's push_back a function of its own, and a call for each piece is a sixth of a move's time.
[[gnu::flatten]] Error Reservation::addAll() {
  for (size_t i = 0; i < requests_.size(); ++i) {
    const MoveRequest &request = requests_[i];
    if (i + readAhead < requests_.size()) [[likely]]
      if (Handle next = requests_[i + readAhead].object; next < objects_.limit()) [[likely]]
        __builtin_prefetch(&objects_[next], 1);
    if (!objects_.isLive(request.object) || !isReady(objects_[request.object])) [[unlikely]]
      return stateError(objects_, request, batch_.purpose);
    CodeObject &object = objects_[request.object];
    if (SegmentKind refused; !addPieces(object, request, refused)) [[unlikely]]
      return fitError(objects_, object, refused, allowed_[indexOf(refused)], request.to[indexOf(refused)]);
    if (object.retain == Retain::Object) [[unlikely]]
      emitsAgain_ = !isPlacement_;
  }
  return Error::success();
}

inline bool Reservation::isReady(const CodeObject &object) const {
  if (isPlacement_)
    return object.state == State::Unplaced && !object.isMoving;
  return object.state == State::Placed && keepsMovable(object.retain) && !object.isMoving;
}

// Its calls lead to where those are: they must be somewhere.
Error Reservation::checkReferences(const CodeObject &object) const {
  auto isOfBatch = [=, this](Handle handle) { return any_of(requests_, [=](auto &each) { return each.object == handle; }); };
  if (object.links)
    for (const CodePlace &reference : object.links->references) {
      const CodeObject &other = objects_[reference.object];
      if (other.state != State::Placed && !other.isMoving && !isOfBatch(reference.object))
        return fail(ErrorCode::State,
                    "code object " + Twine(quoted(object)) + " refers to " + quoted(other) + ", which is not placed yet");
    }
  return Error::success();
}

// False if a segment can't go where it is to: `refused` is the one.
[[gnu::always_inline]] inline bool Reservation::addPieces(CodeObject &object, const MoveRequest &request, SegmentKind &refused) {
  refused = SegmentKind::Code;
  if (object.segment(refused).exists() && !addPiece(object, refused, request.to[indexOf(refused)])) [[unlikely]]
    return false;
  if (!object.segment(SegmentKind::Constants).exists() && !object.segment(SegmentKind::Data).exists()) [[likely]]
    return true;
  // Data that move may be written meanwhile, and tables that stay lead into code that moves.
  batch_.isSeen = batch_.isSeen || request.to[indexOf(SegmentKind::Data)] != MoveRequest::stays || object.hasOuterSites ||
                  object.retain == Retain::Object;
  for (SegmentKind kind : {SegmentKind::Constants, SegmentKind::Data})
    if (object.segment(kind).exists() && !addPiece(object, kind, request.to[indexOf(kind)])) [[unlikely]] {
      refused = kind;
      return false;
    }
  return true;
}

[[gnu::always_inline]] inline bool Reservation::addPiece(CodeObject &object, SegmentKind kind, std::int32_t offset) {
  const Segment &segment = object.segment(kind);
  if (offset == MoveRequest::stays)
    return !isPlacement_;
  Range allowed = allowed_[indexOf(kind)];
  Address to = allowed.base.shifted(offset);
  if (to == segment.base && !isPlacement_)
    return true;
  bool isPinned = object.stackUse.isPinned(kind) || (object.storesLabels && kind == SegmentKind::Code && !isPlacement_);
  if (!allowed.contains(Range::at(to, segment.size)) || !to.isAligned(segment.alignment()) || isPinned) [[unlikely]]
    return false;
  batch_.claims.add({&object, segment.base, to, segment.size, kind});
  return true;
}

} // namespace

Expected<Batch> Batch::reserve(const Records &records, ArrayRef<MoveRequest> requests, Purpose purpose, const Ranges &allowed,
                               std::vector<Piece> &memory) {
  memory.reserve(requests.size());
  Batch batch{purpose, Claims(records.arena, memory)};
  if (Error error = Reservation(records, requests, allowed, batch).run())
    return error;
  return batch;
}
