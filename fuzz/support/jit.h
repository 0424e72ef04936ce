// An engine with all that it needs to run code without JS, as the targets drive it.
#pragma once

#include "engine/engine.h"
#include "support/fuzz.h"

#include <functional>
#include <memory>
#include <vector>

namespace nomad::fuzz {

class Jit : private Host {
public:
  explicit Jit(LinkerKind linker = LinkerKind::JITLink, Size arenaBytes = Size{4} << 20);
  ~Jit() override;
  Jit(const Jit &) = delete;
  Jit &operator=(const Jit &) = delete;

  Engine &engine() { return *engine_; }
  /// Do all records agree? If not, that is a defect.
  void verify() { need(engine_->verify()); }
  /// Is `offset` of every range the place for all segments of `object`? What is aligned more strictly goes a little further.
  MoveRequest request(Handle handle, std::int32_t offset);
  /// Does something run when it is placed or freed?
  bool runsByItself(Handle handle);

  /// A function `i32 (i32)`; none if it was left.
  std::optional<std::int32_t> call(Handle handle, llvm::StringRef function, std::int32_t argument);

  /// What host functions do, with their argument; none: they throw.
  std::function<std::optional<std::int32_t>(std::int32_t)> onCall = [](std::int32_t argument) { return argument; };

private:
  bool call(HostIndex index) override;
  void callFromNative(HostIndex index) override { call(index); }
  void willThrow(llvm::Error error) override { llvm::consumeError(std::move(error)); }
  void left() override { wasLeft_ = true; }
  void drop() override {}
  void uncaught(llvm::Error error) override;

  std::vector<std::uint64_t> block_;
  std::unique_ptr<Engine> engine_;
  bool wasLeft_ = false;
};

} // namespace nomad::fuzz
