// interrupt, withTimeout: how code is stopped, and that it stops when its environment ends.
#include "wrap/wrap_interrupt.h"

#include "fault/interrupt.h"
#include "wrap/call.h"

#include <unistd.h>

using namespace nomad;
using namespace nomad::wrap;
using namespace llvm;

namespace {

// withTimeout(milliseconds, function). Here, because a `finally` in JS would not run if JS is ended, or has no stack left.
Result withTimeout(Call &call) {
  auto limit = TimeLimit::start(call.uint32(0));
  if (!limit)
    return limit.takeError();
  napi_value result = nullptr;
  call.js.check(napi_call_function(call.js.env, call.js.undefined(), call.argument(1), 0, nullptr, &result));
  return result;
}

// Asks for what can't be, so that nothing happens; but first Node looks whether it may happen.
bool canRunJs(void *environment) {
  return napi_get_property(static_cast<napi_env>(environment), nullptr, nullptr, nullptr) == napi_invalid_arg;
}

} // namespace

void nomad::wrap::addInterrupts(const Js &js, napi_value target, Jit &jit) {
  js.set(target, "id", js.number(jit.engine->id()));
  bind<withTimeout>(js, target, "withTimeout", jit);
}

// A main thread's environment ends when its own code says so.
Error nomad::wrap::stopCodeWith(napi_env env) {
  return getpid() == gettid() ? Error::success() : stopWithEnvironment(canRunJs, env);
}

// interrupt(jit): whether there was code to stop. Belongs to no Jit: that one's is on another thread.
napi_value nomad::wrap::interrupt(napi_env env, napi_callback_info info) {
  Js js{env};
  size_t count = 1;
  napi_value jit = nullptr;
  js.check(napi_get_cb_info(env, info, &count, &jit, nullptr, nullptr));
  auto found = interruptCode(js.uint32(jit));
  return found ? js.boolean(*found) : js.text(messageOf(found.takeError()));
}
