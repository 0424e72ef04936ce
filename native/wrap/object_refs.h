// The JS halves of code objects and host functions, by handle, held weakly.
//
// By Node-API references of count 0, because V8 clears those in its young collections too, and reading one keeps nothing alive;
// a JS WeakRef is cleared in full collections only, and what has been read through it survives the job. Such a reference takes as
// much memory as a WeakRef and a FinalizationRegistry's cell, and a fifth of the time.
//
// V8 is told of the native bytes that each JS half stands for, so that it looks for garbage when there are many.
#pragma once

#include "link/code_object.h"
#include "wrap/js.h"

#include "llvm/ADT/ArrayRef.h"

#include <array>
#include <memory>
#include <vector>

namespace nomad::wrap {

class ObjectRefs {
public:
  explicit ObjectRefs(napi_env env) : env_(env) {}
  ObjectRefs(const ObjectRefs &) = delete;
  ObjectRefs &operator=(const ObjectRefs &) = delete;

  /// `object` is what JS has of `handle`, and stands for `bytes` of native memory. Replaces what was noted before.
  void add(Handle handle, napi_value object, Size bytes);
  void remove(Handle handle);
  void clear();

  bool has(Handle handle) const { return handle < limit() && chunkOf(handle).references[handle % chunkLength]; }
  /// null if V8 has collected it, or if there was none.
  napi_value get(Handle handle) const;
  /// Those of `handles` whose JS halves V8 has collected come first, in their order; returns how many.
  size_t deadFirst(llvm::MutableArrayRef<Handle> handles) const;
  /// All handles are below.
  Handle limit() const { return static_cast<Handle>(chunks_.size() * chunkLength); }

private:
  static constexpr Handle chunkLength = 1024;

  // A million references are never copied because one more comes.
  struct Chunk {
    std::array<napi_ref, chunkLength> references{};
    std::array<std::uint32_t, chunkLength> bytes{};
  };

  Chunk &chunkOf(Handle handle) { return *chunks_[handle / chunkLength]; }
  const Chunk &chunkOf(Handle handle) const { return *chunks_[handle / chunkLength]; }
  bool isDead(Handle handle) const { return has(handle) && !get(handle); }
  /// More bytes (or fewer); V8 hears of them by the page, and may collect then.
  void adjust(std::int64_t bytes);

  napi_env env_;
  std::vector<std::unique_ptr<Chunk>> chunks_;
  std::int64_t untold_ = 0;
};

} // namespace nomad::wrap
