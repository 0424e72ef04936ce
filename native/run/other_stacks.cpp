#include "run/other_stacks.h"

#include "base/signal_safe_mutex.h"
#include "memory/foreign.h"
#include "run/activation.h"

#include <cstddef>
#include <map>
#include <mutex>
#include <ucontext.h>

using namespace nomad;

namespace {

// A word, and what it has to be. One that can't be read is none.
struct Witness {
  Address slot; // 0: none
  std::uint64_t value = 0;

  static Witness at(Address slot) {
    Witness witness{slot};
    return readForeign(Range::at(slot, sizeof value), &witness.value) == Reading::Done ? witness : Witness();
  }
  bool exists() const { return slot != Address(); }
  bool holds() const { return exists() && at(slot).value == value; }
};

struct Stack {
  Range range;
  Witness entered; // by what its function returns
  Witness left;    // by what the call returns that left it

  bool isOver() const { return entered.exists() && !entered.holds(); }
  Range filled() const { return left.holds() ? Range{left.slot, range.limit} : range; }
};

// What glibc makes the function of a coroutine return to, which makecontext has written where its stack pointer begins.
std::uint64_t returnOfCoroutines() {
  static const std::uint64_t found = [] {
    static std::byte stack[4096];
    ucontext_t context;
    getcontext(&context);
    context.uc_stack.ss_sp = stack;
    context.uc_stack.ss_size = sizeof stack;
    context.uc_link = nullptr;
    makecontext(&context, [] {}, 0);
    return Witness::at(Address::of(static_cast<std::uint64_t>(context.uc_mcontext.gregs[REG_RSP]))).value;
  }();
  return found;
}

struct Stacks {
  SignalSafeMutex mutex;
  std::map<Address, Stack> all; // by their limits
  bool hasUnknown = false;

  Stack *find(Address stackPointer) {
    auto found = all.upper_bound(stackPointer);
    return found != all.end() && found->second.range.contains(stackPointer) ? &found->second : nullptr;
  }
};

// Of the process. Never destroyed: threads may still switch at its end.
Stacks &known() {
  static auto *const stacks = new Stacks;
  return *stacks;
}

} // namespace

void nomad::noteStack(Range stack) {
  Stacks &stacks = known();
  std::lock_guard lock(stacks.mutex);
  auto other = stacks.all.upper_bound(stack.base);
  while (other != stacks.all.end() && other->second.range.overlaps(stack))
    other = stacks.all.erase(other);
  stacks.all.insert({stack.limit, {stack, {}, {}}});
}

void nomad::noteSwitch(Address from, Address to) {
  Range own = activationChain.stack; // empty on threads that are strangers
  if (own.contains(from) && own.contains(to))
    return;
  Stacks &stacks = known();
  std::lock_guard lock(stacks.mutex);
  Stack *left = stacks.find(from), *next = stacks.find(to);
  if (left)
    left->left = Witness::at(from.shifted(-8));
  if (next) {
    next->left = {}; // it may be left unseen
    if (Witness entered = Witness::at(to); entered.value == returnOfCoroutines())
      next->entered = entered;
  }
  bool isStranger = own.size() == 0 && !left;
  if (!next && !own.contains(to) && !isStranger)
    stacks.hasUnknown = true;
}

bool nomad::everyWaitingStack(llvm::function_ref<bool(Range)> visit) {
  Stacks &stacks = known();
  std::lock_guard lock(stacks.mutex);
  std::erase_if(stacks.all, [=](const auto &each) {
    const Stack &stack = each.second;
    return stack.isOver() || !visit(stack.filled());
  });
  return !stacks.hasUnknown;
}
