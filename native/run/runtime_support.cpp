#include "run/runtime_support.h"

#include "base/error.h"
#include "run/leave.h"
#include "run/thread_locals.h"

#include "llvm/ADT/DenseMap.h"
#include "llvm/ADT/StringExtras.h"

#include <cstdlib>
#include <cxxabi.h>
#include <exception>
#include <memory>
#include <mutex>
#include <thread>
#include <typeinfo>
#include <unwind.h>

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
// passes another handle gets an error, as from a C library that is out of memory: nobody would know when to run the handler.
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

std::string nomad::typeName(const std::type_info &type) {
  std::unique_ptr<char, void (*)(void *)> name(abi::__cxa_demangle(type.name(), nullptr, nullptr, nullptr), std::free);
  return name ? name.get() : type.name();
}

namespace {

// Of what is being handled; null if it is none.
const std::exception *currentException() {
  try {
    throw;
  } catch (const std::exception &exception) {
    return &exception;
  } catch (...) {
    return nullptr;
  }
}

// `what` is code, and may be left: by way of here, where nothing catches. Nor may the compiler take it for noexcept, as it is
// declared: then it leaves no way.
std::string describeCurrentException() {
  const std::type_info *type = abi::__cxa_current_exception_type();
  std::string name = type ? typeName(*type) : "of another runtime";
  const std::exception *exception = currentException();
  const char *(std::exception::*what)() const = &std::exception::what;
  return exception ? name + ": " + (exception->*what)() : name;
}

constexpr std::uint64_t classOf(const char (&text)[9]) {
  std::uint64_t value = 0;
  for (int i = 0; i < 8; ++i)
    value = value << 8 | static_cast<std::uint8_t>(text[i]);
  return value;
}

// Whoever catches a panic of Rust and ends it, that is not Rust, is taken for lost: its cleanup aborts. So it is left where it
// is; and so is what ends a thread, whose class glibc leaves 0: a thread that cancels itself.
bool canBeEnded(std::uint64_t exceptionClass) { return exceptionClass != classOf("MOZ\0RUST") && exceptionClass != 0; }

// "MOZ.RUST (0x4d4f5a0052555354)"
std::string describeClass(std::uint64_t exceptionClass) {
  std::string text;
  for (int shift = 56; shift >= 0; shift -= 8) {
    auto byte = static_cast<char>(exceptionClass >> shift);
    text += isPrint(byte) ? byte : '.';
  }
  return text + " (" + hex(exceptionClass) + ")";
}

} // namespace

// The last byte says whether an object is shared by std::exception_ptr.
bool nomad::isOfCpp(std::uint64_t exceptionClass) { return exceptionClass >> 8 == classOf("GNUCC++\0") >> 8; }

// libstdc++ looks in front of an exception for what only its own have there: its functions are asked about those alone.
std::string nomad::takeException(_Unwind_Exception *exception) {
  std::uint64_t exceptionClass = exception->exception_class;
  if (isOfCpp(exceptionClass)) {
    abi::__cxa_begin_catch(exception);
    std::string what = "C++ exception that compiled code did not catch: " + describeCurrentException();
    abi::__cxa_end_catch();
    return what;
  }
  std::string what = "exception of class " + describeClass(exceptionClass) + " that compiled code did not catch";
  if (canBeEnded(exceptionClass))
    _Unwind_DeleteException(exception);
  return what;
}
