// Code that waits: for host functions, and for C functions that enter code again, of which the engine knows nothing. Oracle: what
// the test calls, and how deep.
#include "support.h"

#include <algorithm>

using namespace nomad;
using namespace nomad::test;

namespace {

// C functions have no captures.
std::function<int(int)> inPast;
int past(int x) { return inPast(x); }

const char *callingPast = R"(
  declare i32 @past(i32)
  define i32 @waits(i32 %x) {
    %y = call i32 @past(i32 %x)
    %z = add i32 %y, 1
    ret i32 %z
  })";

const char *callingHost = R"(
  declare i32 @host(i32)
  define i32 @asks(i32 %x) {
    %y = call i32 @host(i32 %x)
    %z = mul i32 %y, 3
    ret i32 %z
  })";

// Throws an exception whose destructor is code, which asks the host.
const char *throwingFragile = R"(
  @type = external constant ptr
  declare ptr @__cxa_allocate_exception(i64)
  declare void @__cxa_throw(ptr, ptr, ptr)
  declare i32 @host(i32)
  define void @destroy(ptr %e) {
    %x = load i32, ptr %e
    %r = call i32 @host(i32 %x)
    store volatile i32 %r, ptr %e
    ret void
  }
  define i32 @throws(i32 %x) {
    %y = call i32 @host(i32 %x)
    %e = call ptr @__cxa_allocate_exception(i64 4)
    store i32 %y, ptr %e
    call void @__cxa_throw(ptr %e, ptr @type, ptr @destroy)
    unreachable
  })";

struct Ground {
  Jit jit;
  TestHost host{jit};
  Handle hostHandle = host.add("host", "i32 (i32)");
  Handle asking = jit.add(callingHost, importing({importFunction("host", hostHandle, "host")}));
  Handle waiting = jit.add(callingPast, importing({importAddress("past", past)}));

  static CompileOptions importing(std::vector<Import> imports) {
    CompileOptions options;
    options.imports = std::move(imports);
    return options;
  }
  std::size_t exactOf(Handle handle) { return count(jit.engine().stackRoots().exact, handle); }
  bool isPinned(Handle handle) { return count(jit.engine().stackRoots().ambiguous, handle) > 0; }
  std::string moving(Handle handle) {
    return failureOf(jit.engine().relocate(jit.request(handle, {jit.nextOffsets(handle)[0], stays, stays}))).code;
  }

private:
  std::size_t count(const std::vector<StackRoot> &roots, Handle handle) {
    return static_cast<std::size_t>(
        std::count_if(roots.begin(), roots.end(), [&](const StackRoot &root) { return root.object == &jit.object(handle); }));
  }
};

} // namespace

TEST_CASE("activation: code that waits past host functions is pinned, until it returns") {
  Ground ground;
  inPast = [&](int x) {
    CHECK(ground.isPinned(ground.waiting));
    CHECK(ground.moving(ground.waiting) == "ERR_PINNED");
    CHECK(failureOf(ground.jit.engine().free(ground.waiting)).code == "ERR_STATE");
    CHECK(ground.jit.engine().isRunning());
    return 10 * x;
  };
  CHECK(ground.jit.call<int>(ground.waiting, "waits", 4) == 41);
  CHECK_FALSE(ground.jit.engine().isRunning());
  CHECK(ground.moving(ground.waiting).empty());
}

TEST_CASE("activation: it stays pinned while code that it does not know of waits for a host function") {
  Ground ground;
  ground.host.onCall = [&](HostIndex) {
    CHECK(ground.exactOf(ground.asking) == 1);
    CHECK(ground.isPinned(ground.waiting));
    CHECK(ground.moving(ground.asking).empty());
    CHECK(ground.moving(ground.waiting) == "ERR_PINNED");
    return true;
  };
  inPast = [&](int x) {
    int result = ground.jit.call<int>(ground.asking, "asks", x);
    CHECK(ground.exactOf(ground.asking) == 0);
    CHECK(ground.isPinned(ground.waiting));
    return result;
  };
  for (int round = 0; round < 3; ++round)
    CHECK(ground.jit.call<int>(ground.waiting, "waits", 7) == 22);
  CHECK(ground.host.calls == 3);
  CHECK_FALSE(ground.jit.engine().isRunning());
}

TEST_CASE("activation: both kinds by turns, six deep, each seen from the innermost and gone one by one") {
  Ground ground;
  auto step = [&](int x) {
    Handle next = x % 2 == 0 ? ground.asking : ground.waiting;
    int below = x == 0 ? 0 : ground.jit.call<int>(next, x % 2 == 0 ? "asks" : "waits", x - 1);
    // Called at 6, 4, 2 and at 5, 3, 1: those that have not returned wait.
    CHECK(ground.exactOf(ground.asking) == static_cast<std::size_t>((7 - x) / 2));
    CHECK(ground.isPinned(ground.waiting) == (x < 5)); // and so may `asking` be, by words of this function's frames
    return below;
  };
  ground.host.onCall = [&](HostIndex) {
    ground.jit.setParameter(0, step(ground.jit.result<int>()));
    return true;
  };
  inPast = step;
  CHECK(ground.jit.call<int>(ground.asking, "asks", 5) == 3 * (1 + 3 * (1 + 3 * 1)));
  CHECK_FALSE(ground.jit.engine().isRunning());
}

TEST_CASE("activation: an exception that code does not catch is named after who was called, whoever was called meanwhile") {
  Ground ground;
  CompileOptions options = Ground::importing({importFunction("host", ground.hostHandle, "host")});
  options.imports.push_back(importAddress("type", &typeid(int)));
  Handle throwing = ground.jit.add(throwingFragile, options);
  ground.host.onCall = [&](HostIndex) {
    int x = ground.jit.result<int>();
    inPast = [](int y) { return y; };
    ground.jit.setParameter(0, ground.jit.call<int>(ground.waiting, "waits", x));
    // The destructor runs in the call thunk, after the exception has been reported: its frame is as good as any.
    CHECK(ground.exactOf(throwing) == 1);
    CHECK(ground.moving(throwing).empty());
    return true;
  };
  for (std::size_t round = 1; round <= 3; ++round) {
    ground.jit.call<void>(throwing, "throws", 5);
    REQUIRE(ground.host.failures.size() == round);
    CHECK(contains(ground.host.failures.back().message, "throws: "));
    CHECK(ground.host.calls == static_cast<int>(2 * round));
    CHECK_FALSE(ground.jit.engine().isRunning());
  }
}

TEST_CASE("activation: nobody knows who let an exception out after a call past host functions") {
  Ground ground;
  CompileOptions options = Ground::importing({importAddress("host", past), importAddress("type", &typeid(int))});
  Handle throwing = ground.jit.add(throwingFragile, options);
  ground.host.onCall = [&](HostIndex) {
    ground.jit.setParameter(0, 1);
    return true;
  };
  inPast = [&](int x) { return ground.jit.call<int>(ground.asking, "asks", x); };
  ground.jit.call<void>(throwing, "throws", 5);
  REQUIRE(ground.host.failures.size() == 1);
  CHECK(contains(ground.host.failures[0].message, "code: "));
}
