// Stopping code, for wrap_jit.cpp and addon.cpp.
#pragma once

#include "wrap/wrap_jit.h"

namespace nomad::wrap {

void addInterrupts(const Js &js, napi_value target, Jit &jit);

/// Code that runs when its environment is ended is stopped. Errors: State.
llvm::Error stopCodeWith(napi_env env);

/// interrupt(jit id): a boolean, or a message why nothing can be stopped.
napi_value interrupt(napi_env env, napi_callback_info info);

} // namespace nomad::wrap
