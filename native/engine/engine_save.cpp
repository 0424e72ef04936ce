// The engine's code objects outside of it: as bytes, and in the compile cache.
#include "engine/engine.h"

#include "base/build_id.h"
#include "base/error.h"
#include "engine/compile_cache.h"
#include "engine/resolver.h"
#include "link/revive.h"
#include "link/saved_object.h"

#include "llvm/ADT/STLExtras.h"
#include "llvm/ADT/StringExtras.h"
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

Expected<Handle> Engine::deserialize(ArrayRef<std::uint8_t> bytes, const CompileOptions &options) {
  auto saved = decode(bytes, options.name);
  if (!saved)
    return saved.takeError();
  CompileOptions actual = options;
  actual.moves = saved->moves;
  Resolver resolver(*this, actual, process_);
  if (Error error = resolver.checkTypes(saved->exports.declared, options.name))
    return error;
  auto revived = revive(*saved, {options.name, saved->moves, saved->retain, saved->retain == Retain::Object || verifiesMoves_},
                        LinkEnvironment{*arena_, entries_, types_}, resolver);
  if (!revived)
    return revived.takeError();
  Handle handle = adopt(std::move(*revived));
  enterDependents(handle, options.alike);
  Error error = checkKept(handle);
  if (!error)
    return handle;
  if (Error other = free(handle))
    return joinErrors(std::move(error), std::move(other));
  return error;
}

// An object file that is not the code object's own would make something else of it when it moves.
Error Engine::checkKept(Handle handle) {
  const CodeObject &object = objects_[handle];
  if (!kept_.contains(handle))
    return Error::success();
  auto emission = emit(object, basesOf(object));
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
