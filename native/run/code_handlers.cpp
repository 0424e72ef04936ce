#include "run/code_handlers.h"

#include "memory/foreign.h"

#include "llvm/ADT/STLExtras.h"

#include <array>
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

template <size_t... which>
const void *installer(size_t index, std::index_sequence<which...>) {
  static constexpr std::array all{&install<which>...};
  return reinterpret_cast<const void *>(all[index]);
}

} // namespace

std::optional<Address> nomad::findHandlerFunction(StringRef name) {
  if (name == "sigaction")
    return Address::of(reinterpret_cast<const void *>(&installAction));
  const auto *found = llvm::find(names, name);
  if (found == names.end() || !dlsym(RTLD_DEFAULT, *found))
    return std::nullopt;
  return Address::of(installer(static_cast<size_t>(found - names.begin()), std::make_index_sequence<names.size()>()));
}
