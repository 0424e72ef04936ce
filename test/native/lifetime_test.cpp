// What happens once in a code object's life: constructors, exit handlers, destructors, thread-local copies, freeing and reuse.
//
// Oracle: a log that compiled code writes through an imported function.
#include "support.h"

#include <thread>

using namespace nomad;
using namespace nomad::test;

namespace {

std::vector<int> events;
void *lastArgument = nullptr;

void logEvent(int event) { events.push_back(event); }
void logArgument(void *argument) { lastArgument = argument; }

using Events = std::vector<int>;

CompileOptions logging(Moves moves = Moves::Code) {
  events.clear();
  lastArgument = nullptr;
  CompileOptions options;
  options.moves = moves;
  options.imports = {importAddress("log", logEvent), importAddress("logArgument", logArgument)};
  return options;
}

const char *constructed = R"(
  declare void @log(i32)
  @llvm.global_ctors = appending global [2 x { i32, ptr, ptr }] [{ i32, ptr, ptr } { i32 65535, ptr @second, ptr null },
                                                                 { i32, ptr, ptr } { i32 200, ptr @first, ptr null }]
  @llvm.global_dtors = appending global [1 x { i32, ptr, ptr }] [{ i32, ptr, ptr } { i32 65535, ptr @last, ptr null }]
  define internal void @first() { call void @log(i32 1) ret void }
  define internal void @second() { call void @log(i32 2) ret void }
  define internal void @last() { call void @log(i32 9) ret void }
  define void @f() { ret void })";

const char *registering = R"(
  declare void @log(i32)
  declare i32 @atexit(ptr)
  declare i32 @__cxa_atexit(ptr, ptr, ptr)
  @__dso_handle = external hidden global i8
  define internal void @plain() { call void @log(i32 1) ret void }
  define internal void @withArgument(ptr %x) { %n = ptrtoint ptr %x to i32 call void @log(i32 %n) ret void }
  define internal void @registersAnother(ptr %x) {
    call void @log(i32 50)
    %r = call i32 @atexit(ptr @plain)
    ret void
  }
  define i32 @register() {
    %a = call i32 @atexit(ptr @plain)
    %b = call i32 @__cxa_atexit(ptr @withArgument, ptr inttoptr (i64 20 to ptr), ptr @__dso_handle)
    %c = call i32 @__cxa_atexit(ptr @withArgument, ptr inttoptr (i64 30 to ptr), ptr @__dso_handle)
    %d = call i32 @__cxa_atexit(ptr @registersAnother, ptr null, ptr @__dso_handle)
    %e = or i32 %a, %b
    %f = or i32 %c, %d
    %r = or i32 %e, %f
    ret i32 %r
  }
  define i32 @registerForeign(ptr %handle) {
    %r = call i32 @__cxa_atexit(ptr @withArgument, ptr inttoptr (i64 99 to ptr), ptr %handle)
    ret i32 %r
  })";

} // namespace

TEST_CASE("lifetime: constructors run once, by priority, at the first placement; destructors at free") {
  Jit jit;
  Handle handle = jit.compile(constructed, logging());
  CHECK(events.empty());
  Offsets offsets = jit.nextOffsets(handle), bad = offsets;
  bad[0] += 8;
  CHECK(failureOf(jit.engine().place(jit.request(handle, bad))).code == "ERR_PLACEMENT");
  CHECK(events.empty());
  jit.place(handle, offsets);
  CHECK(events == Events{1, 2});
  jit.moveOn(handle);
  jit.moveOn(handle);
  CHECK(events == Events{1, 2});
  jit.free(handle);
  CHECK(events == Events{1, 2, 9});
}

TEST_CASE("lifetime: neither constructors nor destructors run for a code object that was never placed") {
  Jit jit;
  jit.free(jit.compile(constructed, logging()));
  CHECK(events.empty());
}

TEST_CASE("lifetime: exit handlers run at free, the last one first, after moves; those they register run too") {
  Jit jit;
  Handle handle = jit.add(registering, logging());
  CHECK(jit.function<int()>(handle, "register")() == 0);
  jit.moveOn(handle);
  CHECK(events.empty());
  jit.free(handle);
  CHECK(events == Events{50, 1, 30, 20, 1});
}

TEST_CASE("lifetime: exit handlers and destructors run when the engine goes, and not again later") {
  {
    Jit jit;
    CHECK(jit.function<int()>(jit.add(registering, logging()), "register")() == 0);
    CompileOptions options = logging();
    jit.add(constructed, options);
    events.clear();
  }
  CHECK(events == Events{9, 50, 1, 30, 20, 1}); // the younger code object first
}

TEST_CASE("lifetime: an exit handler for nobody's handle is refused") {
  Jit jit;
  Handle handle = jit.add(registering, logging());
  CHECK(jit.function<int(void *)>(handle, "registerForeign")(&jit) == -1);
  CHECK(jit.function<int(void *)>(handle, "registerForeign")(nullptr) == -1);
  jit.free(handle);
  CHECK(events.empty());
}

// What C++ makes of `static Object object;`: the destructor must get the object's address of that time (I4).
TEST_CASE("lifetime: an exit handler's argument follows the data that it points to") {
  Jit jit;
  Handle handle = jit.add(R"(
    declare void @logArgument(ptr)
    declare i32 @__cxa_atexit(ptr, ptr, ptr)
    @__dso_handle = external hidden global i8
    @object = global i64 5
    define internal void @destroy(ptr %this) { call void @logArgument(ptr %this) ret void }
    define internal void @construct() {
      %r = call i32 @__cxa_atexit(ptr @destroy, ptr @object, ptr @__dso_handle)
      ret void
    }
    @llvm.global_ctors = appending global [1 x { i32, ptr, ptr }] [{ i32, ptr, ptr } { i32 65535, ptr @construct, ptr null }])",
                          logging(Moves::All));
  jit.moveOn(handle);
  auto *object = jit.global<void>(handle, "object");
  jit.free(handle);
  CHECK(lastArgument == object);
}

// ---- thread-local variables ----

namespace {
const char *threadLocal = R"(
  @counter = thread_local global i32 40
  @big = internal thread_local global [100 x i64] zeroinitializer, align 64
  define i32 @advance() {
    %p = call ptr @llvm.threadlocal.address.p0(ptr @counter)
    %x = load i32, ptr %p
    %y = add i32 %x, 1
    store i32 %y, ptr %p
    ret i32 %y
  }
  define ptr @bigAddress() { %p = call ptr @llvm.threadlocal.address.p0(ptr @big) ret ptr %p }
  declare ptr @llvm.threadlocal.address.p0(ptr))";
} // namespace

TEST_CASE("lifetime: each thread has its own copy of a thread-local variable, which no move touches") {
  for (Moves moves : {Moves::Code, Moves::All}) {
    Jit jit;
    Handle handle = jit.add(threadLocal, logging(moves));
    auto *advance = jit.function<int()>(handle, "advance");
    auto *bigAddress = jit.function<void *()>(handle, "bigAddress");
    CHECK(advance() == 41);
    void *here = bigAddress(), *there = nullptr;
    CHECK(Address::of(here).isAligned(64));
    jit.moveOn(handle);
    CHECK(advance() == 42);
    CHECK(bigAddress() == here);
    int inThread = 0;
    std::thread([&] { advance(), inThread = advance(), there = bigAddress(); }).join();
    CHECK(inThread == 42); // from the initial value, at its new place
    CHECK(there != here);
    CHECK(advance() == 43);
    jit.free(handle);
  }
}

TEST_CASE("lifetime: a thread-local variable that takes a freed one's place begins anew, in a thread that had the old one too") {
  Jit jit;
  Handle first = jit.add(threadLocal, logging());
  for (int i = 0; i < 5; ++i)
    jit.function<int()>(first, "advance")();
  jit.free(first);
  Handle second = jit.add(threadLocal, logging());
  CHECK(jit.function<int()>(second, "advance")() == 41);
}

// ---- free, reuse ----

TEST_CASE("lifetime: handles, entry stubs and places are used again, and the old handle's function is gone") {
  Jit jit;
  const char *source = "define i32 @f() {\n  ret i32 1\n}\n", *other = "define i32 @g() {\n  ret i32 2\n}\n";
  Handle first = jit.add(source);
  Offsets place{static_cast<std::int64_t>(jit.offsetOf(first, SegmentKind::Code)), stays, stays};
  Address stub = jit.stub(first, "f");
  jit.free(first);
  CHECK(failureOf(jit.engine().free(first)).code == "ERR_STATE");
  CHECK(failureOf(jit.engine().entry(first, "f")).code == "ERR_STATE");
  CHECK(failureOf(jit.engine().addressOf(first, "f")).code == "ERR_STATE");
  Handle second = jit.compile(other);
  jit.place(second, place);
  CHECK(second == first);
  CHECK(jit.stub(second, "g") == stub);
  CHECK(jit.function<int()>(second, "g")() == 2);
  EngineStats stats = jit.engine().stats();
  CHECK(stats.liveObjects == 1);
  CHECK(stats.entryStubs == 1);
}

TEST_CASE("lifetime: two thousand links, placements and frees leave nothing behind") {
  Jit jit(Arena::minBytes);
  ObjectFile once = need(compileSource(registering, {"", OptLevel::O1, Moves::Code}, *jit.engine().machines()));
  Offsets place{};
  for (int i = 0; i < 2000; ++i) {
    CompileOptions options = logging();
    auto copy = llvm::MemoryBuffer::getMemBufferCopy(once.bytes->getBuffer(), "");
    Handle handle = need(jit.engine().link({std::move(copy), once.exports}, options));
    if (i == 0)
      place = jit.nextOffsets(handle);
    jit.place(handle, place);
    REQUIRE(jit.function<int()>(handle, "register")() == 0);
    jit.free(handle);
    REQUIRE(events.size() == 5);
  }
  EngineStats stats = jit.engine().stats();
  CHECK(stats.liveObjects == 0);
  CHECK(stats.entryStubs == 0);
  CHECK(stats.liveBytes == std::array<Size, 3>{});
}

TEST_CASE("lifetime: a definition does not pass to whoever gets the freed code object's handle") {
  Jit jit;
  const char *source = "define i32 @f() {\n  ret i32 1\n}\n";
  Handle defined = jit.add(source);
  need(jit.engine().define(importFunction("f", defined, "f")));
  const char *user = "declare i32 @f()\ndefine i32 @g() {\n  %r = call i32 @f()\n  ret i32 %r\n}\n";
  Handle caller = jit.add(user);
  CHECK(jit.function<int()>(caller, "g")() == 1);
  jit.free(caller);
  jit.free(defined);
  CHECK(jit.add("define i32 @f() {\n  ret i32 2\n}\n") == defined);
  CHECK_FALSE(failureOf(jit.engine().compile(user, {})).code.empty());
}
