// Code generation on threads of its own.
//
// Oracle: results come out in the order in which sources went in, each once, with one wake-up each; and nothing comes out after
// the end.
#include "support.h"

#include "compile/compile_queue.h"

#include <condition_variable>
#include <mutex>
#include <pthread.h>

using namespace nomad;
using namespace nomad::test;

namespace {

/// Counts wake-ups, and lets a thread wait for them.
class WakeUps {
public:
  void add() {
    std::lock_guard lock(mutex_);
    ++count_;
    condition_.notify_all();
  }
  void take() {
    std::unique_lock lock(mutex_);
    condition_.wait(lock, [this] { return count_ > 0; });
    --count_;
  }
  int count() {
    std::lock_guard lock(mutex_);
    return count_;
  }

private:
  std::mutex mutex_;
  std::condition_variable condition_;
  int count_ = 0;
};

// A function `f<number>` behind `others` that nobody calls.
std::string source(int number, int others) {
  std::string text = "define i32 @f" + std::to_string(number) + "() {\n  ret i32 " + std::to_string(number) + "\n}\n";
  for (int i = 0; i < others; ++i)
    text += "define i32 @g" + std::to_string(i) + "(i32 %a) {\n  %b = mul i32 %a, " + std::to_string(i) + "\n  ret i32 %b\n}\n";
  return text;
}

std::string firstName(llvm::Expected<ObjectFile> object) {
  return object ? object->exports.functions.front().name : failureOf(object.takeError()).code;
}

} // namespace

TEST_CASE("compile queue: results come in the order of the sources, errors in their places") {
  SHOW_SEED;
  Random random;
  for (unsigned threads : {1u, 2u, 5u}) {
    WakeUps wakeUps;
    CompileQueue queue(threads, std::make_shared<TargetMachinePool>(), [&] { wakeUps.add(); });
    constexpr int count = 60;
    for (int i = 0; i < count; ++i)
      queue.add(i % 7 == 3 ? "gibberish" : source(i, random.oneIn(6) ? 300 : 0), {"f" + std::to_string(i)});
    for (int i = 0; i < count; ++i) {
      wakeUps.take();
      auto object = queue.take();
      REQUIRE(object);
      CHECK(firstName(std::move(*object)) == (i % 7 == 3 ? "ERR_IR_PARSE" : "f" + std::to_string(i)));
    }
    CHECK(!queue.take());
    CHECK(wakeUps.count() == 0);
  }
}

TEST_CASE("compile queue: cancelled, it gives nothing, and ends with what had begun") {
  for (int taken : {0, 1, 5}) {
    WakeUps wakeUps;
    CompileQueue queue(3, std::make_shared<TargetMachinePool>(), [&] { wakeUps.add(); });
    for (int i = 0; i < 30; ++i)
      queue.add(i % 2 == 0 ? source(i, 200) : "gibberish", {"f"});
    for (int i = 0; i < taken; ++i) {
      wakeUps.take();
      auto object = queue.take();
      REQUIRE(object);
      firstName(std::move(*object));
    }
    queue.cancel();
    CHECK(!queue.take());
    queue.add(source(99, 0), {"late"});
    CHECK(!queue.take());
  }
}

namespace {

/// While it lives, no thread can be made: each would get a stack as large as the address space.
class NoThreads {
public:
  NoThreads() {
    pthread_getattr_default_np(&before_);
    pthread_attr_t huge;
    pthread_attr_init(&huge);
    pthread_attr_setstacksize(&huge, size_t{1} << 47);
    pthread_setattr_default_np(&huge);
    pthread_attr_destroy(&huge);
  }
  ~NoThreads() {
    pthread_setattr_default_np(&before_);
    pthread_attr_destroy(&before_);
  }
  NoThreads(const NoThreads &) = delete;
  NoThreads &operator=(const NoThreads &) = delete;

private:
  pthread_attr_t before_;
};

} // namespace

TEST_CASE("compile queue: where no thread can be made the result is an error, and later there is one") {
  WakeUps wakeUps;
  CompileQueue queue(2, std::make_shared<TargetMachinePool>(), [&] { wakeUps.add(); });
  {
    NoThreads none;
    queue.add(source(1, 0), {"first"});
    queue.add(source(2, 0), {"second"});
  }
  queue.add(source(3, 0), {"third"});
  for (const char *expected : {"ERR_CODEGEN", "ERR_CODEGEN", "f3"}) {
    wakeUps.take();
    auto object = queue.take();
    REQUIRE(object);
    CHECK(firstName(std::move(*object)) == expected);
  }
}
