// Object files that are kept: emitted again for other addresses, to move a code object or to see whether a move was right.
#include "engine/engine.h"

#include "base/error.h"

#include "llvm/ADT/StringExtras.h"
#include "llvm/Support/xxhash.h"

#include <cstring>

using namespace nomad;
using namespace llvm;

Expected<Emission> Engine::emit(const CodeObject &object, const SegmentBases &bases) {
  KeptObject &kept = *kept_[objects_.handleOf(object)];
  for (ImportedName &import : kept.imports)
    if (import.kind == ImportedName::Kind::Function)
      import.code = objects_[object.links->references[import.reference]].segment(SegmentKind::Code).base + import.offset;
  LinkRequest request{object.symbols.objectName().str(), object.moves};
  return linker_->emit(kept, request, bases);
}

Size Engine::retainedBytes(Handle handle) const {
  const CodeObject &object = objects_[handle];
  return object.relocations.bytes() + (object.retain == Retain::Object ? kept_.find(handle)->second->footprint() : 0);
}

// ---- freeze and thaw ----
//
//   | magic: u32 | id: u32 | checksum of all else: u64 | object file ... |

namespace {

constexpr std::uint32_t magic = 0x314f4e4e; // "NNO1"

struct Header {
  std::uint32_t magic;
  std::uint32_t id;
  std::uint64_t checksum;
};

} // namespace

std::vector<std::uint8_t> Engine::takeObjectFile(Handle handle, std::uint64_t id) {
  KeptObject &kept = *kept_[handle];
  StringRef bytes = kept.bytes->getBuffer();
  Header header{magic, static_cast<std::uint32_t>(id), xxh3_64bits(bytes)};
  kept.frozen = header.checksum;
  std::vector<std::uint8_t> saved(sizeof header + bytes.size());
  std::memcpy(saved.data(), &header, sizeof header);
  llvm::copy(bytes, saved.begin() + sizeof header);
  if (!verifiesMoves_)
    kept.bytes.reset();
  return saved;
}

// The object file must be the very one: anything else would not be what its imports were found for.
Error Engine::putObjectFileBack(Handle handle, std::uint64_t id, ArrayRef<std::uint8_t> saved) {
  KeptObject &kept = *kept_[handle];
  Header header;
  if (saved.size() < sizeof header)
    return fail(ErrorCode::State, Twine(saved.size()) + " bytes are too few");
  std::memcpy(&header, saved.data(), sizeof header);
  StringRef bytes = toStringRef(saved.drop_front(sizeof header));
  if (header.magic != magic)
    return fail(ErrorCode::State, "it does not begin with 'NNO1'");
  if (header.id != static_cast<std::uint32_t>(id))
    return fail(ErrorCode::State, "it belongs to another code object");
  if (header.checksum != kept.frozen || xxh3_64bits(bytes) != kept.frozen)
    return fail(ErrorCode::State, "its checksum is wrong");
  kept.bytes = MemoryBuffer::getMemBufferCopy(bytes);
  return Error::success();
}

// ---- is a move right? ----
//
// A code object that has moved has the bytes that a fresh link at its new place gives. In data, a byte that was what a fresh link
// at the old place gives is now what one at the new place gives; every other byte was written by the program: it is what it was,
// unless it is part of a pointer into what moved.

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

Expected<std::vector<BeforeMove>> Engine::beforeMoves(ArrayRef<MoveRequest> requests) {
  std::vector<BeforeMove> moves;
  for (const MoveRequest &request : verifiesMoves_ ? requests : ArrayRef<MoveRequest>()) {
    if (!objects_.isLive(request.object) || objects_[request.object].state != State::Placed || !kept_.contains(request.object))
      continue; // the mover refuses it
    const CodeObject &object = objects_[request.object];
    auto emission = emit(object, basesOf(object));
    if (!emission)
      return emission.takeError();
    const Segment &data = object.segment(SegmentKind::Data);
    moves.push_back({request.object, std::move(*emission), object.segments, {}});
    moves.back().data.assign(data.base.pointer(), data.base.pointer() + data.size);
  }
  return moves;
}

Error Engine::verifyMoves(ArrayRef<BeforeMove> moves) {
  for (const BeforeMove &before : moves)
    if (Error error = verifyMove(before))
      return error;
  return Error::success();
}

Error Engine::verifyMove(const BeforeMove &before) {
  const CodeObject &object = objects_[before.object];
  auto fresh = emit(object, basesOf(object));
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
