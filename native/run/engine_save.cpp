// The engine's code objects outside of it: as bytes, and in the compile cache.
#include "run/engine.h"

#include "base/error.h"
#include "link/saved_object.h"
#include "run/compile_cache.h"

#include "llvm/ADT/StringExtras.h"

using namespace nomad;
using namespace llvm;

Expected<std::vector<std::uint8_t>> Engine::serialize(Handle handle) {
  auto found = object(handle);
  if (!found)
    return found.takeError();
  if (found->state != State::Unplaced)
    return fail(ErrorCode::State, "serialize: code object " + Twine(quoted(*found)) +
                                      " is placed, and its program may have changed it; only before that can it be saved");
  auto kept = kept_.find(handle);
  return encodeSaved(*found, kept == kept_.end() ? nullptr : kept->second.get(), types_);
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
