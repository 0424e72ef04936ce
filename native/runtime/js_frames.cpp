#include "runtime/js_frames.h"

#include "runtime/setjmp.h"
#include "stack/code_frames.h"
#include "stack/other_stacks.h"

#include <cstdio>
#include <cstdlib>
#include <pthread.h>
#include <string>

using namespace nomad;

namespace {

// JS frames lie between a waiting activation and what is called above it, and below the frame of every call thunk.
bool crossesJs(Address to) {
  const ActivationChain &chain = activationChain;
  if (!chain.stack.contains(to) || (chain.hasStackWithin && otherStackAt(to)))
    return false;
  bool crossesThunk = chain.entryFrame != Address() && chain.entryFrame < to;
  return crossesThunk || (chain.innermost && chain.innermost->frame() < to);
}

// Of this thread; it may have gone to another stack since.
struct Refused {
  Address returnsTo;
  std::string what;
};
thread_local Refused refused;

[[noreturn]] void refuseHere() {
  refuseAt(refused.returnsTo, refused.what);
  std::fprintf(stderr, "nomad-jit: in code that can't be left: %s\n", refused.what.c_str());
  std::abort();
}

[[noreturn]] void refuseOnOwnStack() {
  refused.returnsTo = ownStackWaitsAt()->instruction;
  refuseHere();
}

// `returnsTo`: where the code goes on that called.
[[noreturn]] void refuse(Address returnsTo, std::string what) {
  refused = {returnsTo, std::move(what)};
  goOnAtOwnStack(refuseOnOwnStack);
  refuseHere();
}

template <typename Result>
[[noreturn]] void exitThread(Result result) {
  if (activationChain.innermost || activationChain.entryFrame != Address())
    refuse(Address::of(__builtin_return_address(0)), "the end of a thread that runs JS: it can't be left so");
  pthread_exit(reinterpret_cast<void *>(static_cast<std::intptr_t>(result)));
}

} // namespace

void nomad::refuseOverJs(Address to, const FrameContext &from, const char *what) {
  if (crossesJs(to))
    refuse(from.instruction, std::string(what) + " over the frames of JS functions: they can't be left so");
}

std::optional<Address> nomad::findThreadExit(llvm::StringRef name) {
  if (name == "pthread_exit")
    return Address::of(reinterpret_cast<const void *>(&exitThread<std::intptr_t>));
  if (name == "thrd_exit")
    return Address::of(reinterpret_cast<const void *>(&exitThread<int>));
  return std::nullopt;
}
