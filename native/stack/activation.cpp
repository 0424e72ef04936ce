#include "stack/activation.h"

#include <algorithm>
#include <pthread.h>
#include <sys/resource.h>
#include <unistd.h>

extern "C" void *__libc_stack_end;

using namespace nomad;

constinit thread_local ActivationChain nomad::activationChain;

namespace {

// Where there is no /proc, glibc can't tell. The main thread's begins at __libc_stack_end.
Range mainStack() {
  rlimit limit;
  if (gettid() != getpid() || getrlimit(RLIMIT_STACK, &limit) != 0)
    return {};
  constexpr Size most = 1 << 30, pageBytes = 4096;
  Size size = std::min<Size>(limit.rlim_cur, most);
  Address end = Address::of(roundUp(Address::of(__libc_stack_end).value(), pageBytes));
  return {end.shifted(-static_cast<Delta>(size)), end};
}

// Of the main thread, whose stack grows, it is as much as its limit allows.
Range stackOfThread() {
  pthread_attr_t attributes;
  void *base = nullptr;
  std::size_t size = 0;
  if (pthread_getattr_np(pthread_self(), &attributes) == 0) {
    pthread_attr_getstack(&attributes, &base, &size);
    pthread_attr_destroy(&attributes);
  }
  return size > 0 ? Range::at(Address::of(base), size) : mainStack();
}

} // namespace

ActivationChain &nomad::threadActivations() {
  if (activationChain.stack.size() == 0)
    activationChain.stack = stackOfThread();
  return activationChain;
}
