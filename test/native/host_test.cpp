// Host functions without JS. Oracle: known values, counts of calls.
#include "support.h"

using namespace nomad;
using namespace nomad::test;

namespace {

CompileOptions hosting(Handle host, OptLevel level = OptLevel::O2) {
  CompileOptions options;
  options.level = level;
  options.imports = {importFunction("host", host, "host")};
  return options;
}

const char *callingHost = R"(
  declare i32 @host(i32)
  define i32 @f(i32 %x) {
    %y = call i32 @host(i32 %x)
    %z = add i32 %y, 1
    ret i32 %z
  })";

// A frame that counts how often it is unwound.
const char *cleaning = R"(
  declare i32 @host(i32)
  declare i32 @__gxx_personality_v0(...)
  @cleanups = global i32 0
  define i32 @f(i32 %x) personality ptr @__gxx_personality_v0 {
    %y = invoke i32 @host(i32 %x) to label %quiet unwind label %pad
  quiet:
    ret i32 %y
  pad:
    %e = landingpad { ptr, i32 } cleanup
    %n = load i32, ptr @cleanups
    %m = add i32 %n, 1
    store i32 %m, ptr @cleanups
    resume { ptr, i32 } %e
  })";

} // namespace

TEST_CASE("host: parameters are wide in the argument block, the result is narrow in code") {
  Jit jit;
  TestHost host(jit);
  Handle function = host.add("host", "i8 (i8, i1, float, ptr)");
  Handle caller = jit.add(R"(
    declare i8 @host(i8, i1, float, ptr)
    define i32 @f(i8 %a, i1 %b, float %c, ptr %d) {
      %x = call i8 @host(i8 %a, i1 %b, float %c, ptr %d)
      %y = zext i8 %x to i32
      ret i32 %y
    })",
                          hosting(function));
  std::int32_t small = 0, flag = 0;
  double number = 0;
  std::uint64_t pointer = 0;
  host.onCall = [&](HostIndex) {
    std::memcpy(&small, jit.block(), 4);
    std::memcpy(&flag, jit.block() + 8, 4);
    std::memcpy(&number, jit.block() + 16, 8);
    std::memcpy(&pointer, jit.block() + 24, 8);
    jit.setParameter(0, std::int32_t{0x7fffff90});
    return true;
  };
  CHECK(jit.call<int>(caller, "f", std::int8_t{-56}, true, 1.5F, static_cast<void *>(&jit)) == 0x90);
  CHECK(small == -56);
  CHECK(flag == 1);
  CHECK(number == 1.5);
  CHECK(pointer == reinterpret_cast<std::uint64_t>(&jit));
}

TEST_CASE("host: three hundred of them, each called by its own index; freed ones' indices and stubs are used again") {
  Jit jit;
  TestHost host(jit);
  HostIndex called = 0;
  host.onCall = [&](HostIndex index) {
    called = index;
    return true;
  };
  std::vector<Handle> hosts, callers;
  for (int i = 0; i < 300; ++i) {
    hosts.push_back(host.add("host", "i32 (i32)"));
    callers.push_back(jit.add(callingHost, hosting(hosts.back(), OptLevel::O0)));
  }
  for (std::size_t i = 0; i < 300; ++i) {
    CHECK(jit.call<int>(callers[i], "f", static_cast<int>(i)) == static_cast<int>(i) + 1);
    CHECK(jit.engine().hostIndex(hosts[i]) == called);
  }
  CHECK(failureOf(jit.engine().free(hosts[7])).code == "ERR_STATE");
  HostIndex vacated = *jit.engine().hostIndex(hosts[7]);
  Address stub = jit.object(hosts[7]).segment(SegmentKind::Code).base;
  jit.free(callers[7]);
  jit.free(hosts[7]);
  CHECK_FALSE(jit.engine().hostIndex(hosts[7]));
  Handle again = host.add("host", "i32 (i32)");
  CHECK(jit.engine().hostIndex(again) == vacated);
  CHECK(jit.object(again).segment(SegmentKind::Code).base == stub);
  need(jit.engine().verify());
}

TEST_CASE("host: one that throws leaves code through its cleanups, and the next call works") {
  for (OptLevel level : {OptLevel::O0, OptLevel::O2}) {
    Jit jit;
    TestHost host(jit);
    Handle caller = jit.add(cleaning, hosting(host.add("host", "i32 (i32)"), level));
    for (int round = 1; round <= 5; ++round) {
      host.onCall = [](HostIndex) { return false; };
      jit.call<void>(caller, "f", 1);
      CHECK(host.lefts == round);
      CHECK(*jit.global<int>(caller, "cleanups") == round);
      CHECK_FALSE(jit.engine().isRunning());
      host.onCall = [](HostIndex) { return true; };
      CHECK(jit.call<int>(caller, "f", 6) == 6);
      jit.moveCodeOn(caller);
    }
    CHECK(host.failures.empty());
  }
}

TEST_CASE("host: entered again and again, some levels left in the middle") {
  Jit jit;
  TestHost host(jit);
  Handle caller = jit.add(callingHost, hosting(host.add("host", "i32 (i32)")));
  host.onCall = [&](HostIndex) {
    CHECK(jit.engine().isRunning());
    int x = jit.result<int>();
    if (x == 0)
      return false;
    int below = jit.call<int>(caller, "f", x - 1);
    jit.setParameter(0, x == 1 ? 1000 : below);
    return true;
  };
  CHECK(jit.call<int>(caller, "f", 5) == 1005); // level 0 is left, level 1 has 1000, and each adds one
  CHECK(host.lefts == 1);
  CHECK(host.calls == 6);
  CHECK_FALSE(jit.engine().isRunning());
}

TEST_CASE("host: code that runs can be moved, and not freed") {
  Jit jit;
  TestHost host(jit);
  Handle caller = jit.add(callingHost, hosting(host.add("host", "i32 (i32)")));
  Handle idle = jit.add("define i32 @g() {\n  ret i32 1\n}\n");
  host.onCall = [&](HostIndex) {
    int x = jit.result<int>();
    jit.moveCodeOn(caller);
    CHECK(failureOf(jit.engine().free(caller)).code == "ERR_STATE");
    std::vector<Handle> both{caller, idle};
    jit.engine().freeMany(both);
    CHECK(both == std::vector<Handle>{caller, noHandle});
    need(jit.engine().verify());
    jit.setParameter(0, 10 * x);
    return true;
  };
  CHECK(jit.call<int>(caller, "f", 4) == 41);
  jit.free(caller);
}

TEST_CASE("host: types that can't cross are refused, and the text of a type alone is no function's") {
  for (const char *type : {"", "i32", "foo", "i32 (", "i32 (i32) x"})
    CHECK(failureOf(parseSignature(type)).code == "ERR_SIGNATURE");
  for (const char *type : {"void (...)", "i128 ()", "void ([2 x i8])", "{i32} ()", "<4 x i32> ()"})
    CHECK_FALSE(need(parseSignature(type)).refusal.empty());
}
