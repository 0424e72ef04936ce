// What the addon exports, and what each environment (main thread or worker) has of its own.
#include "wrap/wrap_interrupt.h"
#include "wrap/wrap_jit.h"

#include "llvm/Config/llvm-config.h"

#include <napi.h>

using namespace nomad::wrap;

static Napi::Object initialise(Napi::Env env, Napi::Object exports) {
  auto destroy = [](napi_env, void *data, void *) { delete static_cast<Environment *>(data); };
  auto *environment = new Environment;
  napi_set_instance_data(env, environment, destroy, nullptr);
  keepCodeToTheEnd(env, *environment);
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
