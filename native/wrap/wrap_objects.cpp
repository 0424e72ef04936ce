// keepTrack, objectOf, hasObject, deadFirst, loseTrack, loseAll: the JS halves by handle. They answer after `dispose` too.
#include "wrap/call.h"

using namespace nomad;
using namespace nomad::wrap;
using namespace llvm;

namespace {

// What V8 frees, sooner or later, when it frees the JS half.
Size nativeBytes(const CodeObject &object) {
  Size bytes = sizeof(CodeObject) + object.relocations.bytes() + object.symbols.bytes();
  for (const Segment &segment : object.segments)
    bytes += segment.size;
  return bytes;
}

// keepTrack(handle, object)
Result keepTrack(Call &call) {
  if (!call.jit().engine)
    return fail(ErrorCode::State, "the Jit is disposed");
  auto object = call.engine().object(call.uint32(0));
  if (!object)
    return object.takeError();
  call.jit().objects.add(call.uint32(0), call.argument(1), nativeBytes(*object));
  return nullptr;
}

Result objectOf(Call &call) { return call.jit().objects.get(call.uint32(0)); }

Result hasObject(Call &call) { return call.js.boolean(call.jit().objects.has(call.uint32(0))); }

// The first `count` handles in an Int32Array.
MutableArrayRef<Handle> handlesIn(Call &call) {
  auto handles = call.js.bytes(call.argument(0));
  if (!handles || handles->size < call.uint32(1))
    return {};
  return {static_cast<Handle *>(handles->data), call.uint32(1)};
}

// deadFirst(handles, count): how many.
Result deadFirst(Call &call) { return call.js.number(static_cast<double>(call.jit().objects.deadFirst(handlesIn(call)))); }

// loseTrack(handles, count)
Result loseTrack(Call &call) {
  for (Handle handle : handlesIn(call))
    call.jit().objects.remove(handle);
  return nullptr;
}

Result loseAll(Call &call) {
  call.jit().objects.clear();
  return nullptr;
}

} // namespace

void nomad::wrap::addObjectRefs(const Js &js, napi_value target, Jit &jit) {
  bindForEver<keepTrack>(js, target, "keepTrack", jit);
  bindForEver<objectOf>(js, target, "objectOf", jit);
  bindForEver<hasObject>(js, target, "hasObject", jit);
  bindForEver<deadFirst>(js, target, "deadFirst", jit);
  bindForEver<loseTrack>(js, target, "loseTrack", jit);
  bindForEver<loseAll>(js, target, "loseAll", jit);
}
