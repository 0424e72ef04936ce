// C++ exceptions through code that has moved. Oracle: what is caught, and where. Called through call thunks, which refresh the
// unwind tables first.
#include "support.h"

#include "move/frame_records.h"

#include <atomic>
#include <stdexcept>
#include <thread>

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

// ---- complete whenever code runs ----

namespace {

const std::string throwsAndCatches = std::string(throwerBody) + catcherBody;

// Calls `out` first: where JS is reached past host functions.
const std::string callsOutFirst = throwsAndCatches + R"(
  declare void @out()
  define i32 @outThenCatches(i32 %x) {
    call void @out()
    %r = call i32 @catches(i32 %x)
    ret i32 %r
  })";

std::function<void()> onOut;
void out() { onOut(); }

} // namespace

TEST_CASE("unwind: code that has moved catches, entered by its entry stub from another engine's code") {
  Jit callee, caller;
  Handle catcher = callee.add(throwsAndCatches);
  Handle calls =
      caller.add("declare i32 @catches(i32)\ndefine i32 @f(i32 %x) {\n  %r = call i32 @catches(i32 %x)\n  ret i32 %r\n}\n",
                 importing(importAddress("catches", callee.function<int(int)>(catcher, "catches"))));
  for (int round = 0; round < 4; ++round) {
    CHECK(caller.call<int>(calls, "f", 7) == 70);
    callee.moveOn(catcher);
    if (round % 2 == 1)
      caller.moveOn(calls);
  }
  CHECK(caller.call<int>(calls, "f", 8) == 80);
}

TEST_CASE("unwind: code goes on and catches after what it called past host functions has changed code, of whatever engine") {
  Jit jit, other;
  Handle neighbour = jit.add(throwsAndCatches), moved = jit.add(throwsAndCatches);
  std::vector<Handle> idle;
  for (int i = 0; i < 8; ++i)
    idle.push_back(jit.add(throwsAndCatches));
  Handle late = jit.compile(throwsAndCatches), elsewhere = other.add(throwsAndCatches);
  Handle handle = jit.add(callsOutFirst, importing(importAddress("out", out)));
  auto goesOn = [&](std::function<void()> change) {
    onOut = std::move(change);
    CHECK(jit.call<int>(handle, "outThenCatches", 4) == 40);
  };
  goesOn([&] { jit.place(late); });
  goesOn([&] { jit.moveOn(moved); });
  goesOn([&] { // one at least: registering leaves addresses on the stack, and what may be on the stack is not freed
    CHECK(llvm::any_of(idle, [&](Handle each) { return failureOf(jit.engine().free(each)).code.empty(); }));
  });
  goesOn([&] {
    Handle handles[] = {neighbour, moved};
    jit.engine().freeMany(handles);
  });
  moved = jit.add(throwsAndCatches);
  goesOn([&] { other.moveOn(elsewhere); });
  goesOn([&] { CHECK(jit.call<int>(late, "catches", 5) == 50); });
  goesOn([&] { // makes a new thunk in the end
    Handle added = jit.add("define i16 @g(i16 %x, i8 %y) {\n  ret i16 %x\n}\n");
    CHECK(jit.call<std::int16_t>(added, "g", std::int16_t{3}, std::int8_t{1}) == 3);
    jit.moveOn(moved);
  });
  onOut = nullptr;
}

TEST_CASE("unwind: native code refreshes by itself before it enters by a stub") {
  Jit jit;
  Handle handle = jit.add(throwsAndCatches);
  auto *catches = jit.function<int(int)>(handle, "catches");
  CHECK(*staleUnwindTables() != 0);
  refreshUnwindTables();
  CHECK(*staleUnwindTables() == 0);
  CHECK(catches(3) == 30);
  jit.moveOn(handle);
  CHECK(*staleUnwindTables() != 0);
  refreshUnwindTables();
  CHECK(catches(4) == 40);
  std::thread([] { CHECK(*staleUnwindTables() == 0); }).join(); // each thread has its own
}

TEST_CASE("unwind: a thread throws and catches while others of its window are placed, moved and freed") {
  if (frameLookup() == FrameLookup::BrokenRanges) // docs/internals/unwinding.md, "Limits"
    return;
  constexpr int throws = 20000, others = 12, more = 30;
  Jit jit;
  Handle own = jit.add(throwsAndCatches);
  std::vector<Handle> handles, unplaced;
  for (int i = 0; i < others; ++i)
    handles.push_back(jit.add(throwsAndCatches));
  for (int i = 0; i < more; ++i)
    unplaced.push_back(jit.compile(throwsAndCatches));
  auto *catches = jit.function<int(int)>(own, "catches");
  std::atomic<int> wrong{0};
  std::atomic<bool> isRunning{false}, isDone{false};
  std::thread thread([&] {
    isRunning = true;
    for (int i = 1; i <= throws; ++i)
      wrong += catches(i) != 10 * i;
    isDone = true;
  });
  while (!isRunning)
    std::this_thread::yield();
  Random random;
  auto somewhere = [&](Handle handle) { // in the window, if that is vacant
    Offsets offsets = jit.nextOffsets(handle);
    offsets[0] = static_cast<std::int64_t>(random.below((200 << 10) / 16) * 16);
    return jit.request(handle, offsets);
  };
  while (!isDone) {
    size_t i = random.below(handles.size());
    // Refused while the thread is in code: between its calls the rest of the time.
    if (random.oneIn(8) && !unplaced.empty()) {
      if (!failureOf(jit.engine().free(handles[i])).code.empty())
        continue;
      handles[i] = unplaced.back();
      unplaced.pop_back();
      while (!failureOf(jit.engine().place(somewhere(handles[i]))).code.empty())
        ;
    } else if (random.oneIn(3)) { // over its own records
      auto base = static_cast<std::int64_t>(jit.offsetOf(handles[i], SegmentKind::Code));
      failureOf(jit.engine().relocate(jit.request(handles[i], {base + 16, stays, stays})));
    } else {
      MoveRequest request = somewhere(handles[i]);
      request.to[1] = request.to[2] = MoveRequest::stays;
      failureOf(jit.engine().relocate(request));
    }
    CHECK(jit.function<int(int)>(handles[i], "catches")(2) == 20); // complete already: entered by its stub
  }
  thread.join();
  CHECK(wrong == 0);
}

// ---- what libgcc finds ----

extern "C" const void *_Unwind_Find_FDE(void *address, void **bases);

namespace {

// One function of `instructions` stores.
std::string sized(int instructions) {
  std::string source = "define void @f(ptr %p) uwtable {\n";
  for (int i = 0; i < instructions; ++i)
    source += "  store volatile i32 " + std::to_string(i) + ", ptr %p\n";
  return source + "  ret void\n}\n";
}

// Oracle: the records themselves, which say what they are for. libgcc has to find each of them, at both ends of its code.
void checkFound(Jit &jit, Handle handle) {
  const CodeObject &object = jit.object(handle);
  int records = 0;
  everyRecord((object.segment(SegmentKind::Code).base + object.unwindRecords).pointer<void>(), [&](const FrameRecord &record) {
    ++records;
    CHECK(object.segment(SegmentKind::Code).range().contains(record.code));
    void *bases[3];
    for (Address address : {record.code.base, record.code.limit.shifted(-1)})
      CHECK(_Unwind_Find_FDE(address.pointer<void>(), bases) == record.at);
  });
  CHECK(records == 1);
}

} // namespace

TEST_CASE("unwind: libgcc finds the record of each function that is placed, whatever was where it is") {
  SHOW_SEED;
  constexpr Size span = 300 << 10, window = 256 << 10; // a border between windows is in it, and functions lie across
  Random random;
  Jit jit;
  std::vector<Handle> handles;
  auto somewhere = [&](Size from, Size size) { return static_cast<std::int64_t>(from + random.below(size / 16) * 16); };
  for (int i = 0; i < 60; ++i) {
    Handle handle = jit.compile(sized(static_cast<int>(1 + random.below(i % 10 == 0 ? 2000 : 60))));
    while (!failureOf(jit.engine().place(jit.request(handle, {somewhere(0, span), stays, stays}))).code.empty())
      ;
    handles.push_back(handle);
  }
  for (int step = 0; step < 600; ++step) {
    Handle handle = handles[random.below(handles.size())];
    bool isAcross = random.oneIn(4);
    std::int64_t to = isAcross ? somewhere(window - 4096, 4096) : somewhere(0, span);
    failureOf(jit.engine().relocate(jit.request(handle, {to, stays, stays})));
    if (step % 3 == 0)
      refreshUnwindTables();
    if (step % 20 == 0) {
      refreshUnwindTables();
      for (Handle each : handles)
        checkFound(jit, each);
    }
  }
}
