// One call from JS into a Jit: arguments in, a value or an error out. lib/ has checked what users pass; what arrives here
// malformed is lib's own mistake and reads as undefined, 0 or "".
#pragma once

#include "base/error.h"
#include "wrap/js.h"
#include "wrap/wrap_jit.h"

#include <array>

namespace nomad::wrap {

class Call {
public:
  static constexpr size_t maxArguments = 4;

  Call(napi_env env, napi_callback_info info);

  napi_value argument(size_t index) const { return arguments_[index]; }
  std::uint32_t uint32(size_t index) const { return js.uint32(arguments_[index]); }
  std::string text(size_t index) const { return js.text(arguments_[index]); }

  const Js js;
  Jit &jit() const { return *jit_; }
  Engine &engine() const { return *jit_->engine; }

private:
  std::array<napi_value, maxArguments> arguments_{};
  Jit *jit_ = nullptr;
};

using Result = llvm::Expected<napi_value>;

/// While native code runs that may call user code: what lib/base/ledger.ts has open now waits for it, and is not interrupted.
class Covering {
public:
  explicit Covering(Jit &jit) : ledger_(jit.ledger), before_(ledger_->covered) { ledger_->covered = ledger_->open; }
  ~Covering() { ledger_->covered = before_; }
  Covering(const Covering &) = delete;
  Covering &operator=(const Covering &) = delete;

private:
  Ledger *ledger_;
  std::int32_t before_;
};

/// Runs `function`; what the standard library throws becomes an error.
Result guarded(Result (*function)(Call &), Call &call);

/// Throws what the Jit's ErrorFactory makes of an error.
void throwError(const Js &js, const Jit &jit, llvm::Error error);
/// The same without throwing.
napi_value makeError(const Js &js, const Jit &jit, llvm::Error error);

/// The napi_callback of a function `Result (Call &)`.
template <Result (*function)(Call &), bool answersAfterDispose = false>
napi_value entryPoint(napi_env env, napi_callback_info info) {
  Call call(env, info);
  if (call.js.hasFailed)
    return nullptr; // the environment ends
  Covering covering(call.jit());
  bool isUsable = answersAfterDispose || call.jit().engine;
  Result result = isUsable ? guarded(function, call) : Result(fail(ErrorCode::State, "the Jit is disposed"));
  if (result)
    return *result;
  throwError(call.js, call.jit(), result.takeError());
  return nullptr;
}

/// Adds `function` to the JS object `target`, bound to `jit`.
template <Result (*function)(Call &), bool answersAfterDispose = false>
void bind(const Js &js, napi_value target, const char *name, Jit &jit) {
  napi_value bound = nullptr;
  js.check(napi_create_function(js.env, name, NAPI_AUTO_LENGTH, entryPoint<function, answersAfterDispose>, &jit, &bound));
  js.set(target, name, bound);
}

/// As `bind`, for a function that needs no engine: after `dispose` it answers too.
template <Result (*function)(Call &)>
void bindForEver(const Js &js, napi_value target, const char *name, Jit &jit) {
  bind<function, true>(js, target, name, jit);
}

} // namespace nomad::wrap
