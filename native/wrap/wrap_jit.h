// The native half of lib/jit/: an object of functions bound to one Jit (lib/base/native.ts names them all).
#pragma once

#include "engine/engine.h"
#include "wrap/async_compiler.h"
#include "wrap/js_host.h"
#include "wrap/object_refs.h"

#include <memory>
#include <set>

namespace nomad::wrap {

/// Shared with lib/base/ledger.ts: how many changes have begun and not ended, and how many of those wait for native code.
struct Ledger {
  std::int32_t open = 0;
  std::int32_t covered = 0;
};

/// What those functions are bound to. Lives until the object is collected or its environment ends, whichever is first (I15).
struct Jit {
  explicit Jit(napi_env env) : env(env) {}

  napi_env env;
  std::unique_ptr<Engine> engine; // null after dispose
  napi_ref errorFactory = nullptr;
  napi_ref block = nullptr; // keeps the argument block
  void *blockData = nullptr;
  napi_ref ledgerBuffer = nullptr; // keeps the ledger
  Ledger *ledger = nullptr;
  JsHost host{*this};
  ObjectRefs objects{env};
  unsigned compileThreads = 1;
  std::unique_ptr<AsyncCompiler> asyncCompiler; // null before the first compileAsync, and after dispose
};

/// All Jits of an environment.
struct Environment {
  std::set<std::shared_ptr<Jit>> jits;
  /// Of Jits that are gone, with threads that are still at work; these are waited for when the environment ends.
  std::vector<std::unique_ptr<AsyncCompiler>> retired;
  bool endsWithProcess = false;
};

/// When `env` ends and the process with it, whatever has been registered somewhere may still be called: the code stays.
void keepCodeToTheEnd(napi_env env, Environment &environment);

/// createJit(options, makeError): the one function that is not bound to a Jit.
napi_value createJit(napi_env env, napi_callback_info info);

// The bound functions by subject; each adds its own to the object.
void addCompile(const Js &js, napi_value target, Jit &jit);
void addMove(const Js &js, napi_value target, Jit &jit);
void addLookup(const Js &js, napi_value target, Jit &jit);
void addCall(const Js &js, napi_value target, Jit &jit);
void addHostFunctions(const Js &js, napi_value target, Jit &jit);
void addObjectRefs(const Js &js, napi_value target, Jit &jit);

/// functionType(text): the signature that a type in IR syntax says, or a message why it says none.
napi_value functionType(napi_env env, napi_callback_info info);
napi_value signatureObject(const Js &js, const Signature &signature);

} // namespace nomad::wrap
