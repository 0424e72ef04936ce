// move, placeBatch, moveBatch, free, freeAll, freeMany, freeze, thaw, serialize, isLive.
#include "wrap/call.h"

#include "llvm/ADT/STLExtras.h"

#include <chrono>

using namespace nomad;
using namespace nomad::wrap;
using namespace llvm;

namespace {

Result move(Call &call) {
  const Js &js = call.js;
  Engine &engine = call.engine();
  MoveRequest request{call.uint32(0), {js.int32(call.argument(1)), js.int32(call.argument(2)), js.int32(call.argument(3))}};
  auto object = engine.object(request.object);
  if (!object)
    return object.takeError();
  auto report = object->state == State::Placed ? engine.relocate(request) : engine.place(request);
  if (!report)
    return report.takeError();
  return nullptr; // undefined
}

// The first `count` requests in an Int32Array that lib/ has written; none if it has not so many.
std::optional<ArrayRef<MoveRequest>> requestsIn(Call &call, napi_value array, size_t count) {
  constexpr size_t numbers = sizeof(MoveRequest) / sizeof(std::int32_t);
  auto moves = call.js.bytes(array);
  if (!moves || moves->size / numbers < count)
    return std::nullopt;
  return ArrayRef<MoveRequest>(static_cast<const MoveRequest *>(moves->data), count);
}

Error wrongCount() { return fail(ErrorCode::State, "more moves than were written"); }

Result moveBatch(Call &call) {
  auto batch = requestsIn(call, call.argument(0), call.uint32(1));
  auto report = call.js.bytes(call.argument(2));
  if (!batch || !report || report->size < 4)
    return wrongCount();
  ArrayRef<MoveRequest> requests = *batch;
  auto start = std::chrono::steady_clock::now();
  auto done = call.engine().relocate(requests);
  if (!done)
    return done.takeError();
  auto *out = static_cast<double *>(report->data);
  out[0] = static_cast<double>(done->moved);
  out[1] = static_cast<double>(done->bytes);
  out[2] = static_cast<double>(done->relocations);
  out[3] = std::chrono::duration<double, std::nano>(std::chrono::steady_clock::now() - start).count();
  return nullptr;
}

// placeBatch(moves, count): as moveBatch, for the first placement of code objects that may refer to each other.
Result placeBatch(Call &call) {
  auto batch = requestsIn(call, call.argument(0), call.uint32(1));
  if (!batch)
    return wrongCount();
  auto done = call.engine().place(*batch);
  if (!done)
    return done.takeError();
  return nullptr;
}

Result release(Call &call) {
  Handle handle = call.uint32(0);
  auto host = call.engine().hostIndex(handle);
  if (Error error = call.engine().free(handle))
    return error;
  if (host)
    call.jit().host.remove(*host);
  if (auto &compiler = call.jit().asyncCompiler)
    compiler->forget(handle);
  return nullptr;
}

// freeAll(handles, count): all or none; code objects only.
Result freeAll(Call &call) {
  auto handles = call.js.bytes(call.argument(0));
  if (!handles || handles->size < call.uint32(1))
    return fail(ErrorCode::State, "more handles than were written");
  ArrayRef<Handle> list(static_cast<const Handle *>(handles->data), call.uint32(1));
  if (Error error = call.engine().freeAll(list))
    return error;
  if (auto &compiler = call.jit().asyncCompiler)
    for (Handle handle : list)
      compiler->forget(handle);
  return nullptr;
}

// The first `count` handles; those that are freed become -1.
Result freeMany(Call &call) {
  auto handles = call.js.bytes(call.argument(0));
  if (!handles || handles->size < call.uint32(1))
    return fail(ErrorCode::State, "more handles than were written");
  MutableArrayRef<Handle> list(static_cast<Handle *>(handles->data), call.uint32(1));
  SmallVector<std::pair<Handle, HostIndex>> hosts;
  for (Handle handle : list)
    if (auto host = call.engine().hostIndex(handle))
      hosts.push_back({handle, *host});
  call.engine().freeMany(list);
  for (auto [handle, host] : hosts)
    if (!is_contained(list, handle))
      call.jit().host.remove(host);
  return nullptr;
}

// freeze(handle, id): bytes.
Result freeze(Call &call) {
  auto saved = call.engine().freeze(call.uint32(0), call.uint32(1));
  if (!saved)
    return saved.takeError();
  return call.js.buffer(*saved);
}

// serialize(handle): bytes.
Result serialize(Call &call) {
  auto saved = call.engine().serialize(call.uint32(0));
  if (!saved)
    return saved.takeError();
  return call.js.buffer(*saved);
}

// thaw(handle, id, bytes).
Result thaw(Call &call) {
  auto saved = call.js.bytes(call.argument(2));
  if (!saved)
    return nullptr;
  ArrayRef bytes(static_cast<const std::uint8_t *>(saved->data), saved->size);
  if (Error error = call.engine().thaw(call.uint32(0), call.uint32(1), bytes))
    return error;
  return nullptr;
}

Result isLive(Call &call) {
  auto object = call.engine().object(call.uint32(0));
  if (!object)
    consumeError(object.takeError());
  return call.js.boolean(static_cast<bool>(object));
}

} // namespace

void nomad::wrap::addMove(const Js &js, napi_value target, Jit &jit) {
  bind<move>(js, target, "move", jit);
  bind<placeBatch>(js, target, "placeBatch", jit);
  bind<moveBatch>(js, target, "moveBatch", jit);
  bind<release>(js, target, "free", jit);
  bind<freeAll>(js, target, "freeAll", jit);
  bind<freeMany>(js, target, "freeMany", jit);
  bind<freeze>(js, target, "freeze", jit);
  bind<thaw>(js, target, "thaw", jit);
  bind<serialize>(js, target, "serialize", jit);
  bind<isLive>(js, target, "isLive", jit);
}
