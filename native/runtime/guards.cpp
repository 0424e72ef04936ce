#include "runtime/guards.h"

#include <cxxabi.h>
#include <unistd.h>

using namespace nomad;

namespace {

// Itanium C++ ABI, 3.3.3: the first byte says that the variable is initialised, the rest is the runtime's. libstdc++ uses three
// bytes of it; the second half is free. It moves with the variable.
struct Guard {
  std::uint8_t isDone, isPending, isAwaited, unused;
  std::uint32_t thread; // 0: none
};
static_assert(sizeof(Guard) == sizeof(abi::__guard));

Guard &guardAt(abi::__guard *guard) { return *reinterpret_cast<Guard *>(guard); }

std::uint32_t ownThread() {
  static thread_local const auto id = static_cast<std::uint32_t>(gettid());
  return id;
}

// An initialiser that asks for its own variable recurses, until the stack is full.
int acquire(abi::__guard *guard) {
  Guard &ours = guardAt(guard);
  bool isDone = __atomic_load_n(&ours.isDone, __ATOMIC_ACQUIRE) != 0;
  if (!isDone && __atomic_load_n(&ours.thread, __ATOMIC_RELAXED) == ownThread())
    return 1;
  int isMine = abi::__cxa_guard_acquire(guard);
  if (isMine)
    __atomic_store_n(&ours.thread, ownThread(), __ATOMIC_RELAXED);
  return isMine;
}

void release(abi::__guard *guard) {
  __atomic_store_n(&guardAt(guard).thread, 0, __ATOMIC_RELAXED);
  abi::__cxa_guard_release(guard);
}

void abandon(abi::__guard *guard) {
  __atomic_store_n(&guardAt(guard).thread, 0, __ATOMIC_RELAXED);
  abi::__cxa_guard_abort(guard);
}

} // namespace

std::optional<Address> nomad::findGuardFunction(llvm::StringRef name) {
  if (name == "__cxa_guard_acquire")
    return Address::of(reinterpret_cast<const void *>(&acquire));
  if (name == "__cxa_guard_release")
    return Address::of(reinterpret_cast<const void *>(&release));
  if (name == "__cxa_guard_abort")
    return Address::of(reinterpret_cast<const void *>(&abandon));
  return std::nullopt;
}
