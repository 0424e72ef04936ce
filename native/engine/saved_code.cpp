#include "engine/saved_code.h"

#include "base/build_id.h"
#include "base/error.h"

#include "llvm/ADT/STLExtras.h"
#include "llvm/Support/xxhash.h"

#include <cstring>

using namespace nomad;
using namespace llvm;

namespace {

// Another linker, or another build of ours, may lay out the same object file in another way.
std::uint64_t relinkerOf(LinkerKind linker) {
  return xxh3_64bits(buildId() + (linker == LinkerKind::RuntimeDyld ? "RuntimeDyld" : "JITLink"));
}

} // namespace

Expected<std::vector<std::uint8_t>> SavedCode::encode(Handle handle) {
  auto found = objects_.find(handle);
  if (!found)
    return found.takeError();
  if (found->state != State::Unplaced)
    return fail(ErrorCode::State, "serialize: code object " + Twine(quoted(*found)) +
                                      " is placed, and its program may have changed it; only before that can it be saved");
  if (found->image->isPart)
    return fail(ErrorCode::Unsupported, "serialize: code object " + Twine(quoted(*found)) +
                                            " is a part of a module that was compiled function by function");
  const KeptObject *kept = objects_.objectFile(handle);
  return encodeSaved(*found, objects_.forwardedStubs(handle), types_, kept, kept ? relinkerOf(linker_) : 0);
}

Expected<SavedObject> SavedCode::decode(ArrayRef<std::uint8_t> bytes, const std::string &name) const {
  std::array<Size, 3> limits{};
  for (SegmentKind kind : segmentKinds)
    limits[indexOf(kind)] = arena_.segments(kind).size();
  auto saved = decodeSaved(bytes, name, limits);
  if (!saved || !saved->objectFile || saved->relinker == relinkerOf(linker_))
    return saved;
  if (saved->retain == Retain::Object)
    return fail(ErrorCode::Unsupported,
                name + ": its object file is kept to be linked again, which only the linker and the version " +
                    "can do that have linked it when it was saved");
  saved->objectFile.reset(); // it was for verifying moves
  return saved;
}

// An object file that is not the code object's own would make something else of it when it moves.
Error SavedCode::checkObjectFile(Handle handle) {
  const CodeObject &object = objects_[handle];
  if (!objects_.objectFile(handle))
    return Error::success();
  auto emission = relinker_.emitInPlace(handle);
  if (!emission)
    return emission.takeError();
  const Image &kept = *emission->image;
  for (SegmentKind kind : segmentKinds) {
    Size stored = kept.storedBytes[indexOf(kind)];
    if (stored != object.image->storedBytes[indexOf(kind)] ||
        std::memcmp(kept.bytes[indexOf(kind)].get(), object.image->bytes[indexOf(kind)].get(), stored) != 0)
      return fail(ErrorCode::Link,
                  object.symbols.objectName() + ": not a saved code object: its object file gives other " + segmentName(kind));
  }
  std::vector<Relocation> own = object.relocations.decode();
  llvm::sort(own);
  llvm::sort(emission->relocations);
  if (own != emission->relocations) // what is at one address now may move apart
    return fail(ErrorCode::Link,
                object.symbols.objectName() + ": not a saved code object: its object file gives other relocations");
  return Error::success();
}
