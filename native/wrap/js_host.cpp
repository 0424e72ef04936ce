#include "wrap/js_host.h"

#include "wrap/call.h"

#include <utility>

using namespace nomad;
using namespace nomad::wrap;

namespace {

// While code is being left: an array with what the host function threw, or null if JS was ended. The last one is the innermost:
// destructors on the way out may enter code, and leave it. One list for all Jits of a thread: code of one may call another's.
thread_local std::vector<napi_ref> thrown;

} // namespace

JsHost::~JsHost() {
  for (napi_ref function : functions_)
    if (function)
      napi_delete_reference(jit_.env, function);
}

void JsHost::add(HostIndex index, napi_value function) {
  if (functions_.size() <= index)
    functions_.resize(index + 1);
  // Weak: a host function may refer to its Jit, and such a circle must be collectable. lib/code/host-table.ts holds it.
  napi_create_reference(jit_.env, function, 0, &functions_[index]);
}

void JsHost::remove(HostIndex index) {
  if (index < functions_.size() && functions_[index])
    napi_delete_reference(jit_.env, std::exchange(functions_[index], nullptr));
}

// A handle scope for each call: code may call millions of times before it returns to JS.
bool JsHost::call(HostIndex index) {
  napi_env env = jit_.env;
  bool isPending = false;
  if (hasEnded_ || (isBlocked_ && napi_is_exception_pending(env, &isPending) == napi_ok && isPending)) {
    static_cast<std::uint64_t *>(jit_.blockData)[0] = 0;
    return true;
  }
  isBlocked_ = false;
  napi_handle_scope scope;
  if (napi_open_handle_scope(env, &scope) != napi_ok) {
    thrown.push_back(nullptr);
    return false;
  }
  napi_value function = functionOf(index), result = nullptr;
  if (!function)
    uncaught(fail(ErrorCode::State, "a host function has been collected: nothing of JS refers to the code object that calls it"));
  bool hasReturned = function && napi_call_function(env, function, function, 0, nullptr, &result) == napi_ok;
  if (!hasReturned)
    keepException();
  napi_close_handle_scope(env, scope);
  return hasReturned;
}

napi_value JsHost::functionOf(HostIndex index) {
  napi_value function = nullptr;
  napi_get_reference_value(jit_.env, functions_[index], &function);
  return function;
}

// As Node calls callbacks of its own: what is due afterwards (promises, process.nextTick) runs, unless JS is below.
void JsHost::callFromNative(HostIndex index) {
  napi_env env = jit_.env;
  napi_handle_scope scope;
  bool hasReturned = false;
  if (!hasEnded_ && napi_open_handle_scope(env, &scope) == napi_ok) {
    napi_value function = functionOf(index), result = nullptr;
    hasReturned = function && napi_make_callback(env, nullptr, function, function, 0, nullptr, &result) == napi_ok;
    if (!hasReturned)
      reportException();
    napi_close_handle_scope(env, scope);
  }
  if (!hasReturned)
    static_cast<std::uint64_t *>(jit_.blockData)[0] = 0;
}

// To process.on('uncaughtException'), or to the process's end.
void JsHost::reportException() {
  bool isPending = false;
  napi_value exception = nullptr;
  if (napi_is_exception_pending(jit_.env, &isPending) == napi_ok && isPending &&
      napi_get_and_clear_last_exception(jit_.env, &exception) == napi_ok)
    napi_fatal_exception(jit_.env, exception);
}

void JsHost::willThrow(llvm::Error error) {
  if (hasEnded_) {
    thrown.push_back(nullptr);
    return consumeError(std::move(error));
  }
  Js js{jit_.env};
  thrown.push_back(nullptr);
  napi_value holder = js.array(1);
  js.setElement(holder, 0, makeError(js, jit_, std::move(error)));
  napi_create_reference(js.env, holder, 1, &thrown.back());
}

// None is there if JS was ended (worker.terminate).
void JsHost::keepException() {
  Js js{jit_.env};
  napi_value exception = nullptr;
  bool isPending = false;
  thrown.push_back(nullptr);
  if (!js.check(napi_is_exception_pending(js.env, &isPending)) || !isPending)
    return;
  if (!js.check(napi_get_and_clear_last_exception(js.env, &exception)))
    return;
  napi_value holder = js.array(1);
  js.setElement(holder, 0, exception);
  napi_create_reference(js.env, holder, 1, &thrown.back());
}

void JsHost::left() {
  isBlocked_ = true;
  napi_ref held = thrown.empty() ? nullptr : thrown.back();
  if (!thrown.empty())
    thrown.pop_back();
  if (!held)
    return;
  Js js{jit_.env};
  napi_value holder = nullptr;
  js.check(napi_get_reference_value(js.env, held, &holder));
  napi_throw(js.env, js.element(holder, 0));
  napi_delete_reference(js.env, held);
}

void JsHost::uncaught(llvm::Error error) {
  if (hasEnded_)
    return consumeError(std::move(error));
  throwError(Js{jit_.env}, jit_, std::move(error));
}

void JsHost::drop() {
  bool isPending = false;
  napi_value exception = nullptr;
  if (napi_is_exception_pending(jit_.env, &isPending) == napi_ok && isPending)
    napi_get_and_clear_last_exception(jit_.env, &exception);
  isBlocked_ = false;
}
