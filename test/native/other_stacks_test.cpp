// Stacks of coroutines. Oracle: words that the test itself writes and overwrites.
#include "run/activation.h"
#include "run/other_stacks.h"
#include "support.h"

#include <algorithm>
#include <sys/mman.h>
#include <ucontext.h>

using namespace nomad;

namespace {

constexpr Size stackBytes = 4096;

std::vector<Range> waiting() {
  std::vector<Range> ranges;
  CHECK(everyWaitingStack([&](Range stack) { return ranges.push_back(stack), true; }));
  return ranges;
}

bool isWaiting(Range stack) {
  return std::ranges::count_if(waiting(), [=](Range each) { return each.base == stack.base && each.limit == stack.limit; }) == 1;
}

// In memory of its own, which is given back.
struct Coroutine {
  Coroutine() {
    threadActivations();
    memory = mmap(nullptr, stackBytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    getcontext(&context);
    context.uc_stack.ss_sp = memory;
    context.uc_stack.ss_size = stackBytes;
    makecontext(&context, [] {}, 0);
    noteStack(stack());
  }
  ~Coroutine() {
    munmap(memory, stackBytes);
    everyWaitingStack([](Range) { return false; });
  }
  Range stack() const { return Range::at(Address::of(memory), stackBytes); }
  Address begin() const { return Address::of(static_cast<std::uint64_t>(context.uc_mcontext.gregs[REG_RSP])); }

  void *memory;
  ucontext_t context;
};

Address here() { return Address::of(__builtin_frame_address(0)); }

} // namespace

TEST_CASE("other stacks: all of one counts that has not begun, or was left nobody knows how") {
  Coroutine it;
  CHECK(isWaiting(it.stack()));
  noteSwitch(here(), it.begin());
  CHECK(isWaiting(it.stack()));
}

TEST_CASE("other stacks: what was left counts from there on, as long as the word is there by which that call returns") {
  Coroutine it;
  noteSwitch(here(), it.begin());
  Address from = it.stack().base + 1024;
  auto *word = from.shifted(-8).pointer<std::uint64_t>();
  *word = 42;
  noteSwitch(from, here());
  CHECK(isWaiting({from.shifted(-8), it.stack().limit}));
  *word = 43;
  CHECK(isWaiting(it.stack()));
  *word = 42;
  noteSwitch(here(), from); // back again: it may be left unseen
  CHECK(isWaiting(it.stack()));
}

TEST_CASE("other stacks: one is over when its function has returned, and only then") {
  Coroutine it;
  auto *word = it.begin().pointer<std::uint64_t>();
  std::uint64_t returnsTo = *word;
  noteSwitch(here(), it.begin().shifted(-64)); // not where it begins
  *word = 1;
  CHECK(isWaiting(it.stack()));
  *word = returnsTo;
  noteSwitch(here(), it.begin());
  CHECK(isWaiting(it.stack()));
  *word = 1;
  CHECK(waiting().empty());
}

TEST_CASE("other stacks: memory that is given to another, or back, is forgotten") {
  Coroutine it;
  Range half{it.stack().base + stackBytes / 2, it.stack().limit};
  noteStack(half);
  CHECK(waiting().size() == 1);
  CHECK(isWaiting(half));
  everyWaitingStack([](Range) { return false; });
  CHECK(waiting().empty());
}
