// move, moveBatch, free.
#include "wrap/call.h"

#include <chrono>

using namespace nomad;
using namespace nomad::wrap;
using namespace llvm;

namespace {

// Offsets in the ranges of the three kinds -> addresses; -1 stays, or there is no such segment.
class Places {
public:
  explicit Places(const Engine &engine) {
    for (SegmentKind kind : segmentKinds)
      bases_[indexOf(kind)] = engine.placeable(kind).base;
  }

  MoveRequest request(std::int32_t object, std::int32_t code, std::int32_t constants, std::int32_t data) const {
    return {static_cast<Handle>(object), {place(0, code), place(1, constants), place(2, data)}};
  }

private:
  Address place(size_t kind, std::int32_t offset) const {
    return offset < 0 ? Address() : bases_[kind] + static_cast<Size>(offset);
  }

  std::array<Address, 3> bases_;
};

Result move(Call &call) {
  const Js &js = call.js;
  Engine &engine = call.engine();
  MoveRequest request = Places(engine).request(js.int32(call.argument(0)), js.int32(call.argument(1)), js.int32(call.argument(2)),
                                               js.int32(call.argument(3)));
  auto object = engine.object(request.object);
  if (!object)
    return object.takeError();
  auto report = object->state == State::Placed ? engine.relocate(request) : engine.place(request);
  if (!report)
    return report.takeError();
  return nullptr; // undefined
}

Result moveBatch(Call &call) {
  static thread_local std::vector<MoveRequest> requests;
  auto moves = call.js.bytes(call.argument(0));
  auto report = call.js.bytes(call.argument(2));
  if (!moves || !report)
    return nullptr;
  const auto *words = static_cast<const std::int32_t *>(moves->data);
  auto start = std::chrono::steady_clock::now();
  requests.clear();
  Places places(call.engine());
  for (std::uint32_t i = 0, count = call.uint32(1); i < count; ++i, words += 4)
    requests.push_back(places.request(words[0], words[1], words[2], words[3]));
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

Result release(Call &call) {
  if (Error error = call.engine().free(call.uint32(0)))
    return error;
  return nullptr;
}

} // namespace

void nomad::wrap::addMove(const Js &js, napi_value target, Jit &jit) {
  bind<move>(js, target, "move", jit);
  bind<moveBatch>(js, target, "moveBatch", jit);
  bind<release>(js, target, "free", jit);
}
