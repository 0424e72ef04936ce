#include "runtime/code_handlers.h"

#include "base/signals.h"
#include "memory/foreign.h"
#include "stack/code_thread.h"

#include "llvm/ADT/STLExtras.h"

#include <array>
#include <cerrno>
#include <csignal>
#include <dlfcn.h>
#include <utility>

using namespace nomad;
using namespace llvm;

namespace {

using Handler = void (*)(int);

void note(Handler handler) {
  if (handler != SIG_DFL && handler != SIG_IGN)
    codeHandlesSignals = true;
}

constexpr std::array names = {"signal", "bsd_signal", "ssignal", "sysv_signal", "__sysv_signal", "sigset"};

template <size_t which>
Handler install(int signal, Handler handler) {
  static auto *const real = reinterpret_cast<Handler (*)(int, Handler)>(dlsym(RTLD_DEFAULT, names[which]));
  note(handler);
  return real(signal, handler);
}

int installAction(int signal, const struct sigaction *action, struct sigaction *before) {
  struct sigaction read;
  if (action && readForeign(Range::at(Address::of(action), sizeof read), &read) == Reading::Done)
    note(read.sa_handler);
  return sigaction(signal, action, before);
}

// On a thread of JS ours stays, which is larger than any that code has, and code's handlers run there. What code has given is
// what it gets back.
int setAlternateStack(const stack_t *stack, stack_t *before) {
  static thread_local stack_t given{nullptr, SS_DISABLE, 0};
  stack_t wanted = given;
  if (!codeThread() || !ensureAlternateStack())
    return sigaltstack(stack, before);
  if (stack && readForeign(Range::at(Address::of(stack), sizeof wanted), &wanted) != Reading::Done)
    return errno = EFAULT, -1;
  constexpr size_t least = 2048; // to the kernel
  if (!(wanted.ss_flags & SS_DISABLE) && wanted.ss_size < least)
    return errno = ENOMEM, -1;
  if (before)
    *before = given;
  given = wanted;
  return 0;
}

template <size_t... which>
const void *installer(size_t index, std::index_sequence<which...>) {
  static constexpr std::array all{&install<which>...};
  return reinterpret_cast<const void *>(all[index]);
}

} // namespace

std::optional<Address> nomad::findHandlerFunction(StringRef name) {
  if (name == "sigaction")
    return Address::of(reinterpret_cast<const void *>(&installAction));
  if (name == "sigaltstack")
    return Address::of(reinterpret_cast<const void *>(&setAlternateStack));
  const auto *found = llvm::find(names, name);
  if (found == names.end() || !dlsym(RTLD_DEFAULT, *found))
    return std::nullopt;
  return Address::of(installer(static_cast<size_t>(found - names.begin()), std::make_index_sequence<names.size()>()));
}
