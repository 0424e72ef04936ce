#include "runtime/runtime_support.h"

#include "fault/leave.h"
#include "runtime/thread_locals.h"

#include "llvm/ADT/DenseMap.h"

#include <mutex>
#include <thread>

using namespace nomad;
using namespace llvm;

// libgcc's knowledge of the processor, which resolvers of ifuncs ask for and which only its static part has.
extern "C" {
int __cpu_indicator_init();
extern char __cpu_model[];
extern unsigned __cpu_features2[];
}

namespace {

// ---- exit handlers ----

std::mutex teardownMutex;
// With the thread of each.
DenseMap<Teardown *, std::thread::id> &liveTeardowns() {
  static DenseMap<Teardown *, std::thread::id> teardowns;
  return teardowns;
}

// __cxa_atexit(function, argument, dso): dso is the address of the module's __dso_handle, which is its Teardown. A module that
// passes another handle gets an error, as from a C library that is out of memory: there would be no time at which to run the
// handler.
int registerExitHandler(void (*function)(void *), void *argument, void *dso) {
  std::lock_guard lock(teardownMutex);
  auto *teardown = static_cast<Teardown *>(dso);
  if (!liveTeardowns().contains(teardown))
    return -1;
  teardown->exitHandlers.push_back({function, argument});
  return 0;
}

// __cxa_thread_atexit, for the destructor of a thread-local object.
int registerThreadExitHandler(void (*function)(void *), void *argument, void *dso) {
  std::lock_guard lock(teardownMutex);
  auto live = liveTeardowns().find(static_cast<Teardown *>(dso));
  if (live == liveTeardowns().end())
    return -1;
  addThreadExitHandler(*live->first, live->second, {function, argument});
  return 0;
}

} // namespace

std::optional<Address> nomad::findRuntimeSupport(StringRef name) {
  if (name == "__cxa_atexit")
    return Address::of(reinterpret_cast<const void *>(&registerExitHandler));
  if (name == "__cxa_thread_atexit")
    return Address::of(reinterpret_cast<const void *>(&registerThreadExitHandler));
  if (name == "__emutls_get_address")
    return threadLocalSupport();
  if (name == "__cpu_indicator_init")
    return Address::of(reinterpret_cast<const void *>(&__cpu_indicator_init));
  if (name == "__cpu_model")
    return Address::of(&__cpu_model);
  if (name == "__cpu_features2")
    return Address::of(&__cpu_features2);
  return findPersonality(name);
}

void nomad::announceTeardown(Teardown &teardown) {
  std::lock_guard lock(teardownMutex);
  liveTeardowns().insert({&teardown, std::this_thread::get_id()});
}

void nomad::retireTeardown(Teardown &teardown) {
  std::lock_guard lock(teardownMutex);
  liveTeardowns().erase(&teardown);
}

void nomad::runExitHandlers(Teardown &teardown, function_ref<void(const Teardown::ExitHandler &)> run) {
  while (auto handler = takeThreadExitHandler(teardown))
    run(*handler);
  while (!teardown.exitHandlers.empty()) {
    Teardown::ExitHandler handler = teardown.exitHandlers.back();
    teardown.exitHandlers.pop_back();
    run(handler);
    while (auto late = takeThreadExitHandler(teardown))
      run(*late);
  }
}
