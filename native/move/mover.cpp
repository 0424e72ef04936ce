#include "move/mover.h"

#include "base/error.h"

#include "llvm/ADT/STLExtras.h"

#include <algorithm>
#include <cstring>

using namespace nomad;
using namespace llvm;

namespace {

bool isMoving(const SegmentMove &move) { return move.size > 0 && move.from != move.to; }
Range oldRange(const SegmentMove &move) { return Range::at(move.from, move.size); }
Range newRange(const SegmentMove &move) { return Range::at(move.to, move.size); }

std::string segmentOf(const CodeObject &object, SegmentKind kind) {
  return std::string(segmentName(kind)) + " of code object " + quoted(object);
}

} // namespace

Expected<MoveReport> Mover::place(const MoveRequest &request) {
  auto report = run(request, State::Unplaced);
  if (!report)
    return report;
  CodeObject &object = objects_[request.object];
  object.image.reset();
  if (object.retain == Retain::None)
    object.relocations.keepOnlyReferences();
  return report;
}

Expected<MoveReport> Mover::relocate(ArrayRef<MoveRequest> requests) { return run(requests, State::Placed); }

Expected<MoveReport> Mover::run(ArrayRef<MoveRequest> requests, State expected) {
  Error error = check(requests, expected);
  for (Step &step : steps_)
    step.object->isMoving = false;
  if (error)
    return error;
  if (Error refused = claim(expected))
    return refused;
  MoveReport report;
  report.moved = requests.size();
  {
    WriteScope scope(arena_);
    copy(scope, expected, report);
    relocateSites(report);
    publish(scope, report);
  }
  return report;
}

// ---- check: everything that can fail, before the first byte changes (I7) ----

Error Mover::check(ArrayRef<MoveRequest> requests, State expected) {
  steps_.clear();
  steps_.reserve(requests.size());
  for (const MoveRequest &request : requests) {
    if (Error error = checkState(request, expected))
      return error;
    CodeObject &object = objects_[request.object];
    if (object.isMoving)
      return fail(ErrorCode::Placement, "code object " + Twine(quoted(object)) + " is in the batch twice");
    object.isMoving = true;
    steps_.push_back({&object, {}});
    if (Error error = checkOne(request, expected, steps_.back()))
      return error;
  }
  return Error::success();
}

Error Mover::checkState(const MoveRequest &request, State expected) const {
  if (!objects_.isLive(request.object))
    return fail(ErrorCode::State, "the code object is freed");
  const CodeObject &object = objects_[request.object];
  if (expected == State::Placed && object.state == State::Placed && object.retain == Retain::None)
    return fail(ErrorCode::State, "code object " + Twine(quoted(object)) + " was compiled with retain: 'none' and can't move again");
  if (object.state != expected)
    return fail(ErrorCode::State, "code object " + Twine(quoted(object)) +
                                      (expected == State::Placed ? " is not placed" : " is placed already; relocate moves it"));
  return expected == State::Unplaced ? checkReferences(object) : Error::success();
}

// Its calls lead to where those are: they must be somewhere.
Error Mover::checkReferences(const CodeObject &object) const {
  if (object.links)
    for (Handle reference : object.links->references)
      if (objects_[reference].state != State::Placed && &objects_[reference] != &object)
        return fail(ErrorCode::State, "code object " + Twine(quoted(object)) + " refers to " + quoted(objects_[reference]) +
                                          ", which is not placed yet");
  return Error::success();
}

Error Mover::checkOne(const MoveRequest &request, State expected, Step &step) {
  for (SegmentKind kind : segmentKinds) {
    const Segment &segment = step.object->segment(kind);
    if (!segment.exists())
      continue;
    Address to = request.to[indexOf(kind)];
    if (to == Address() && expected == State::Unplaced)
      return fail(ErrorCode::Placement, "no place for the " + Twine(segment.size) + " bytes of " + segmentOf(*step.object, kind));
    if (to == Address())
      to = segment.base;
    else if (Error error = checkSegment(*step.object, kind, to))
      return error;
    step.moves[indexOf(kind)] = {nullptr, segment.base, to, segment.size};
  }
  return Error::success();
}

Error Mover::checkSegment(const CodeObject &object, SegmentKind kind, Address to) const {
  const Segment &segment = object.segment(kind);
  Range range = arena_.segments(kind);
  std::string offset = hex(static_cast<std::uint64_t>(to - range.base));
  if (!range.contains(Range::at(to, segment.size)))
    return fail(ErrorCode::Placement, segmentOf(object, kind) + ": " + Twine(segment.size) + " bytes at offset " + offset +
                                          " do not lie in the arena's " + Twine(range.size()) + " bytes of " + segmentName(kind));
  if (!to.isAligned(segment.alignment()))
    return fail(ErrorCode::Placement, segmentOf(object, kind) + ": offset " + offset + " is not a multiple of its alignment " +
                                          Twine(segment.alignment()));
  return Error::success();
}

// ---- claim: the new places, or none of them ----

Error Mover::claim(State expected) {
  overlaps_ = false;
  if (expected == State::Placed)
    vacateOld();
  for (Step &step : steps_)
    for (SegmentKind kind : segmentKinds) {
      const SegmentMove &move = step.moves[indexOf(kind)];
      bool wants = expected == State::Unplaced ? move.size > 0 : isMoving(move);
      if (!wants || arena_.occupancy(kind).claim(newRange(move)))
        continue;
      unclaim(&step, indexOf(kind), expected);
      return overlapError(step, kind);
    }
  return Error::success();
}

void Mover::vacateOld() {
  for (Step &step : steps_)
    for (SegmentKind kind : segmentKinds)
      if (const SegmentMove &move = step.moves[indexOf(kind)]; isMoving(move))
        overlaps_ |= !arena_.occupancy(kind).isVacant(newRange(move));
  for (Step &step : steps_)
    for (SegmentKind kind : segmentKinds)
      if (const SegmentMove &move = step.moves[indexOf(kind)]; isMoving(move))
        arena_.occupancy(kind).vacate(oldRange(move));
}

// Takes claims back up to the one that failed, then claims the old places again.
void Mover::unclaim(const Step *lastStep, size_t lastKind, State expected) {
  bool reached = false;
  for (Step &step : steps_)
    for (SegmentKind kind : segmentKinds) {
      reached |= &step == lastStep && indexOf(kind) == lastKind;
      const SegmentMove &move = step.moves[indexOf(kind)];
      if (!reached && (expected == State::Unplaced ? move.size > 0 : isMoving(move)))
        arena_.occupancy(kind).vacate(newRange(move));
    }
  if (expected == State::Placed)
    for (Step &step : steps_)
      for (SegmentKind kind : segmentKinds)
        if (const SegmentMove &move = step.moves[indexOf(kind)]; isMoving(move))
          arena_.occupancy(kind).claim(oldRange(move));
}

Error Mover::overlapError(const Step &step, SegmentKind kind) const {
  Range wanted = newRange(step.moves[indexOf(kind)]);
  std::string who = "another code object of the batch";
  for (Handle handle = 0; handle < objects_.limit(); ++handle) {
    const CodeObject &other = objects_[handle];
    bool inBatch = llvm::any_of(steps_, [&](const Step &each) { return each.object == &other && isMoving(each.moves[indexOf(kind)]); });
    if (!inBatch && other.state == State::Placed && other.segment(kind).exists() && other.segment(kind).range().overlaps(wanted))
      who = "code object " + quoted(other);
  }
  return fail(ErrorCode::Placement, segmentOf(*step.object, kind) + ": " + Twine(wanted.size()) + " bytes at offset " +
                                        hex(static_cast<std::uint64_t>(wanted.base - arena_.segments(kind).base)) + " overlap " + who);
}

// ---- copy ----

void Mover::copy(const WriteScope &scope, State expected, MoveReport &report) {
  for (Step &step : steps_) {
    if (expected == State::Placed && isMoving(step.moves[indexOf(SegmentKind::Code)]))
      unwind_.remove(*step.object);
    for (SegmentMove &move : step.moves) {
      move.bytes = move.size > 0 ? scope.writable(move.to) : nullptr;
      report.bytes += expected == State::Unplaced || isMoving(move) ? move.size : 0;
    }
  }
  if (expected == State::Unplaced)
    copyImage(steps_.front());
  else if (overlaps_)
    copyOverlapping(scope);
  else
    copyDisjoint(scope);
}

void Mover::copyImage(Step &step) {
  const Image &image = *step.object->image;
  for (size_t kind = 0; kind < segmentKinds.size(); ++kind) {
    const SegmentMove &move = step.moves[kind];
    if (move.size == 0)
      continue;
    std::memcpy(move.bytes, image.bytes[kind].get(), image.storedBytes[kind]);
    std::memset(move.bytes + image.storedBytes[kind], 0, move.size - image.storedBytes[kind]);
  }
}

void Mover::copyDisjoint(const WriteScope &scope) {
  for (Step &step : steps_)
    for (SegmentMove &move : step.moves)
      if (isMoving(move))
        std::memcpy(move.bytes, scope.writable(move.from), move.size);
}

// Sliding: if all go down, lower ones first never overwrite what is still to be copied; if all go up, higher ones first. A batch
// that does both (a swap) goes through a buffer.
void Mover::copyOverlapping(const WriteScope &scope) {
  std::vector<const SegmentMove *> moves;
  for (Step &step : steps_)
    for (SegmentMove &move : step.moves)
      if (isMoving(move))
        moves.push_back(&move);
  auto isDown = [](const SegmentMove *move) { return move->delta() < 0; };
  bool allDown = llvm::all_of(moves, isDown);
  if (allDown || llvm::none_of(moves, isDown)) {
    llvm::sort(moves, [=](auto *a, auto *b) { return allDown ? a->from < b->from : a->from > b->from; });
    for (const SegmentMove *move : moves)
      std::memmove(move->bytes, scope.writable(move->from), move->size);
    return;
  }
  std::vector<std::byte> buffer;
  for (const SegmentMove *move : moves)
    buffer.insert(buffer.end(), scope.writable(move->from), scope.writable(move->from) + move->size);
  const std::byte *at = buffer.data();
  for (const SegmentMove *move : moves) {
    std::memcpy(move->bytes, at, move->size);
    at += move->size;
  }
}

// ---- relocate, publish (I13) ----

void Mover::relocateSites(MoveReport &report) {
  for (Step &step : steps_)
    report.relocations += step.object->relocations.applyMove(step.moves);
}

void Mover::publish(const WriteScope &scope, MoveReport &report) {
  for (Step &step : steps_) {
    CodeObject &object = *step.object;
    bool isNew = object.state == State::Unplaced;
    for (size_t kind = 0; kind < segmentKinds.size(); ++kind)
      if (object.segments[kind].exists())
        object.segments[kind].base = step.moves[kind].to;
    object.state = State::Placed;
    if (!isNew && !isMoving(step.moves[indexOf(SegmentKind::Code)]))
      continue;
    for (const EntryUse &entry : object.entries)
      entries_.redirect(entry.index, object.segment(SegmentKind::Code).base + entry.offset);
    unwind_.add(object);
  }
  for (const Step &step : steps_)
    redirectCallers(scope, step, report);
}

void Mover::redirectCallers(const WriteScope &scope, const Step &step, MoveReport &report) {
  const SegmentMove &code = step.moves[indexOf(SegmentKind::Code)];
  if (!step.object->links || !isMoving(code))
    return;
  for (auto &[handle, reference] : step.object->links->dependents) {
    CodeObject &dependent = objects_[handle];
    SegmentMoves segments;
    for (size_t kind = 0; kind < segmentKinds.size(); ++kind) {
      const Segment &segment = dependent.segments[kind];
      bool isPlaced = dependent.state == State::Placed;
      segments[kind].bytes = isPlaced ? scope.writable(segment.base) : dependent.image->bytes[kind].get();
    }
    report.relocations += dependent.relocations.applyReference(segments, reference, code.delta());
  }
}

void Mover::vacate(CodeObject &object) {
  unwind_.remove(object);
  for (SegmentKind kind : segmentKinds)
    if (object.segment(kind).exists())
      arena_.occupancy(kind).vacate(object.segment(kind).range());
}
