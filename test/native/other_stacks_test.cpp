// Stacks of coroutines. Oracle: words that the test itself writes and overwrites.
#include "stack/activation.h"
#include "stack/exception_state.h"
#include "stack/other_stacks.h"
#include "support.h"

#include <algorithm>
#include <sys/mman.h>
#include <ucontext.h>

using namespace nomad;

namespace {

constexpr Size stackBytes = 4096;

std::vector<Range> waiting() {
  std::vector<Range> ranges;
  CHECK(everyWaitingStack([&](const WaitingStack &stack) { return ranges.push_back(stack.filled), true; }));
  return ranges;
}

bool isWaiting(Range stack) {
  return std::ranges::count_if(waiting(), [=](Range each) { return each.base == stack.base && each.limit == stack.limit; }) == 1;
}

Address here() { return Address::of(__builtin_frame_address(0)); }
FrameContext at(Address stackPointer) {
  FrameContext context{};
  context.stack = stackPointer;
  return context;
}

// In memory of its own, which is given back.
struct Coroutine {
  Coroutine() {
    threadActivations();
    memory = mmap(nullptr, stackBytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    getcontext(&context);
    context.uc_stack.ss_sp = memory;
    context.uc_stack.ss_size = stackBytes;
    void (*function)() = [] {};
    makecontext(&context, function, 0);
    noteStack(stack(), &context, Address::of(reinterpret_cast<const void *>(function)), here());
  }
  ~Coroutine() {
    munmap(memory, stackBytes);
    everyWaitingStack([](const WaitingStack &) { return false; });
  }
  Range stack() const { return Range::at(Address::of(memory), stackBytes); }
  Address begin() const { return Address::of(static_cast<std::uint64_t>(context.uc_mcontext.gregs[REG_RSP])); }

  void *memory;
  ucontext_t context;
};

} // namespace

TEST_CASE("other stacks: all of one counts that has not begun, or was left nobody knows how") {
  Coroutine it;
  CHECK(isWaiting(it.stack()));
  noteSwitch(at(here()), it.begin(), Leaving::Saved);
  CHECK(isWaiting(it.stack()));
}

TEST_CASE("other stacks: what was left counts from there on, as long as the word is there by which that call returns") {
  Coroutine it;
  noteSwitch(at(here()), it.begin(), Leaving::Saved);
  Address from = it.stack().base + 1024;
  auto *word = from.shifted(-8).pointer<std::uint64_t>();
  *word = 42;
  noteSwitch(at(from), here(), Leaving::Saved);
  CHECK(isWaiting({from.shifted(-8), it.stack().limit}));
  *word = 43;
  CHECK(isWaiting(it.stack()));
  *word = 42;
  noteSwitch(at(here()), from, Leaving::Saved); // back again: it may be left unseen
  CHECK(isWaiting(it.stack()));
}

TEST_CASE("other stacks: one is over when its function has returned, and only then") {
  Coroutine it;
  auto *word = it.begin().pointer<std::uint64_t>();
  std::uint64_t returnsTo = *word;
  noteSwitch(at(here()), it.begin().shifted(-64), Leaving::Saved); // it goes on somewhere
  CHECK(isWaiting(it.stack()));
  *word = 1;
  CHECK(waiting().empty());
  *word = returnsTo;
}

TEST_CASE("other stacks: where one begins is known from its context, also if it begins unseen") {
  Coroutine it, unknown;
  noteStack(unknown.stack(), &unknown.context, Address(), here()); // another function's
  CHECK(waiting().size() == 2);
  *it.begin().pointer<std::uint64_t>() = 1;
  *unknown.begin().pointer<std::uint64_t>() = 1;
  CHECK(waiting().size() == 1);
  CHECK(isWaiting(unknown.stack()));
}

TEST_CASE("other stacks: in an array of a stack that waits, nothing is known until it is over") {
  alignas(16) std::byte array[4096];
  threadActivations();
  ucontext_t context;
  getcontext(&context);
  context.uc_stack.ss_sp = array;
  context.uc_stack.ss_size = sizeof array;
  void (*function)() = [] {};
  makecontext(&context, function, 0);
  noteStack(Range::at(Address::of(array), sizeof array), &context, Address::of(reinterpret_cast<const void *>(function)), here());
  CHECK(activationChain.hasStackWithin);
  CHECK(otherStackAt(Address::of(array + 64)));
  CHECK_FALSE(otherStackAt(here()));
  CHECK_FALSE(everyWaitingStack([](const WaitingStack &) { return true; }));
  *Address::of(static_cast<std::uint64_t>(context.uc_mcontext.gregs[REG_RSP])).pointer<std::uint64_t>() = 1;
  CHECK(everyWaitingStack([](const WaitingStack &) { return true; }));
  CHECK(waiting().empty());
  CHECK_FALSE(otherStackAt(Address::of(array + 64)));
}

TEST_CASE("other stacks: memory that is given to another, or back, is forgotten") {
  Coroutine it;
  Range half{it.stack().base + stackBytes / 2, it.stack().limit};
  noteStack(half, &it.context, Address(), here());
  CHECK(waiting().size() == 1);
  CHECK(isWaiting(half));
  everyWaitingStack([](const WaitingStack &) { return false; });
  CHECK(waiting().empty());
}

TEST_CASE("other stacks: a stack pointer is on the stack with the word below it, or near one that is full") {
  Coroutine it;
  CHECK(otherStackAt(it.stack().limit));
  CHECK_FALSE(otherStackAt(it.stack().limit + 8));
  CHECK(otherStackAt(it.stack().base + 8));
  CHECK_FALSE(otherStackAt(it.stack().base)); // a frame may end where an array of its own begins
  CHECK(otherStackAt(it.stack().base, 8));
  CHECK(otherStackAt(it.stack().base.shifted(-64), 128));
  CHECK_FALSE(otherStackAt(it.stack().base.shifted(-64), 64));
}

TEST_CASE("other stacks: the thread's own waits where it was left, while the word is there by which that call returns") {
  Coroutine it;
  std::uint64_t words[2] = {42, 0};
  FrameContext left = at(Address::of(&words[1]));
  left.instruction = Address::of(std::uint64_t{42});
  left.rbx = 7;
  noteSwitch(left, it.begin(), Leaving::Saved);
  REQUIRE(ownStackWaitsAt());
  CHECK(ownStackWaitsAt()->rbx == 7);
  CHECK(ownStackWaitsAt()->stack == left.stack);
  noteSwitch(at(it.stack().limit.shifted(-64)), it.begin(), Leaving::Saved); // from there to another
  CHECK(ownStackWaitsAt()->stack == left.stack);
  words[0] = 43;
  CHECK_FALSE(ownStackWaitsAt());
}

TEST_CASE("other stacks: exceptions that are on their way on a coroutine's are counted apart, and dropped with it") {
  Coroutine it;
  ExceptionState before = exceptionState();
  noteSwitch(at(here()), it.begin(), Leaving::Saved);
  exceptionState().onTheirWay += 3;
  noteSwitch(at(it.stack().limit.shifted(-64)), here(), Leaving::Saved);
  CHECK(exceptionState().onOtherStacks == before.onOtherStacks + 3);
  restoreExceptionState(before);
  CHECK(exceptionState().onTheirWay == before.onTheirWay + 3); // they go on with it
  noteSwitch(at(here()), it.begin(), Leaving::Saved);
  exceptionState().onTheirWay += 5;
  returnToOwnStack();
  CHECK(exceptionState().onTheirWay == before.onTheirWay + 3);
  CHECK(exceptionState().onOtherStacks == before.onOtherStacks + 3);
  exceptionState() = before;
}

TEST_CASE("other stacks: an exception that a coroutine handles stays when code is left, others are ended") {
  static int alive = 0;
  struct Value {
    Value() { ++alive; }
    Value(const Value &) { ++alive; }
    ~Value() { --alive; }
  };
  Coroutine it;
  ExceptionState before = exceptionState();
  try {
    throw Value();
  } catch (Value &) { // of this stack
    void *first = exceptionState().handled;
    noteSwitch(at(here()), it.begin(), Leaving::Saved);
    try {
      throw Value();
    } catch (Value &) { // of the other one
      void *theirs = exceptionState().handled;
      noteSwitch(at(it.stack().limit.shifted(-64)), here(), Leaving::Saved);
      REQUIRE(theirs != first);
      restoreExceptionState(before);
      CHECK(exceptionState().handled == theirs);
      CHECK(alive == 1);
    }
    CHECK(alive == 0);
    CHECK(exceptionState().handled == nullptr); // so the end of this block finds nothing to end
  }
}
