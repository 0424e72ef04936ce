#include "wrap/object_refs.h"

#include <algorithm>
#include <cstdlib>
#include <utility>

using namespace nomad;
using namespace nomad::wrap;
using namespace llvm;

void ObjectRefs::add(Handle handle, napi_value object, Size bytes) {
  while (handle >= limit())
    chunks_.push_back(std::make_unique<Chunk>());
  remove(handle);
  Chunk &chunk = chunkOf(handle);
  if (napi_create_reference(env_, object, 0, &chunk.references[handle % chunkLength]) != napi_ok)
    return; // the environment ends
  chunk.bytes[handle % chunkLength] = static_cast<std::uint32_t>(std::min<Size>(bytes, UINT32_MAX));
  adjust(chunk.bytes[handle % chunkLength]);
}

void ObjectRefs::remove(Handle handle) {
  if (!has(handle))
    return;
  Chunk &chunk = chunkOf(handle);
  napi_delete_reference(env_, std::exchange(chunk.references[handle % chunkLength], nullptr));
  adjust(-std::int64_t{std::exchange(chunk.bytes[handle % chunkLength], 0)});
}

void ObjectRefs::clear() {
  for (Handle handle = 0; handle < limit(); ++handle)
    remove(handle);
  chunks_.clear();
  std::int64_t total = 0;
  napi_adjust_external_memory(env_, std::exchange(untold_, 0), &total);
}

napi_value ObjectRefs::get(Handle handle) const {
  napi_value object = nullptr;
  if (has(handle))
    napi_get_reference_value(env_, chunkOf(handle).references[handle % chunkLength], &object);
  return object;
}

size_t ObjectRefs::deadFirst(MutableArrayRef<Handle> handles) const {
  constexpr size_t scopeLength = 1024; // what is read is alive until its scope ends
  size_t count = 0;
  for (size_t begin = 0; begin < handles.size(); begin += scopeLength) {
    napi_handle_scope scope;
    if (napi_open_handle_scope(env_, &scope) != napi_ok)
      return count;
    for (size_t i = begin; i < std::min(begin + scopeLength, handles.size()); ++i)
      if (isDead(handles[i]))
        std::swap(handles[count++], handles[i]);
    napi_close_handle_scope(env_, scope);
  }
  return count;
}

void ObjectRefs::adjust(std::int64_t bytes) {
  constexpr std::int64_t pageBytes = 4096;
  untold_ += bytes;
  if (std::abs(untold_) < pageBytes)
    return;
  std::int64_t total = 0;
  napi_adjust_external_memory(env_, std::exchange(untold_, 0), &total);
}
