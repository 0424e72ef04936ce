#include "move/mover.h"

#include "base/error.h"

#include "llvm/ADT/STLExtras.h"
#include "llvm/ADT/ScopeExit.h"

#include <algorithm>
#include <cstring>

using namespace nomad;
using namespace llvm;

namespace {

std::string segmentOf(const CodeObject &object, SegmentKind kind) {
  return std::string(segmentName(kind)) + " of code object " + quoted(object);
}

std::string offsetIn(Range range, Address address) { return hex(static_cast<std::uint64_t>(address - range.base)); }

// The segments of a code object as they are: for sites that change although their segment stays.
SegmentMoves unmoved(const CodeObject &object, const WriteScope &scope) {
  SegmentMoves moves;
  for (size_t kind = 0; kind < segmentKinds.size(); ++kind) {
    const Segment &segment = object.segments[kind];
    if (segment.exists())
      moves[kind] = {scope.writable(segment.base), segment.base, segment.base, segment.size};
  }
  return moves;
}

void copyImage(const Image &image, size_t kind, const SegmentMove &move) {
  std::memcpy(move.bytes, image.bytes[kind].get(), image.storedBytes[kind]);
  std::memset(move.bytes + image.storedBytes[kind], 0, move.size - image.storedBytes[kind]);
}

} // namespace

void Mover::Extent::add(SegmentKind kind, Range place) {
  Range &range = around[indexOf(kind)];
  range = range.size() == 0 ? place : Range{std::min(range.base, place.base), std::max(range.limit, place.limit)};
}

bool Mover::Extent::meets(const Extent &other) const {
  return llvm::any_of(segmentKinds, [&](SegmentKind kind) { return around[indexOf(kind)].overlaps(other.around[indexOf(kind)]); });
}

Expected<MoveReport> Mover::place(const MoveRequest &request) {
  auto report = run(request, Purpose::Place);
  if (!report)
    return report;
  CodeObject &object = objects_[request.object];
  object.image.reset();
  if (object.retain == Retain::None)
    object.relocations.keepOnlyReferences();
  return report;
}

Expected<MoveReport> Mover::relocate(ArrayRef<MoveRequest> requests) { return run(requests, Purpose::Relocate); }

Expected<MoveReport> Mover::run(ArrayRef<MoveRequest> requests, Purpose purpose) {
  if (Error error = check(requests, purpose))
    return error;
  if (Error error = claim(purpose))
    return error;
  MoveReport report;
  WriteScope scope(arena_);
  isCopied_ = oldPlaces_.meets(newPlaces_);
  if (isCopied_)
    copyOverlapping(scope);
  for (Step &step : steps_)
    moveOne(scope, step, purpose, report);
  redirectCallers(scope, report);
  report.moved = requests.size();
  return report;
}

/// Calls visit(step, kind, segment, to) for each segment that moves; stops when one says false.
template <typename Visit> void Mover::everySegment(Visit visit) {
  for (Step &step : steps_)
    for (SegmentKind kind : segmentKinds)
      if (Address to = step.to[indexOf(kind)]; to != Address())
        if (!visit(step, kind, step.object->segment(kind), to))
          return;
}

// ---- check: everything that can fail, before the first byte changes (I7) ----

Error Mover::check(ArrayRef<MoveRequest> requests, Purpose purpose) {
  steps_.clear();
  steps_.reserve(requests.size());
  oldPlaces_.clear();
  newPlaces_.clear();
  scope_exit unmark([this] {
    for (Step &step : steps_)
      step.object->isMoving = false;
  });
  for (const MoveRequest &request : requests) {
    if (Error error = checkState(request, purpose))
      return error;
    CodeObject &object = objects_[request.object];
    object.isMoving = true;
    steps_.push_back({&object, {}, 0});
    if (Error error = checkPlaces(steps_.back(), request, purpose))
      return error;
  }
  return Error::success();
}

Error Mover::checkState(const MoveRequest &request, Purpose purpose) const {
  if (!objects_.isLive(request.object))
    return fail(ErrorCode::State, "the code object is freed");
  const CodeObject &object = objects_[request.object];
  bool isReady = purpose == Purpose::Place ? object.state == State::Unplaced
                                           : object.state == State::Placed && object.retain == Retain::Relocations;
  if (!isReady || object.isMoving)
    return stateError(object, purpose);
  return purpose == Purpose::Place ? checkReferences(object) : Error::success();
}

Error Mover::stateError(const CodeObject &object, Purpose purpose) const {
  const std::string who = "code object ";
  if (object.isMoving)
    return fail(ErrorCode::Placement, who + quoted(object) + " is in the batch twice");
  if (purpose == Purpose::Place)
    return fail(ErrorCode::State, who + quoted(object) + " is placed already; relocate moves it");
  if (object.state != State::Placed)
    return fail(ErrorCode::State, who + quoted(object) + " is not placed");
  return fail(ErrorCode::State, who + quoted(object) + " was compiled with retain: 'none' and can't move again");
}

// Its calls lead to where those are: they must be somewhere.
Error Mover::checkReferences(const CodeObject &object) const {
  if (object.links)
    for (Handle reference : object.links->references)
      if (objects_[reference].state != State::Placed)
        return fail(ErrorCode::State, "code object " + Twine(quoted(object)) + " refers to " + quoted(objects_[reference]) +
                                          ", which is not placed yet");
  return Error::success();
}

Error Mover::checkPlaces(Step &step, const MoveRequest &request, Purpose purpose) {
  for (SegmentKind kind : segmentKinds) {
    const Segment &segment = step.object->segment(kind);
    Address to = request.to[indexOf(kind)];
    if (!segment.exists())
      continue;
    if (to == Address() && purpose == Purpose::Place)
      return fail(ErrorCode::Placement, "no place for the " + Twine(segment.size) + " bytes of " + segmentOf(*step.object, kind));
    if (to == Address() || (purpose == Purpose::Relocate && to == segment.base))
      continue;
    if (Error error = checkSegment(*step.object, kind, to))
      return error;
    step.to[indexOf(kind)] = to;
    newPlaces_.add(kind, Range::at(to, segment.size));
    if (purpose == Purpose::Relocate)
      oldPlaces_.add(kind, segment.range());
  }
  return Error::success();
}

Error Mover::checkSegment(const CodeObject &object, SegmentKind kind, Address to) const {
  const Segment &segment = object.segment(kind);
  Range range = arena_.segments(kind);
  if (!range.contains(Range::at(to, segment.size)))
    return fail(ErrorCode::Placement, segmentOf(object, kind) + ": " + Twine(segment.size) + " bytes at offset " + offsetIn(range, to) +
                                          " do not lie in the arena's " + Twine(range.size()) + " bytes of " + segmentName(kind));
  if (!to.isAligned(segment.alignment()))
    return fail(ErrorCode::Placement, segmentOf(object, kind) + ": offset " + offsetIn(range, to) +
                                          " is not a multiple of its alignment " + Twine(segment.alignment()));
  return Error::success();
}

// ---- claim: the new places, or none of them ----

Error Mover::claim(Purpose purpose) {
  if (purpose == Purpose::Relocate)
    everySegment([&](Step &, SegmentKind kind, const Segment &segment, Address) {
      arena_.occupancy(kind).vacate(segment.range());
      return true;
    });
  const Step *failedStep = nullptr;
  SegmentKind failedKind{};
  everySegment([&](Step &step, SegmentKind kind, const Segment &segment, Address to) {
    if (arena_.occupancy(kind).claim(Range::at(to, segment.size)))
      return true;
    failedStep = &step;
    failedKind = kind;
    return false;
  });
  if (!failedStep)
    return Error::success();
  unclaim(failedStep, failedKind, purpose);
  return overlapError(*failedStep, failedKind);
}

// Takes back the claims made before the one that failed, then claims the old places again.
void Mover::unclaim(const Step *failedStep, SegmentKind failedKind, Purpose purpose) {
  everySegment([&](Step &step, SegmentKind kind, const Segment &segment, Address to) {
    if (&step == failedStep && kind == failedKind)
      return false;
    arena_.occupancy(kind).vacate(Range::at(to, segment.size));
    return true;
  });
  if (purpose == Purpose::Relocate)
    everySegment([&](Step &, SegmentKind kind, const Segment &segment, Address) {
      return arena_.occupancy(kind).claim(segment.range());
    });
}

Error Mover::overlapError(const Step &step, SegmentKind kind) const {
  Range wanted = Range::at(step.to[indexOf(kind)], step.object->segment(kind).size);
  std::string who = "another code object of the batch";
  for (Handle handle = 0; handle < objects_.limit(); ++handle) {
    const CodeObject &other = objects_[handle];
    bool moves = llvm::any_of(steps_, [&](const Step &each) { return each.object == &other && each.to[indexOf(kind)] != Address(); });
    if (!moves && other.state == State::Placed && other.segment(kind).exists() && other.segment(kind).range().overlaps(wanted))
      who = "code object " + quoted(other);
  }
  return fail(ErrorCode::Placement, segmentOf(*step.object, kind) + ": " + Twine(wanted.size()) + " bytes at offset " +
                                        offsetIn(arena_.segments(kind), wanted.base) + " overlap " + who);
}

// ---- copy, relocate, publish (I13) ----

void Mover::moveOne(const WriteScope &scope, Step &step, Purpose purpose, MoveReport &report) {
  CodeObject &object = *step.object;
  if (purpose == Purpose::Relocate && step.to[indexOf(SegmentKind::Code)] != Address() && !isCopied_)
    unwind_.remove(object);
  SegmentMoves moves = unmoved(object, scope);
  for (size_t kind = 0; kind < segmentKinds.size(); ++kind) {
    if (step.to[kind] == Address())
      continue;
    SegmentMove &move = moves[kind];
    move.to = step.to[kind];
    const std::byte *old = std::exchange(move.bytes, scope.writable(move.to));
    if (purpose == Purpose::Place)
      copyImage(*object.image, kind, move);
    else if (!isCopied_)
      std::memcpy(move.bytes, old, move.size);
    report.bytes += move.size;
  }
  step.codeDelta = moves[indexOf(SegmentKind::Code)].delta();
  report.relocations += object.relocations.applyMove(moves);
  publish(step);
}

void Mover::publish(const Step &step) {
  CodeObject &object = *step.object;
  object.state = State::Placed;
  for (size_t kind = 0; kind < segmentKinds.size(); ++kind)
    if (step.to[kind] != Address())
      object.segments[kind].base = step.to[kind];
  if (step.to[indexOf(SegmentKind::Code)] == Address())
    return;
  for (const EntryUse &entry : object.entries)
    entries_.redirect(entry.index, object.segment(SegmentKind::Code).base + entry.offset);
  unwind_.add(object);
}

// Sliding: if all go down, lower ones first never overwrite what is still to be copied; if all go up, higher ones first. A batch
// that does both (a swap) goes through a buffer.
void Mover::copyOverlapping(const WriteScope &scope) {
  struct Copy {
    std::byte *to;
    const std::byte *from;
    Size size;
  };
  std::vector<Copy> copies;
  everySegment([&](Step &step, SegmentKind kind, const Segment &segment, Address to) {
    if (kind == SegmentKind::Code)
      unwind_.remove(*step.object);
    copies.push_back({scope.writable(to), scope.writable(segment.base), segment.size});
    return true;
  });
  auto isDown = [](const Copy &copy) { return copy.to < copy.from; };
  bool allDown = llvm::all_of(copies, isDown);
  if (allDown || llvm::none_of(copies, isDown)) {
    llvm::sort(copies, [=](const Copy &a, const Copy &b) { return allDown ? a.from < b.from : a.from > b.from; });
    for (const Copy &copy : copies)
      std::memmove(copy.to, copy.from, copy.size);
    return;
  }
  std::vector<std::byte> buffer;
  for (const Copy &copy : copies)
    buffer.insert(buffer.end(), copy.from, copy.from + copy.size);
  const std::byte *at = buffer.data();
  for (const Copy &copy : copies) {
    std::memcpy(copy.to, at, copy.size);
    at += copy.size;
  }
}

// After all moves: the callers of what has moved may have moved too. A call site that still has the callee's old address needs
// the callee's delta; its own move is in already.
void Mover::redirectCallers(const WriteScope &scope, MoveReport &report) {
  for (const Step &step : steps_) {
    if (!step.object->links || step.codeDelta == 0)
      continue;
    for (auto &[handle, reference] : step.object->links->dependents) {
      const CodeObject &dependent = objects_[handle];
      SegmentMoves segments = unmoved(dependent, scope);
      if (dependent.state == State::Unplaced)
        for (size_t kind = 0; kind < segmentKinds.size(); ++kind)
          segments[kind].bytes = dependent.image->bytes[kind].get();
      report.relocations += dependent.relocations.applyReference(segments, reference, step.codeDelta);
    }
  }
}

void Mover::vacate(CodeObject &object) {
  unwind_.remove(object);
  for (SegmentKind kind : segmentKinds)
    if (object.segment(kind).exists())
      arena_.occupancy(kind).vacate(object.segment(kind).range());
}
