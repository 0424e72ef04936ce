// Entries past call thunks. Oracle: who has called, and whether that has returned; and for what an entry stub keeps, what the
// function makes of all its arguments.
#include "enter/entry_log.h"
#include "support.h"

#include <condition_variable>
#include <mutex>
#include <thread>

using namespace nomad;
using namespace nomad::test;

namespace {

struct CountingOwner : EntryLog::Owner {
  void prepareEntry(bool isOwnThread) override { ++(isOwnThread ? own : others); }
  int own = 0;
  int others = 0;
};

// An entry stub that leads to `target`, and its log.
struct Entered {
  template <typename Function>
  explicit Entered(Function *target) {
    index = need(entries.take());
    entries.redirect(index, Address::of(reinterpret_cast<const void *>(target)));
  }
  template <typename Function>
  Function *stub() const {
    return entries.stub(index).pointer<Function>();
  }

  std::unique_ptr<Arena> arena = need(Arena::create(Arena::minBytes));
  CountingOwner owner;
  EntryLog log{threadActivations(), owner};
  EntryTable entries{*arena, log.watch()};
  EntryIndex index;
};

EntryLog *current = nullptr;

[[gnu::noinline]] EntryLog::Present look() { return current->present(Address::of(__builtin_frame_address(0))); }

} // namespace

namespace {

Address found;

// Not a lambda: what is called by its address is what returns.
[[gnu::noinline]] void lookAndTell(Address *mine) {
  found = look().outermost;
  *mine = Address::of(__builtin_frame_address(0)) + 8;
}

} // namespace

TEST_CASE("entry log: an entry counts from its call to its return, on its own thread (I16)") {
  static Address slot;
  Entered it(&lookAndTell);
  current = &it.log;
  CHECK(look().outermost == Address());
  for (int round = 0; round < 3; ++round) {
    it.stub<void(Address *)>()(&slot);
    CHECK(found == slot);
    CHECK(look().outermost == Address());
    CHECK_FALSE(look().isElsewhere);
  }
}

TEST_CASE("entry log: of nested entries the outermost counts; a call thunk's frame keeps its own entries out") {
  static Entered *entered;
  static int depth;
  static std::vector<Address> seen;
  Entered it(+[] {
    seen.push_back(look().outermost);
    if (--depth > 0)
      entered->stub<void()>()();
  });
  current = &it.log;
  entered = &it;
  depth = 4;
  it.stub<void()>()();
  REQUIRE(seen.size() == 4);
  CHECK(seen.front() != Address());
  for (Address each : seen)
    CHECK(each == seen.front());

  ActivationChain &chain = threadActivations();
  seen.clear();
  depth = 1;
  chain.entryFrame = Address::of(__builtin_frame_address(0));
  it.stub<void()>()();
  chain.entryFrame = Address();
  CHECK(seen == std::vector{Address()});
}

TEST_CASE("entry log: another thread is elsewhere until it has returned") {
  static std::mutex mutex;
  static std::condition_variable changed;
  static int stage;
  stage = 0;
  Entered it(+[] {
    std::unique_lock lock(mutex);
    stage = 1;
    changed.notify_all();
    changed.wait(lock, [] { return stage == 2; });
  });
  current = &it.log;
  std::thread thread([&] { it.stub<void()>()(); });
  {
    std::unique_lock lock(mutex);
    changed.wait(lock, [] { return stage == 1; });
    CHECK(look().isElsewhere);
    CHECK(it.log.hasOtherThreads());
    CHECK(it.owner.others == 1);
    stage = 2;
    changed.notify_all();
  }
  thread.join();
  CHECK_FALSE(look().isElsewhere);
}

namespace {

using Words = void(std::uint64_t *, std::uint64_t *);
std::uint64_t *leftWord;
std::atomic<int> overwriting;

void waitWhile(int stage) {
  while (overwriting == stage)
    std::this_thread::yield();
}

// The first call leaves a word on the stack, the second has that word in its caller's array.
void leaveOrOverwrite(std::uint64_t *from, std::uint64_t *to) {
  if (!from) {
    leftWord = static_cast<std::uint64_t *>(__builtin_frame_address(0)) + 1;
    return;
  }
  bool isIn = from <= leftWord && leftWord < to;
  overwriting = 1;
  waitWhile(1);
  if (isIn)
    *leftWord = 0;
  overwriting = isIn ? 3 : -1;
  waitWhile(3);
}

[[gnu::noinline, gnu::no_sanitize("address")]] void enterShallow(Words *stub) {
  std::uint64_t array[128];
  asm volatile("" ::"r"(array) : "memory");
  stub(nullptr, nullptr);
  asm volatile("" ::"r"(array) : "memory");
}

[[gnu::noinline, gnu::no_sanitize("address")]] void enterBelowArray(Words *stub) {
  std::uint64_t array[1024];
  asm volatile("" ::"r"(array) : "memory");
  stub(array, array + 1024);
  asm volatile("" ::"r"(array) : "memory");
}

} // namespace

TEST_CASE("entry log: who enters below a word that was left by chance is inside, whatever becomes of that word") {
  Entered it(&leaveOrOverwrite);
  current = &it.log;
  overwriting = 0;
  std::thread thread([&] {
    enterShallow(it.stub<Words>());
    enterBelowArray(it.stub<Words>());
  });
  waitWhile(0);
  CHECK(look().isElsewhere);
  overwriting = 2;
  waitWhile(2);
  CHECK(overwriting == 3);
  CHECK(look().isElsewhere);
  overwriting = 4;
  thread.join();
  CHECK_FALSE(look().isElsewhere);
}

TEST_CASE("entry log: a stub keeps every register that may have an argument") {
  using Many = double(double, double, double, double, double, double, double, double, long, long, long, long, long, long, long);
  Entered it(+[](double a, double b, double c, double d, double e, double f, double g, double h, long i, long j, long k, long l,
                 long m, long n, long o) {
    return a + 2 * b + 4 * c + 8 * d + 16 * e + 32 * f + 64 * g + 128 * h +
           static_cast<double>(i - j + 3 * k - l + 5 * m - n + o);
  });
  double expected = 1 + 2 * 2. + 4 * 3. + 8 * 4. + 16 * 5. + 32 * 6. + 64 * 7. + 128 * 8. + (9 - 10 + 33 - 12 + 65 - 14 + 15);
  CHECK(it.stub<Many>()(1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15) == expected);
  std::thread([&] { CHECK(it.stub<Many>()(1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15) == expected); }).join();
}

TEST_CASE("entry log: a signal handler that comes during a quiet move runs after it, once (I13)") {
  static int handled;
  handled = 0;
  Entered it(+[](int) { ++handled; });
  struct sigaction action = {}, before;
  action.sa_handler = it.stub<void(int)>();
  sigaction(SIGUSR2, &action, &before);
  {
    QuietMoves::Scope quiet(it.log.moves());
    raise(SIGUSR2);
    CHECK(handled == 0);
  }
  CHECK(handled == 1);
  raise(SIGUSR2);
  CHECK(handled == 2);
  sigaction(SIGUSR2, &before, nullptr);
}

// What is entered counts who is inside; nobody is, for as long as others are kept out and none of them is said to be there.
TEST_CASE("entry log: threads that go in and out, and signals on them: who is said to be out is out") {
  constexpr int threadCount = 4, rounds = 3000;
  static std::atomic<int> inside, entries;
  inside = entries = 0;
  Entered it(+[] {
    ++inside;
    ++entries;
    for (int i = 0; i < 200; ++i)
      __builtin_ia32_pause();
    --inside;
  });
  Entered ofSignal(+[](int) {
    ++inside;
    ++entries;
    --inside;
  });
  struct sigaction action = {}, before;
  action.sa_handler = ofSignal.stub<void(int)>();
  sigaction(SIGUSR2, &action, &before);
  std::atomic<bool> isOver = false;
  std::vector<std::thread> threads;
  for (int i = 0; i < threadCount; ++i)
    threads.emplace_back([&, i] {
      while (!isOver)
        i % 2 == 0 ? it.stub<void()>()(), std::this_thread::sleep_for(std::chrono::microseconds(1)) : std::this_thread::yield();
    });
  int quiet = 0, busy = 0;
  for (int round = 0; round < rounds; ++round) {
    pthread_kill(threads[static_cast<size_t>(round % threadCount)].native_handle(), SIGUSR2);
    QuietMoves::OthersKeptOut one(it.log.moves()), other(ofSignal.log.moves());
    current = &it.log;
    bool isElsewhere = look().isElsewhere;
    current = &ofSignal.log;
    isElsewhere = look().isElsewhere || isElsewhere;
    ++(isElsewhere ? busy : quiet);
    if (isElsewhere)
      continue;
    int entriesBefore = entries;
    for (int i = 0; i < 500; ++i)
      CHECK(inside == 0);
    CHECK(entries == entriesBefore);
  }
  isOver = true;
  for (std::thread &thread : threads)
    thread.join();
  sigaction(SIGUSR2, &before, nullptr);
  CHECK(quiet > 0);
  CHECK(entries > 0);
  current = &it.log;
  CHECK_FALSE(look().isElsewhere);
  MESSAGE("quiet ", quiet, ", busy ", busy, ", entries ", entries.load());
}

TEST_CASE("entry log: who waits because others are kept out is not inside, and enters afterwards") {
  static std::atomic<int> entries;
  entries = 0;
  Entered it(+[] { ++entries; });
  current = &it.log;
  std::thread thread;
  {
    QuietMoves::OthersKeptOut keepOut(it.log.moves());
    thread = std::thread([&] { it.stub<void()>()(); });
    while (look().isElsewhere || !it.log.hasWaiting())
      std::this_thread::yield();
    CHECK(entries == 0);
  }
  thread.join();
  CHECK(entries == 1);
}

TEST_CASE("entry log: once its thread has left, code that enters there is as any other thread's") {
  Entered it(+[] { CHECK(look().isElsewhere); });
  current = &it.log;
  it.log.leaveThread();
  it.stub<void()>()();
  CHECK(it.owner.own == 0);
  CHECK(it.owner.others == 1);
}
