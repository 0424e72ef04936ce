#include "support/jit.h"

#include <cstring>

using namespace nomad;
using namespace nomad::fuzz;
using namespace llvm;

fuzz::Jit::Jit(LinkerKind linker, Size arenaBytes) : block_(Engine::blockBytes / 8 + 1) {
  EngineOptions options;
  options.arenaBytes = arenaBytes;
  options.linker = linker;
  options.poisonsVacated = true;
  engine_ = need(Engine::create(options));
  engine_->setArgumentBlock(Address::of(block_.data()));
  engine_->setHost(this);
}

fuzz::Jit::~Jit() { engine_->setHost(nullptr); }

MoveRequest fuzz::Jit::request(Handle handle, std::int32_t offset) {
  MoveRequest request{handle, {MoveRequest::stays, MoveRequest::stays, MoveRequest::stays}};
  auto found = engine_->object(handle);
  if (!found) {
    consumeError(found.takeError());
    return request;
  }
  for (SegmentKind kind : segmentKinds)
    if (const Segment &segment = found->segment(kind); segment.exists())
      request.to[indexOf(kind)] = static_cast<std::int32_t>(roundUp(static_cast<Size>(offset), segment.alignment()));
  return request;
}

bool fuzz::Jit::runsByItself(Handle handle) {
  CodeObject &object = *engine_->object(handle);
  return object.teardown || (object.image && object.image->initializer != noOffset);
}

std::optional<std::int32_t> fuzz::Jit::call(Handle handle, StringRef function, std::int32_t argument) {
  SignatureIndex signature = need(engine_->function(handle, function)).signature;
  Address thunk = need(engine_->thunk(signature, ThunkStyle::Block));
  auto entry = need(engine_->entry(handle, function));
  auto *block = reinterpret_cast<std::byte *>(block_.data());
  std::memcpy(block, &argument, sizeof argument);
  std::memcpy(block + Engine::blockParameterBytes, &entry, sizeof entry);
  bool wasLeftOutside = std::exchange(wasLeft_, false);
  thunk.pointer<void *(void *, void *)>()(nullptr, nullptr);
  std::int32_t result;
  std::memcpy(&result, block, sizeof result);
  bool wasLeft = std::exchange(wasLeft_, wasLeftOutside);
  return wasLeft ? std::nullopt : std::optional(result);
}

bool fuzz::Jit::call(HostIndex) {
  std::int32_t argument;
  std::memcpy(&argument, block_.data(), sizeof argument);
  auto result = onCall(argument);
  if (!result)
    return false;
  std::memcpy(block_.data(), &*result, sizeof *result);
  return true;
}

void fuzz::Jit::uncaught(Error error) { defect("code ended with " + toString(std::move(error))); }
