// Faults in code become errors, at the call that JS has made.
#include "support.h"

#include "fault/interrupt.h"

#include <atomic>
#include <csignal>
#include <thread>
#include <xmmintrin.h>

using namespace nomad;
using namespace nomad::test;

namespace {

const char *source = R"(
declare void @llvm.trap() declare void @abort() declare void @host() declare i32 @fesetround(i32)
define i32 @load(ptr %p) noinline { %v = load volatile i32, ptr %p ret i32 %v }
define i32 @outer(ptr %p) { %v = call i32 @load(ptr %p) %w = add i32 %v, 1 ret i32 %w }
define i32 @divide(i32 %a, i32 %b) { %v = sdiv i32 %a, %b ret i32 %v }
define void @trap() { call void @llvm.trap() unreachable }
define void @giveUp() { call void @abort() unreachable }
define i32 @jump(ptr %p) { %r = call i32 %p() %s = add i32 %r, 1 ret i32 %s }
define i32 @callOut(ptr %p) { call void @host() %v = load volatile i32, ptr %p ret i32 %v }
define i32 @round() { %r = call i32 @fesetround(i32 2048) ret i32 7 }
define i32 @deep(i32 %n) noinline { %a = alloca [64 x i32] store volatile i32 %n, ptr %a %m = add i32 %n, 1 %r = call i32 @deep(i32 %m)
  %v = load volatile i32, ptr %a %s = add i32 %r, %v ret i32 %s }
define void @loop(ptr %p) { br label %l l: %v = load atomic i32, ptr %p monotonic, align 4 %c = icmp eq i32 %v, -1 br i1 %c, label %e, label %l e: ret void }
)";

struct Traps {
  Jit jit;
  TestHost host{jit};
  Handle object = jit.add(source, [&] {
    CompileOptions options;
    options.imports = {{"host", Address(), host.add("host", "void ()"), "host"}};
    return options;
  }());

  template <typename... Arguments>
  Failure of(const char *name, Arguments... arguments) {
    host.failures.clear();
    jit.call<void>(object, name, arguments...);
    REQUIRE(host.failures.size() == 1);
    CHECK(host.failures[0].code == "ERR_TRAP");
    return host.failures[0];
  }
  bool works() { return jit.call<int>(object, "divide", 42, 6) == 7; }
};

} // namespace

TEST_CASE("trap: a fault is an error that says what, where and at what address; code goes on working, moved or not") {
  Traps traps;
  for (int round = 0; round < 50; ++round) {
    Failure memory = traps.of("outer", std::uint64_t{24});
    CHECK(memory.details.kind == "memory");
    CHECK(memory.details.address == 24);
    REQUIRE(memory.details.frames.size() == 2);
    CHECK(memory.details.frames[0].symbol == "load");
    CHECK(memory.details.frames[1].symbol == "outer");
    CHECK(traps.of("divide", 1, 0).details.kind == "arithmetic");
    CHECK(traps.of("trap").details.kind == "illegal");
    CHECK(traps.of("giveUp").details.kind == "abort");
    CHECK(traps.of("jump", std::uint64_t{0}).details.frames[0].symbol == "jump");
    CHECK(traps.works());
    traps.jit.moveCodeOn(traps.object);
  }
}

TEST_CASE("trap: a stack that overflows, on this thread and on one of its own") {
  auto overflow = [] {
    Traps traps;
    bool isRight = true;
    for (int round = 0; round < 2; ++round)
      isRight &= traps.of("deep", 0).details.kind == "stack" && traps.works();
    return isRight;
  };
  CHECK(overflow());
  std::atomic<bool> onThread = false;
  std::thread([&] { onThread = overflow(); }).join();
  CHECK(onThread);
}

TEST_CASE("trap: only the innermost call is left") {
  Traps traps;
  std::vector<Failure> inner;
  traps.host.onCall = [&](HostIndex) {
    traps.jit.call<void>(traps.object, "load", std::uint64_t{8});
    inner = std::move(traps.host.failures);
    traps.host.failures.clear();
    return true;
  };
  int value = 31;
  CHECK(traps.jit.call<int>(traps.object, "callOut", &value) == 31);
  REQUIRE(inner.size() == 1);
  CHECK(inner[0].details.frames.size() == 1);
  CHECK(traps.host.failures.empty());
}

TEST_CASE("trap: rounding that code has changed is what it was, after the call and after a trap") {
  Traps traps;
  unsigned before = _mm_getcsr() & ~0x3fu;
  CHECK(traps.jit.call<int>(traps.object, "round") == 7);
  CHECK((_mm_getcsr() & ~0x3fu) == before);
  traps.of("load", std::uint64_t{8});
  CHECK((_mm_getcsr() & ~0x3fu) == before);
}

TEST_CASE("trap: time limits and interrupts stop code, nothing else and not afterwards") {
  Traps traps;
  int word = 0;
  for (int round = 0; round < 20; ++round) {
    auto limit = need(TimeLimit::start(1));
    CHECK(contains(traps.of("loop", &word).message, "1 ms are over"));
    CHECK(contains(traps.of("loop", &word).message, "1 ms are over"));
  }
  CHECK(traps.works());
  CHECK_FALSE(need(interruptCode(traps.jit.engine().id())));
  std::uint32_t id = traps.jit.engine().id();
  std::thread other([&] {
    while (!need(interruptCode(id)))
      std::this_thread::yield();
  });
  CHECK(traps.of("loop", &word).details.kind == "interrupt");
  other.join();
  CHECK(traps.works());
}

namespace {
std::atomic<int> urgent = 0;
} // namespace

TEST_CASE("trap: an urgent signal of somebody else's is theirs") {
  auto before = std::signal(SIGURG, [](int) { ++urgent; });
  Traps traps;
  int word = 0;
  {
    auto limit = need(TimeLimit::start(1));
    traps.of("loop", &word);
  }
  CHECK(urgent == 0);
  raise(SIGURG);
  CHECK(urgent == 1);
  std::signal(SIGURG, before == SIG_ERR ? SIG_DFL : before);
}
