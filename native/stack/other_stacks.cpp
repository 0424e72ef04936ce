#include "stack/other_stacks.h"

#include "base/signal_safe.h"
#include "memory/foreign.h"
#include "stack/activation.h"
#include "stack/exception_state.h"

#include <atomic>
#include <csignal>
#include <cstddef>
#include <cstring>
#include <map>

using namespace nomad;

// What glibc has there expects the address of the word with the next context in rbx, and so does this. The stack ends here for
// unwinders, which look for the instruction before.
asm(R"(
  .text
  .p2align 4
  .globl nomad_coroutine_end
  .hidden nomad_coroutine_end
  .type nomad_coroutine_end, @function
  .cfi_startproc
  .cfi_undefined %rip
  nop
nomad_coroutine_end:
  movq %rbx, %rsp
  movq (%rbx), %rdi
  movq %rbx, %rsi
  call nomad_note_end
  jmpq *nomad_process_begin(%rip)
nomad_coroutine_end_limit:
  .cfi_endproc
  .size nomad_coroutine_end, .-nomad_coroutine_end
  .globl nomad_coroutine_end_limit
  .hidden nomad_coroutine_end_limit
)");

extern "C" {
void nomad_coroutine_end();
void nomad_coroutine_end_limit();
__attribute__((visibility("hidden"))) std::uint64_t nomad_process_begin;
}

namespace {

Address coroutineEnd() { return Address::of(reinterpret_cast<const void *>(&nomad_coroutine_end)); }

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

Address stackPointerOf(const ucontext_t &context) {
  return Address::of(static_cast<std::uint64_t>(context.uc_mcontext.gregs[REG_RSP]));
}

// Where glibc's makecontext has a coroutine's function return to.
Address processBegin() {
  static const Address found = [] {
    static std::byte stack[4096];
    ucontext_t context;
    getcontext(&context);
    context.uc_stack.ss_sp = stack;
    context.uc_stack.ss_size = sizeof stack;
    context.uc_link = nullptr;
    makecontext(&context, [] {}, 0);
    return Address::of(Witness::at(stackPointerOf(context)).value);
  }();
  return found;
}

struct Stack {
  Range range;
  const ucontext_t *context; // where it begins
  Address function;
  bool isWithin;   // another one, or the thread's own
  Witness entered; // by what its function returns
  Witness left;    // by what the call returns that left it

  bool isOver() const { return entered.exists() && !entered.holds(); }
  Range filled() const { return left.holds() ? Range{left.slot, range.limit} : range; }
  /// Where it begins is in its context, from makecontext's return until it has begun.
  void findBegin();
  void noteArrival(Address stackPointer) {
    if (Witness word = Witness::at(stackPointer); isBeginOfCoroutine(Address::of(word.value)))
      entered = word;
  }
};

void Stack::findBegin() {
  ucontext_t begin;
  constexpr Size registersEnd = offsetof(ucontext_t, uc_mcontext) + sizeof begin.uc_mcontext.gregs;
  if (readForeign(Range::at(Address::of(context), registersEnd), &begin) == Reading::Done &&
      Address::of(static_cast<std::uint64_t>(begin.uc_mcontext.gregs[REG_RIP])) == function &&
      range.contains(stackPointerOf(begin)))
    noteArrival(stackPointerOf(begin));
  if (entered.value == processBegin().value()) {
    entered.value = coroutineEnd().value();
    *entered.slot.pointer<std::uint64_t>() = entered.value; // where makecontext has just written
  }
}

// Whose thread holds it: the handler of a fault in there must not wait for itself.
constinit thread_local bool holdsStacks __attribute__((tls_model("initial-exec"))) = false;

struct Stacks {
  void lock() {
    mutex.lock();
    holdsStacks = true;
  }
  void unlock() {
    holdsStacks = false;
    mutex.unlock();
  }

  SignalSafeMutex mutex;
  SignalSafeMemory memory;
  std::pmr::map<Address, Stack> all{memory.pool()}; // by their limits
  std::atomic<bool> hasUnknown = false;             // read without the mutex, too

  /// The stack with the word below the stack pointer, or one that ends up to `beyond` bytes above it: a frame that waits may have
  /// an array at its end which is another stack.
  Stack *find(Address stackPointer, Size beyond = 0) {
    for (auto each = all.lower_bound(stackPointer); each != all.end(); ++each) {
      if (each->second.range.base < stackPointer + beyond)
        return &each->second;
      if (!each->second.isWithin)
        break;
    }
    return nullptr;
  }
  /// Memory that a stack is now given was others' before, unless the coroutine that gives it runs there.
  void forgetAt(Range stack, Address from) {
    std::erase_if(all, [=](const auto &each) {
      Range other = each.second.range;
      return other.overlaps(stack) && !(other.contains(stack) && other.contains(from));
    });
  }
};

// Of the process. Never destroyed: threads may still switch at its end.
Stacks &known() {
  static auto *const stacks = new Stacks;
  return *stacks;
}

// Is there anything to know? Asked without the mutex.
std::atomic<bool> isUsed = false;

// The limit of the stack whose begin the thread's next call here can find out; and where its own stack was left last.
// Initial-exec: a signal handler must not have them allocated.
thread_local Address unbegun __attribute__((tls_model("initial-exec")));
struct OwnStack {
  FrameContext waitsAt;
  std::uint64_t blockedSignals; // when it was left, as the kernel has them
};
constinit thread_local OwnStack ownStack __attribute__((tls_model("initial-exec"))) = {};

void findBegin(Stacks &stacks) {
  if (auto found = stacks.all.find(unbegun); found != stacks.all.end())
    found->second.findBegin();
  unbegun = Address();
}

} // namespace

bool nomad::isBeginOfCoroutine(Address instruction) {
  Range ours{coroutineEnd(), Address::of(reinterpret_cast<const void *>(&nomad_coroutine_end_limit))};
  return ours.contains(instruction) || instruction == processBegin();
}

void nomad::prepareOtherStacks() {
  known();
  nomad_process_begin = processBegin().value();
}

void nomad::noteStack(Range stack, const ucontext_t *context, Address function, Address from) {
  Stacks &stacks = known();
  std::lock_guard lock(stacks);
  isUsed.store(true);
  findBegin(stacks);
  stacks.forgetAt(stack, from);
  bool isWithinOwn = activationChain.stack.overlaps(stack);
  activationChain.hasStackWithin |= isWithinOwn;
  bool isWithin = isWithinOwn || stacks.find(stack.base) != nullptr;
  bool isNew = stacks.all.insert({stack.limit, {stack, context, function, isWithin, {}, {}}}).second;
  if (!isNew)
    stacks.hasUnknown = true;
  unbegun = stack.limit;
}

void nomad::noteSwitch(const FrameContext &context, Address to, Leaving leaving) {
  Range own = activationChain.stack; // empty on threads that are strangers
  Address from = context.stack;
  if (own.contains(from) && own.contains(to) && !isUsed.load())
    return;
  Stacks &stacks = known();
  std::lock_guard lock(stacks);
  findBegin(stacks);
  Stack *left = stacks.find(from), *next = stacks.find(to);
  if (left) {
    left->left = Witness::at(from.shifted(-8));
    leaveOtherStack(false);
  } else if (own.contains(from)) {
    ownStack = {context, stacks.mutex.blockedBefore()};
  }
  if (next) {
    next->left = {}; // it may be left unseen
    next->noteArrival(to);
    enterOtherStack();
  }
  bool isStranger = own.size() == 0 && !left;
  bool isToUnknown = !next && !own.contains(to), isFromUnknown = !left && !own.contains(from);
  if (left && leaving == Leaving::Over)
    stacks.all.erase(left->range.limit);
  if (!isStranger && (isToUnknown || (isFromUnknown && leaving == Leaving::Saved)))
    stacks.hasUnknown = true;
}

std::optional<FrameContext> nomad::ownStackWaitsAt() {
  const FrameContext &context = ownStack.waitsAt;
  if (context.stack == Address() || Witness::at(context.stack.shifted(-8)).value != context.instruction.value())
    return std::nullopt;
  return context;
}

// An array of a frame that is gone.
static bool isGone(const Stack &stack) {
  Address here = Address::of(__builtin_frame_address(0));
  Range own = activationChain.stack;
  return own.contains(here) && own.contains(stack.range) && stack.range.limit <= here;
}

bool nomad::everyWaitingStack(llvm::function_ref<bool(const WaitingStack &)> visit) {
  if (!isUsed.load() && !known().hasUnknown)
    return true;
  Stacks &stacks = known();
  std::lock_guard lock(stacks);
  findBegin(stacks);
  bool isKnown = !stacks.hasUnknown;
  std::erase_if(stacks.all, [&](const auto &each) {
    const Stack &stack = each.second;
    if (stack.isOver() || isGone(stack))
      return true;
    isKnown = isKnown && !stack.isWithin;
    return !visit({stack.range, stack.filled()});
  });
  return isKnown;
}

void nomad::returnToOwnStack() {
  leaveOtherStack(true);
  sigset_t mask;
  sigemptyset(&mask);
  std::memcpy(&mask, &ownStack.blockedSignals, sizeof ownStack.blockedSignals);
  pthread_sigmask(SIG_SETMASK, &mask, nullptr);
}

std::optional<Range> nomad::otherStackAt(Address stackPointer, Size beyond) {
  if (holdsStacks)
    return std::nullopt;
  Stacks &stacks = known();
  std::lock_guard lock(stacks);
  Stack *stack = stacks.find(stackPointer, beyond);
  return stack && !stack->isOver() && !isGone(*stack) ? std::optional(stack->range) : std::nullopt;
}
