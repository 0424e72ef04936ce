#include "support.h"

#include <cstdlib>
#include <fstream>
#include <sanitizer/lsan_interface.h>
#include <sstream>

using namespace nomad;
using namespace nomad::test;

Failure nomad::test::failureOf(llvm::Error error) {
  Failure failure;
  llvm::handleAllErrors(
      std::move(error), [&](const CodedError &coded) { failure = {codeName(coded.code), coded.message, coded.details}; },
      [&](const llvm::ErrorInfoBase &other) { failure = {"?", other.message(), {}}; });
  return failure;
}

void nomad::test::need(llvm::Error error) {
  Failure failure = failureOf(std::move(error));
  INFO(failure.code << ": " << failure.message);
  REQUIRE(failure.code.empty());
}

bool nomad::test::contains(const std::string &text, const std::string &part) { return text.find(part) != std::string::npos; }

std::uint64_t nomad::test::seed() {
  const char *text = std::getenv("NOMAD_SEED");
  return text ? std::strtoull(text, nullptr, 0) : 20260730;
}

#if defined(__SANITIZE_ADDRESS__)
AbandonedIsLeaked::AbandonedIsLeaked() { __lsan_disable(); }
AbandonedIsLeaked::~AbandonedIsLeaked() { __lsan_enable(); }
#else
AbandonedIsLeaked::AbandonedIsLeaked() = default;
AbandonedIsLeaked::~AbandonedIsLeaked() = default;
#endif

std::vector<KernelMapping> nomad::test::kernelMappings() {
  std::vector<KernelMapping> mappings;
  std::ifstream maps("/proc/self/maps");
  for (std::string line; std::getline(maps, line);) {
    std::istringstream fields(line);
    std::uint64_t base = 0, limit = 0;
    char dash = 0;
    KernelMapping mapping;
    fields >> std::hex >> base >> dash >> limit >> mapping.access;
    mapping.range = {Address::of(base), Address::of(limit)};
    mappings.push_back(mapping);
  }
  return mappings;
}

Import nomad::test::importFunction(const char *name, Handle object, const char *symbol) {
  Import import;
  import.name = name;
  import.object = object;
  import.symbol = symbol;
  return import;
}

Jit::Jit(Size arenaBytes) {
  EngineOptions options;
  options.arenaBytes = arenaBytes;
  engine_ = need(Engine::create(options));
  engine_->setArgumentBlock(Address::of(block_.data()));
}

Handle Jit::compile(llvm::StringRef source, CompileOptions options) {
  if (options.name.empty())
    options.name = "test";
  return need(engine_->compile(source, options));
}

Handle Jit::add(llvm::StringRef source, CompileOptions options) {
  Handle handle = compile(source, std::move(options));
  place(handle);
  return handle;
}

Offsets Jit::nextOffsets(Handle handle) {
  Offsets offsets{stays, stays, stays};
  for (SegmentKind kind : segmentKinds) {
    const Segment &segment = object(handle).segment(kind);
    if (!segment.exists())
      continue;
    Size offset = roundUp(next_[indexOf(kind)], segment.alignment());
    offsets[indexOf(kind)] = static_cast<std::int64_t>(offset);
    next_[indexOf(kind)] = roundUp(offset + segment.size, OccupancyMap::granule);
  }
  return offsets;
}

Offsets Jit::farOffsets(Handle handle) {
  Offsets offsets{stays, stays, stays};
  for (SegmentKind kind : segmentKinds)
    if (const Segment &segment = object(handle).segment(kind); segment.exists())
      offsets[indexOf(kind)] =
          static_cast<std::int64_t>(roundDown(engine_->placeable(kind).size() - segment.size, segment.alignment()));
  return offsets;
}

MoveRequest Jit::request(Handle handle, const Offsets &offsets) {
  MoveRequest request{handle, {MoveRequest::stays, MoveRequest::stays, MoveRequest::stays}};
  for (SegmentKind kind : segmentKinds)
    if (std::int64_t offset = offsets[indexOf(kind)]; offset != stays)
      request.to[indexOf(kind)] = static_cast<std::int32_t>(offset);
  return request;
}

void Jit::moveCodeOn(Handle handle) { relocate(handle, {nextOffsets(handle)[0], stays, stays}); }

Size Jit::offsetOf(Handle handle, SegmentKind kind) {
  return static_cast<Size>(object(handle).segment(kind).base - engine_->placeable(kind).base);
}

void Jit::enter(Handle handle, const char *name) {
  SignatureIndex signature = need(engine_->function(handle, name)).signature;
  auto *thunk = need(engine_->thunk(signature, ThunkStyle::Block)).pointer<void *(void *, void *)>();
  store(Engine::blockParameterBytes, static_cast<std::int32_t>(need(engine_->entry(handle, name))));
  void *returned = thunk(nullptr, nullptr);
  REQUIRE(returned == nullptr);
}

Handle TestHost::add(const char *name, const char *type) { return need(jit_.engine().addHost(name, need(parseSignature(type)))); }

Snapshot nomad::test::snapshotOf(Jit &jit, Handle handle) {
  Snapshot snapshot;
  const CodeObject &object = jit.object(handle);
  for (std::size_t kind = 0; kind < 3; ++kind) {
    const Segment &segment = object.segments[kind];
    if (!segment.exists())
      continue;
    snapshot.bases[kind] = segment.base;
    snapshot.bytes[kind].assign(segment.base.pointer(), segment.base.pointer() + segment.size);
  }
  for (const EntryUse &entry : object.entries)
    snapshot.entryTargets.push_back(jit.engine().entries().target(entry.index).value());
  return snapshot;
}
