// The engine's code objects outside of it: as bytes, and in the compile cache.
#include "run/engine.h"

#include "base/build_id.h"
#include "base/error.h"
#include "link/saved_object.h"
#include "run/compile_cache.h"

#include "llvm/ADT/StringExtras.h"
#include "llvm/Support/xxhash.h"

using namespace nomad;
using namespace llvm;

namespace {

// Another linker, or another build of ours, may lay out the same object file in another way.
std::uint64_t relinkerOf(LinkerKind linker) {
  return xxh3_64bits(buildId() + (linker == LinkerKind::RuntimeDyld ? "RuntimeDyld" : "JITLink"));
}

} // namespace

Expected<std::vector<std::uint8_t>> Engine::serialize(Handle handle) {
  auto found = object(handle);
  if (!found)
    return found.takeError();
  if (found->state != State::Unplaced)
    return fail(ErrorCode::State, "serialize: code object " + Twine(quoted(*found)) +
                                      " is placed, and its program may have changed it; only before that can it be saved");
  if (found->image->isPart)
    return fail(ErrorCode::Unsupported, "serialize: code object " + Twine(quoted(*found)) +
                                            " is a part of a module that was compiled function by function");
  auto kept = kept_.find(handle);
  bool isKept = kept != kept_.end();
  return encodeSaved(*found, redirectionsOf(handle), types_, isKept ? kept->second.get() : nullptr,
                     isKept ? relinkerOf(linkerKind_) : 0);
}

Expected<SavedObject> Engine::decode(ArrayRef<std::uint8_t> bytes, const std::string &name) const {
  std::array<Size, 3> limits{};
  for (SegmentKind kind : segmentKinds)
    limits[indexOf(kind)] = arena_->segments(kind).size();
  auto saved = decodeSaved(bytes, name, limits);
  if (!saved || !saved->objectFile || saved->relinker == relinkerOf(linkerKind_))
    return saved;
  if (saved->retain == Retain::Object)
    return fail(ErrorCode::Unsupported,
                name + ": its object file is kept to be linked again, which only the linker and the version " +
                    "can do that have linked it when it was saved");
  saved->objectFile.reset(); // it was for verifying moves
  return saved;
}

// A file that can't be used, because it is damaged or because a name stands for something else now, counts as none.
Expected<std::optional<Handle>> Engine::compileFromCache(StringRef key, const CompileOptions &options) {
  std::unique_ptr<MemoryBuffer> file = cache_->find(key);
  if (!file)
    return std::nullopt;
  auto handle = deserialize(arrayRefFromStringRef(file->getBuffer()), options);
  if (handle) {
    ++cacheStats_.hits;
    return *handle;
  }
  Error error = handleErrors(handle.takeError(), [](std::unique_ptr<CodedError> coded) -> Error {
    bool isOfFile = coded->code == ErrorCode::Link || coded->code == ErrorCode::Unsupported;
    return isOfFile ? Error::success() : Error(std::move(coded));
  });
  if (error)
    return error;
  return std::nullopt;
}
