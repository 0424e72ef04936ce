// What compiled C and C++ expects of its platform and can't have from libc when code may be freed: exit handlers that die with
// their code object, and thread-local variables whose initial values may move (see thread_locals.h).
#pragma once

#include "base/address.h"
#include "link/code_object.h"

#include "llvm/ADT/STLFunctionalExtras.h"
#include "llvm/ADT/StringRef.h"

#include <optional>

namespace nomad {

/// `__cxa_atexit`, `__cxa_thread_atexit`, `__emutls_get_address`, `__gxx_personality_v0`: ours. `__cpu_model` and what belongs to
/// it: libgcc's, in which it is hidden.
std::optional<Address> findRuntimeSupport(llvm::StringRef name);

/// From now on, until `retireTeardown`, code may register exit handlers with this `__dso_handle`.
void announceTeardown(Teardown &teardown);
void retireTeardown(Teardown &teardown);

/// Removes exit handlers and has `run` call them: destructors of thread-local objects of all threads first, then the last one
/// registered first; those they register too.
void runExitHandlers(Teardown &teardown, llvm::function_ref<void(const Teardown::ExitHandler &)> run);

} // namespace nomad
