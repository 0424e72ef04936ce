#include "engine/move_verifier.h"

#include "base/error.h"

#include <cstring>

using namespace nomad;
using namespace llvm;

namespace {

Error differs(const CodeObject &object, SegmentKind kind, Size offset) {
  return fail(ErrorCode::State, "damage: code object " + Twine(quoted(object)) + " has moved, but its " + segmentName(kind) +
                                    " at offset " + hex(offset) + " are not what a link at the new place gives");
}

std::byte storedAt(const Image &image, size_t offset) {
  size_t kind = indexOf(SegmentKind::Data);
  return offset < image.storedBytes[kind] ? image.bytes[kind][offset] : std::byte{0};
}

// The pointer that the program has put into a slot, moved as the code object has.
std::uint64_t movedPointer(std::uint64_t value, const std::array<Segment, 3> &from, const CodeObject &to) {
  for (SegmentKind kind : segmentKinds)
    if (const Segment &segment = from[indexOf(kind)]; segment.exists() && segment.range().contains(Address::of(value)))
      return Address::of(value).shifted(to.segment(kind).base - segment.base).value();
  return value;
}

} // namespace

Expected<std::vector<BeforeMove>> MoveVerifier::before(ArrayRef<MoveRequest> requests) {
  std::vector<BeforeMove> moves;
  for (const MoveRequest &request : isOn() ? requests : ArrayRef<MoveRequest>()) {
    if (!objects_.isLive(request.object) || objects_[request.object].state != State::Placed ||
        !objects_.objectFile(request.object))
      continue; // the mover refuses it
    const CodeObject &object = objects_[request.object];
    auto emission = relinker_.emit(object, basesOf(object));
    if (!emission)
      return emission.takeError();
    const Segment &data = object.segment(SegmentKind::Data);
    moves.push_back({request.object, std::move(*emission), object.segments, {}});
    moves.back().data.assign(data.base.pointer(), data.base.pointer() + data.size);
  }
  return moves;
}

Error MoveVerifier::verify(ArrayRef<BeforeMove> moves) {
  for (const BeforeMove &before : moves)
    if (Error error = verifyMove(before))
      return error;
  return Error::success();
}

Error MoveVerifier::verifyMove(const BeforeMove &before) {
  const CodeObject &object = objects_[before.object];
  auto fresh = relinker_.emit(object, basesOf(object));
  if (!fresh)
    return fresh.takeError();
  for (SegmentKind kind : {SegmentKind::Code, SegmentKind::Constants}) {
    const std::byte *now = object.segment(kind).base.pointer(), *expected = fresh->image->bytes[indexOf(kind)].get();
    for (Size i = 0; i < object.segment(kind).size; ++i)
      if (now[i] != expected[i])
        return differs(object, kind, i);
  }
  std::vector<std::byte> expected = before.data;
  for (size_t i = 0; i < expected.size(); ++i)
    if (expected[i] == storedAt(*before.emission.image, i))
      expected[i] = storedAt(*fresh->image, i);
  for (const Relocation &relocation : fresh->relocations)
    if (relocation.formula == Formula::DataPointer) {
      std::uint64_t value;
      std::memcpy(&value, before.data.data() + relocation.site, sizeof value);
      value = movedPointer(value, before.segments, object);
      std::memcpy(expected.data() + relocation.site, &value, sizeof value);
    }
  const std::byte *now = object.segment(SegmentKind::Data).base.pointer();
  for (size_t i = 0; i < expected.size(); ++i)
    if (now[i] != expected[i])
      return differs(object, SegmentKind::Data, i);
  return Error::success();
}
