#include "run/activation.h"

#include <pthread.h>

using namespace nomad;

constinit thread_local ActivationChain nomad::activationChain;

namespace {

// Of the main thread, whose stack grows, it is as much as its limit allows.
Range stackOfThread() {
  pthread_attr_t attributes;
  void *base = nullptr;
  std::size_t size = 0;
  if (pthread_getattr_np(pthread_self(), &attributes) == 0) {
    pthread_attr_getstack(&attributes, &base, &size);
    pthread_attr_destroy(&attributes);
  }
  return Range::at(Address::of(base), size);
}

} // namespace

ActivationChain &nomad::threadActivations() {
  if (activationChain.stack.size() == 0)
    activationChain.stack = stackOfThread();
  return activationChain;
}
