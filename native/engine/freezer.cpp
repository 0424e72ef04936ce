#include "engine/freezer.h"

#include "base/error.h"

#include "llvm/ADT/StringExtras.h"
#include "llvm/Support/xxhash.h"

#include <cstring>

using namespace nomad;
using namespace llvm;

namespace {

//   | magic: u32 | id: u32 | checksum of all else: u64 | object file ... |
constexpr std::uint32_t magic = 0x314f4e4e; // "NNO1"

struct Header {
  std::uint32_t magic;
  std::uint32_t id;
  std::uint64_t checksum;
};

Error notMovable(const CodeObject &object) {
  std::string name = quoted(object);
  if (object.state != State::Placed)
    return fail(ErrorCode::State, "freeze: code object " + Twine(name) + " is not placed");
  if (object.retain == Retain::Frozen)
    return fail(ErrorCode::State, "freeze: code object " + Twine(name) + " is frozen already");
  return fail(ErrorCode::State,
              "freeze: code object " + Twine(name) + " was compiled with retain: 'none' and has no relocations");
}

} // namespace

Expected<std::vector<std::uint8_t>> Freezer::freeze(Handle handle, std::uint64_t id) {
  auto found = objects_.find(handle);
  if (!found)
    return found.takeError();
  if (found->state != State::Placed || !keepsMovable(found->retain))
    return notMovable(*found);
  bool hasObject = found->retain == Retain::Object;
  found->retain = Retain::Frozen;
  objects_.setImmovable(handle);
  return hasObject ? takeObjectFile(handle, id) : found->relocations.takeOwn(id);
}

Error Freezer::thaw(Handle handle, std::uint64_t id, ArrayRef<std::uint8_t> given) {
  auto found = objects_.find(handle);
  if (!found)
    return found.takeError();
  if (found->retain != Retain::Frozen)
    return fail(ErrorCode::State, "thaw: code object " + Twine(quoted(*found)) + " is not frozen");
  // Another thread may be changing what it has shared with us: what is checked is what is used.
  const std::vector<std::uint8_t> saved = given.vec();
  std::array<Size, 3> sizes{};
  for (SegmentKind kind : segmentKinds)
    sizes[indexOf(kind)] = found->segment(kind).size;
  KeptObject *kept = objects_.objectFile(handle);
  bool hasObject = kept && kept->frozen;
  if (Error error = hasObject ? putObjectFileBack(handle, id, saved) : found->relocations.putBack(saved, id, sizes))
    return withCode(ErrorCode::State, "thaw: not what freeze() of code object " + quoted(*found) + " returned", std::move(error));
  found->retain = hasObject ? Retain::Object : Retain::Relocations;
  if (!found->storesLabels)
    objects_.setMovable(handle);
  return Error::success();
}

// ---- object files ----

std::vector<std::uint8_t> Freezer::takeObjectFile(Handle handle, std::uint64_t id) {
  KeptObject &kept = *objects_.objectFile(handle);
  StringRef bytes = kept.bytes->getBuffer();
  Header header{magic, static_cast<std::uint32_t>(id), xxh3_64bits(bytes)};
  kept.frozen = header.checksum;
  std::vector<std::uint8_t> saved(sizeof header + bytes.size());
  std::memcpy(saved.data(), &header, sizeof header);
  llvm::copy(bytes, saved.begin() + sizeof header);
  if (objectFiles_ == ObjectFiles::GivenAway)
    kept.bytes.reset();
  return saved;
}

// The object file must be the very one: anything else would not be what its imports were found for.
Error Freezer::putObjectFileBack(Handle handle, std::uint64_t id, ArrayRef<std::uint8_t> saved) {
  KeptObject &kept = *objects_.objectFile(handle);
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
