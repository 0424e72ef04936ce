// JS as the host of an engine: runs host functions, and carries what they throw around code.
#pragma once

#include "engine/engine.h"
#include "wrap/js.h"

#include <vector>

namespace nomad::wrap {

struct Jit;

class JsHost : public Host {
public:
  explicit JsHost(Jit &jit) : jit_(jit) {}
  ~JsHost() override;

  /// `function` takes no arguments: it reads and writes the argument block.
  void add(HostIndex index, napi_value function);
  void remove(HostIndex index);
  /// The Jit has been collected, or its environment ends: what its destructors call returns 0, and what they fail with is
  /// nobody's.
  void end() { hasEnded_ = true; }

  bool call(HostIndex index) override;
  void callFromNative(HostIndex index) override;
  void willThrow(llvm::Error error) override;
  void left() override;
  void uncaught(llvm::Error error) override;
  void drop() override;

private:
  napi_value functionOf(HostIndex index);
  void reportException();
  void keepException();

  Jit &jit_;
  std::vector<napi_ref> functions_;
  bool hasEnded_ = false;
  bool isBlocked_ = false; // code could not be left: JS has an exception pending while code runs on
};

} // namespace nomad::wrap
