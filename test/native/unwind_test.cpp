// C++ exceptions through code that has moved. Oracle: what is caught, and where. Called through call thunks, which refresh the
// unwind tables first.
#include "support.h"

#include <stdexcept>

using namespace nomad;
using namespace nomad::test;

namespace {

// int catches(int x) { try { thrower(x); return -1; } catch (int e) { return e * 10; } }    void thrower(int x) { if (x) throw x;
// }
const char *throwerBody = R"(
  declare ptr @__cxa_allocate_exception(i64)
  declare void @__cxa_throw(ptr, ptr, ptr)
  @_ZTIi = external constant ptr
  define void @thrower(i32 %x) noinline {
    %any = icmp ne i32 %x, 0
    br i1 %any, label %throw, label %quiet
  throw:
    %e = call ptr @__cxa_allocate_exception(i64 4)
    store i32 %x, ptr %e
    call void @__cxa_throw(ptr %e, ptr @_ZTIi, ptr null)
    unreachable
  quiet:
    ret void
  })";
const char *catcherBody = R"(
  declare i32 @__gxx_personality_v0(...)
  declare ptr @__cxa_begin_catch(ptr)
  declare void @__cxa_end_catch()
  define i32 @catches(i32 %x) personality ptr @__gxx_personality_v0 {
    invoke void @thrower(i32 %x) to label %quiet unwind label %pad
  quiet:
    ret i32 -1
  pad:
    %e = landingpad { ptr, i32 } catch ptr @_ZTIi
    %p = extractvalue { ptr, i32 } %e, 0
    %o = call ptr @__cxa_begin_catch(ptr %p)
    %v = load i32, ptr %o
    call void @__cxa_end_catch()
    %r = mul i32 %v, 10
    ret i32 %r
  })";
// A frame between: counts its cleanups.
const char *passerSource = R"(
  declare void @thrower(i32)
  declare i32 @__gxx_personality_v0(...)
  @cleanups = global i32 0
  define void @passes(i32 %x) personality ptr @__gxx_personality_v0 {
    invoke void @thrower(i32 %x) to label %quiet unwind label %pad
  quiet:
    ret void
  pad:
    %e = landingpad { ptr, i32 } cleanup
    %n = load i32, ptr @cleanups
    %m = add i32 %n, 1
    store i32 %m, ptr @cleanups
    resume { ptr, i32 } %e
  })";

CompileOptions importing(Import import, Moves moves = Moves::Code) {
  CompileOptions options;
  options.imports = {std::move(import)};
  options.moves = moves;
  return options;
}

void checkCatches(Jit &jit, Handle handle) {
  CHECK(jit.call<int>(handle, "catches", 7) == 70);
  CHECK(jit.call<int>(handle, "catches", 0) == -1);
}

} // namespace

TEST_CASE("unwind: thrown and caught in one code object, wherever it moves") {
  for (Moves moves : {Moves::Code, Moves::All}) {
    Jit jit;
    CompileOptions options;
    options.moves = moves;
    Handle handle = jit.add(std::string(throwerBody) + catcherBody, options);
    checkCatches(jit, handle);
    jit.moveCodeOn(handle);
    checkCatches(jit, handle);
    jit.relocate(handle, jit.farOffsets(handle));
    checkCatches(jit, handle);
    for (int round = 0; round < 5; ++round) {
      jit.moveOn(handle);
      checkCatches(jit, handle);
    }
    auto base = static_cast<std::int64_t>(jit.offsetOf(handle, SegmentKind::Code));
    jit.relocate(handle, {base + 16, stays, stays}); // over its own unwind records
    checkCatches(jit, handle);
  }
}

TEST_CASE("unwind: through the frames of three code objects, after each has moved") {
  Jit jit;
  Handle thrower = jit.add(throwerBody);
  Handle passer = jit.add(passerSource, importing(importFunction("thrower", thrower, "thrower")));
  Handle catcher = jit.add("@_ZTIi = external constant ptr\ndeclare void @thrower(i32)\n" + std::string(catcherBody),
                           importing(importFunction("thrower", passer, "passes")));
  int cleanups = 0;
  auto check = [&] {
    checkCatches(jit, catcher);
    CHECK(*jit.global<int>(passer, "cleanups") == ++cleanups);
  };
  check();
  for (Handle handle : {thrower, passer, catcher, passer}) {
    jit.moveOn(handle);
    check();
  }
  need(jit.engine().relocate({jit.request(thrower, jit.nextOffsets(thrower)), jit.request(passer, jit.farOffsets(passer)),
                              jit.request(catcher, jit.nextOffsets(catcher))}));
  check();
}

namespace {
const char *outOfRangeSource =
    "declare void @_ZSt20__throw_out_of_rangePKc(ptr)\n@what = internal constant [4 x i8] c\"off\\00\"\n"
    "define void @f() {\n  call void @_ZSt20__throw_out_of_rangePKc(ptr @what)\n  unreachable\n}\n";
} // namespace

TEST_CASE("unwind: an exception of libstdc++ that compiled code does not catch ends at its call thunk, as an error") {
  Jit jit;
  TestHost host(jit);
  std::vector<Failure> &heard = host.failures;
  Handle handle = jit.add(outOfRangeSource), thrower = jit.add(throwerBody);
  for (size_t round = 1; round <= 3; ++round) {
    jit.call<void>(handle, "f");
    REQUIRE(heard.size() == 2 * round - 1);
    CHECK(heard.back().code == codeName(ErrorCode::Trap));
    CHECK(contains(heard.back().message, "out_of_range"));
    CHECK(contains(heard.back().message, "off"));
    CHECK(heard.back().details.symbols == std::vector<std::string>{"f"});
    jit.call<void>(thrower, "thrower", 3);
    REQUIRE(heard.size() == 2 * round);
    CHECK(contains(heard.back().message, "int"));
    jit.moveOn(handle);
    jit.moveOn(thrower);
  }
  jit.call<void>(thrower, "thrower", 0); // throws nothing
  CHECK(heard.size() == 6);
}

TEST_CASE("unwind: a C++ function of the process catches what code that it calls throws") {
  static void (*inner)() = nullptr;
  auto host = +[]() -> int {
    try {
      inner();
    } catch (const std::out_of_range &error) {
      return std::string(error.what()) == "off" ? 1 : 2;
    }
    return 3;
  };
  Jit jit;
  Handle thrower = jit.add(outOfRangeSource);
  inner = jit.function<void()>(thrower, "f");
  Handle caller = jit.add("declare i32 @host()\ndefine i32 @g() {\n  %r = call i32 @host()\n  ret i32 %r\n}\n",
                          importing(importAddress("host", host)));
  for (int round = 0; round < 3; ++round) {
    CHECK(jit.call<int>(caller, "g") == 1);
    jit.moveOn(thrower);
    jit.moveOn(caller);
  }
}

TEST_CASE("unwind: records of freed code are gone, those around them stay") {
  Jit jit;
  std::vector<Handle> handles;
  for (int i = 0; i < 8; ++i)
    handles.push_back(jit.add(std::string(throwerBody) + catcherBody));
  for (Handle handle : handles)
    checkCatches(jit, handle);
  for (int at : {0, 6, 3}) { // the first, the last, one between
    jit.free(handles[static_cast<size_t>(at)]);
    handles.erase(handles.begin() + at);
    for (Handle handle : handles)
      checkCatches(jit, handle);
  }
  Handle reused = jit.add(std::string(throwerBody) + catcherBody);
  checkCatches(jit, reused);
}

TEST_CASE("unwind: two engines at once, one gone before the other") {
  Jit stays;
  Handle kept = stays.add(std::string(throwerBody) + catcherBody);
  checkCatches(stays, kept);
  for (int round = 0; round < 3; ++round) {
    Jit goes;
    checkCatches(goes, goes.add(std::string(throwerBody) + catcherBody));
    checkCatches(stays, kept);
  }
  checkCatches(stays, kept);
}
