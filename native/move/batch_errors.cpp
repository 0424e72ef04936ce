#include "move/batch_errors.h"

#include "base/error.h"

#include "llvm/ADT/STLExtras.h"

using namespace nomad;
using namespace llvm;

namespace {

std::string segmentOf(const CodeObject &object, SegmentKind kind) {
  return std::string(segmentName(kind)) + " of code object " + quoted(object);
}

std::string offsetIn(Range range, Address address) { return hex(static_cast<std::uint64_t>(address - range.base)); }

Error pinError(const CodeObjectTable &objects, const CodeObject &object, SegmentKind kind) {
  ErrorDetails details;
  details.object = objects.handleOf(object);
  if (object.storesLabels)
    return fail(ErrorCode::Pinned, segmentOf(object, kind) + " can't move: the program may have stored addresses of its labels",
                std::move(details));
  return fail(ErrorCode::Pinned, segmentOf(object, kind) + " is pinned by what runs now: the stack may have its address",
              std::move(details));
}

} // namespace

Error nomad::stateError(const CodeObjectTable &objects, const MoveRequest &request, Batch::Purpose purpose) {
  if (!objects.isLive(request.object))
    return fail(ErrorCode::State, "the code object is freed");
  const CodeObject &object = objects[request.object];
  std::string name = "code object " + quoted(object);
  if (object.isMoving)
    return fail(ErrorCode::Placement, name + " is in the batch twice");
  if (purpose == Batch::Purpose::Place)
    return fail(ErrorCode::State, name + " is placed already; relocate moves it");
  if (object.state != State::Placed)
    return fail(ErrorCode::State, name + " is not placed");
  if (object.retain == Retain::Frozen)
    return fail(ErrorCode::State, name + " is frozen; thaw lets it move again");
  return fail(ErrorCode::State, name + " was compiled with retain: 'none' and can't move again");
}

Error nomad::fitError(const CodeObjectTable &objects, const CodeObject &object, SegmentKind kind, Range allowed,
                      std::int32_t offset) {
  const Segment &segment = object.segment(kind);
  if (offset == MoveRequest::stays)
    return fail(ErrorCode::Placement, "no place for the " + Twine(segment.size) + " bytes of " + segmentOf(object, kind));
  Address to = allowed.base.shifted(offset);
  std::string at = offsetIn(allowed, to);
  if (!to.isAligned(segment.alignment()))
    return fail(ErrorCode::Placement,
                segmentOf(object, kind) + ": offset " + at + " is not a multiple of its alignment " + Twine(segment.alignment()));
  if (allowed.contains(Range::at(to, segment.size)))
    return pinError(objects, object, kind);
  return fail(ErrorCode::Placement, segmentOf(object, kind) + ": " + Twine(segment.size) + " bytes at offset " + at +
                                        " do not lie in the arena's " + Twine(allowed.size()) + " bytes of " + segmentName(kind));
}

Error nomad::overlapError(const CodeObjectTable &objects, Pieces pieces, const Piece &piece, Range allowed) {
  std::string name = "another code object of the batch";
  for (Handle handle = 0; handle < objects.limit(); ++handle) {
    const CodeObject &other = objects[handle];
    bool moves = llvm::any_of(pieces, [&](const Piece &each) { return each.object == &other && each.kind == piece.kind; });
    const Segment &segment = other.segment(piece.kind);
    if (!moves && other.state == State::Placed && segment.exists() && segment.range().overlaps(piece.newRange()))
      name = "code object " + quoted(other);
  }
  return fail(ErrorCode::Placement, segmentOf(*piece.object, piece.kind) + ": " + Twine(piece.size) + " bytes at offset " +
                                        offsetIn(allowed, piece.to) + " overlap " + name);
}
