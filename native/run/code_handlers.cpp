#include "run/code_handlers.h"

#include "memory/foreign.h"

#include "llvm/ADT/StringSwitch.h"

#include <array>
#include <csignal>
#include <dlfcn.h>

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

template <typename Function>
const void *at(Function *function) {
  return reinterpret_cast<const void *>(function);
}

} // namespace

std::optional<Address> nomad::findHandlerFunction(StringRef name) {
  const void *found = StringSwitch<const void *>(name)
                          .Case("sigaction", at(installAction))
                          .Case("signal", at(install<0>))
                          .Case("bsd_signal", at(install<1>))
                          .Case("ssignal", at(install<2>))
                          .Case("sysv_signal", at(install<3>))
                          .Case("__sysv_signal", at(install<4>))
                          .Case("sigset", at(install<5>))
                          .Default(nullptr);
  bool exists = found && dlsym(RTLD_DEFAULT, name.str().c_str());
  return exists ? std::optional(Address::of(found)) : std::nullopt;
}
