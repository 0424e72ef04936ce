// What the addon exports, and what each environment (main thread or worker) has of its own.
#include "wrap/wrap_interrupt.h"
#include "wrap/wrap_jit.h"

#include "llvm/Config/llvm-config.h"

#include <napi.h>

#include <utility>

using namespace nomad::wrap;

// V8 (11.3 at least) never calls a finalizer of the environment again once this has happened: it has posted the task that calls
// them, and all FinalizationRegistries that had something to do are collected before the task runs. One that lives for ever, and
// that each collection gives something to do, keeps that from happening to anybody. It is made in the environment's own realm.
static void makeLastingRegistry(napi_env env) {
  constexpr char source[] = "(() => {"
                            "  const guard = new FinalizationRegistry(renew);"
                            "  function renew() { guard.register({}, undefined); }"
                            "  renew();"
                            "  return guard;"
                            "})()";
  napi_value script = nullptr, guard = nullptr, error = nullptr;
  napi_ref held = nullptr;
  if (napi_create_string_utf8(env, source, sizeof source - 1, &script) == napi_ok &&
      napi_run_script(env, script, &guard) == napi_ok)
    napi_create_reference(env, guard, 1, &held);
  else
    napi_get_and_clear_last_exception(env, &error); // a script has taken FinalizationRegistry away
}

// One a thread, however often the addon is loaded there (by jest, once for each test file): V8 serves one registry in a turn of
// the event loop, so each of them makes the finalizers of all others wait for a turn.
static void keepFinalizersGoing(napi_env env) {
  static thread_local bool isKept = false;
  if (std::exchange(isKept, true))
    return;
  makeLastingRegistry(env);
  napi_add_env_cleanup_hook(env, [](void *kept) { *static_cast<bool *>(kept) = false; }, &isKept);
}

static Napi::Object initialise(Napi::Env env, Napi::Object exports) {
  auto destroy = [](napi_env, void *data, void *) { delete static_cast<Environment *>(data); };
  auto *environment = new Environment;
  napi_set_instance_data(env, environment, destroy, nullptr);
  keepCodeToTheEnd(env, *environment);
  keepFinalizersGoing(env);
  exports.Set("llvmVersion", LLVM_VERSION_STRING);
  auto add = [&](const char *name, napi_callback callback) {
    napi_value function = nullptr;
    napi_create_function(env, name, NAPI_AUTO_LENGTH, callback, nullptr, &function);
    exports.Set(name, Napi::Value(env, function));
  };
  add("createJit", createJit);
  add("functionType", functionType);
  add("interrupt", interrupt);
  return exports;
}

NODE_API_MODULE(nomad_jit, initialise)
