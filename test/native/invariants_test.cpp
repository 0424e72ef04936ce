// Invariants (docs/internals/invariants.md) that hold across all parts: nothing else is kept (I3), no move runs out of range
// (I6), certain or pinned (I12), published complete (I13). The others are named by the tests of their part.
#include "support.h"

#include <csignal>
#include <malloc.h>
#include <ucontext.h>

using namespace nomad;
using namespace nomad::test;

// ---- I3 ----

// Of the sanitizer's runtime; gcc has no header for it.
extern "C" std::size_t __sanitizer_get_current_allocated_bytes();

namespace {

// Bytes that somebody has asked malloc or new for, and not given back.
Size heapBytes() {
#if defined(__SANITIZE_ADDRESS__)
  return __sanitizer_get_current_allocated_bytes();
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
  return __sanitizer_get_current_allocated_bytes();
#endif
#endif
  return mallinfo2().uordblks;
}

constexpr Size largeBytes = 512 * 1024;

// By how much the heap has grown when ten of them have been linked and placed.
Size keptOf(Retain retain, Moves moves) {
  Jit jit;
  std::string source = "@table = constant [" + std::to_string(largeBytes) + " x i8] c\"" + std::string(largeBytes, 'x') +
                       "\"\ndefine ptr @f() {\n  ret ptr @table\n}\n";
  CompileOptions options;
  options.retain = retain;
  options.moves = moves;
  jit.add(source, options); // what LLVM makes once
  Size before = heapBytes();
  for (int i = 0; i < 10; ++i) {
    Handle handle = jit.add(source, options);
    CHECK(jit.object(handle).image == nullptr);
  }
  Size after = heapBytes();
  return after > before ? after - before : 0;
}

} // namespace

TEST_CASE("invariants: neither object file, link graph, IR nor image outlives the first placement (I3)") {
  for (Moves moves : {Moves::Code, Moves::All}) {
    CHECK(keptOf(Retain::Relocations, moves) < largeBytes / 2);
    CHECK(keptOf(Retain::None, moves) < largeBytes / 2);
    CHECK(keptOf(Retain::Object, moves) >= 10 * largeBytes); // what it looks like when something is kept
  }
}

// ---- I6 ----

namespace {

constexpr auto everywhere = R"(
@table = constant [2 x i32] [i32 30, i32 40]
@state = global i32 0
@pointer = global ptr @f
declare i32 @callee(i32)
declare i32 @toupper(i32)
define i32 @f(i32 %x) {
  %i = and i32 %x, 1
  %p = getelementptr i32, ptr @table, i32 %i
  %a = load i32, ptr %p
  %b = call i32 @callee(i32 %a)
  %c = call i32 @toupper(i32 97)
  %d = add i32 %b, %c
  %old = load i32, ptr @state
  %new = add i32 %old, 1000
  store i32 %new, ptr @state
  %q = load volatile ptr, ptr @pointer
  %isSelf = icmp eq ptr %q, @f
  %e = zext i1 %isSelf to i32
  %s = add i32 %d, %new
  %r = add i32 %s, %e
  ret i32 %r
})";

std::unique_ptr<Engine> largestEngine(LinkerKind linker, std::vector<std::uint64_t> &block) {
  EngineOptions options;
  options.arenaBytes = Arena::maxBytes;
  options.linker = linker;
  auto engine = need(Engine::create(options));
  engine->setArgumentBlock(Address::of(block.data()));
  return engine;
}

// Bit i of `corner`: segment i lies at its range's end, else at its beginning.
MoveRequest toCorner(Engine &engine, Handle handle, unsigned corner) {
  MoveRequest request{handle, {}};
  for (SegmentKind kind : segmentKinds) {
    const Segment &segment = need(engine.object(handle)).segment(kind);
    Size room = engine.placeable(kind).size() - segment.size;
    bool isFar = (corner >> indexOf(kind) & 1) != 0;
    request.to[indexOf(kind)] = segment.exists() && isFar ? static_cast<std::int32_t>(roundDown(room, segment.alignment())) : 0;
  }
  return request;
}

} // namespace

TEST_CASE("invariants: in the largest arena, every corner reaches every other (I6)") {
  for (LinkerKind linker : {LinkerKind::JITLink, LinkerKind::RuntimeDyld}) {
    std::vector<std::uint64_t> block(Engine::blockBytes / 8 + 1);
    auto engine = largestEngine(linker, block);
    CompileOptions options;
    options.moves = Moves::All;
    Handle callee = need(engine->compile("define i32 @g(i32 %x) {\n  %r = mul i32 %x, 2\n  ret i32 %r\n}\n", options));
    need(engine->place(MoveRequest{callee, {1 << 16, 0, 0}}));
    options.moves = Moves::Code; // three segments
    options.imports = {importFunction("callee", callee, "g")};
    Handle caller = need(engine->compile(everywhere, options));
    need(engine->place(toCorner(*engine, caller, 0)));
    auto *call = engine->entries().stub(need(engine->entry(caller, "f"))).pointer<int(int)>();
    int state = 0;
    auto works = [&](int x) { return call(x) == (x & 1 ? 80 : 60) + 'A' + (state += 1000) + 1; };
    for (unsigned corner = 0; corner < 8; ++corner)
      for (std::int32_t calleeAt :
           {1 << 16, static_cast<std::int32_t>(engine->placeable(SegmentKind::Code).size() - (1 << 16))}) {
        CAPTURE(corner);
        need(engine->relocate(toCorner(*engine, caller, corner)));
        need(engine->relocate(MoveRequest{callee, {calleeAt, MoveRequest::stays, MoveRequest::stays}}));
        CHECK(works(0));
        CHECK(works(1));
        need(engine->verify());
      }
  }
}

// ---- I12 ----

namespace {

// Each has a function `i64 @f(i64)` that calls the host once while it has a frame of its kind, and returns what is said here.
struct FrameCase {
  const char *name;
  const char *source;
  std::int64_t (*result)(std::int64_t x);
};

constexpr FrameCase frameKinds[] = {
    {"plain", "define i64 @f(i64 %x) {\n  %a = call i64 @host(i64 %x)\n  %r = add i64 %a, %x\n  ret i64 %r\n}\n",
     [](std::int64_t x) { return 2 * x + 1; }},
    {"with memory of its own",
     "define i64 @f(i64 %x) {\n  %p = alloca [40 x i64]\n  %q = getelementptr i64, ptr %p, i64 7\n  store volatile i64 %x, ptr "
     "%q\n"
     "  %a = call i64 @host(i64 %x)\n  %b = load volatile i64, ptr %q\n  %r = add i64 %a, %b\n  ret i64 %r\n}\n",
     [](std::int64_t x) { return 2 * x + 1; }},
    {"of a size that is known late",
     "define i64 @f(i64 %x) {\n  %n = and i64 %x, 63\n  %p = alloca i64, i64 %n\n  store volatile i64 %x, ptr %p\n"
     "  %a = call i64 @host(i64 %x)\n  %b = load volatile i64, ptr %p\n  %r = add i64 %a, %b\n  ret i64 %r\n}\n",
     [](std::int64_t x) { return 2 * x + 1; }},
    {"aligned more strictly than the stack",
     "define i64 @f(i64 %x) {\n  %p = alloca i64, align 256\n  store volatile i64 %x, ptr %p\n  %a = call i64 @host(i64 %x)\n"
     "  %b = load volatile i64, ptr %p\n  %r = add i64 %a, %b\n  ret i64 %r\n}\n",
     [](std::int64_t x) { return 2 * x + 1; }},
    {"with arguments on the stack",
     "define internal i64 @g(i64 %a, i64 %b, i64 %c, i64 %d, i64 %e, i64 %f, i64 %g, i64 %h) noinline {\n"
     "  %i = call i64 @host(i64 %g)\n  %r = add i64 %i, %h\n  ret i64 %r\n}\n"
     "define i64 @f(i64 %x) {\n  %r = call i64 @g(i64 1, i64 2, i64 3, i64 4, i64 5, i64 6, i64 %x, i64 %x)\n  %s = add i64 %r, "
     "5\n"
     "  ret i64 %s\n}\n",
     [](std::int64_t x) { return 2 * x + 6; }},
    {"of a tail call",
     "define internal i64 @g(i64 %x) noinline {\n  %a = call i64 @host(i64 %x)\n  %r = add i64 %a, 3\n  ret i64 %r\n}\n"
     "define i64 @f(i64 %x) {\n  %r = musttail call i64 @g(i64 %x)\n  ret i64 %r\n}\n",
     [](std::int64_t x) { return x + 4; }},
    {"behind libc",
     "declare void @qsort(ptr, i64, i64, ptr)\n@sum = internal global i64 0\n"
     "define internal i32 @compare(ptr %a, ptr %b) {\n  %s = load i64, ptr @sum\n  %isFirst = icmp eq i64 %s, 0\n"
     "  br i1 %isFirst, label %ask, label %done\nask:\n  %x = load i64, ptr %a\n  %y = call i64 @host(i64 %x)\n"
     "  store i64 %y, ptr @sum\n  br label %done\ndone:\n  ret i32 0\n}\n"
     "define i64 @f(i64 %x) {\n  %p = alloca [2 x i64]\n  store i64 %x, ptr %p\n  %q = getelementptr i64, ptr %p, i64 1\n"
     "  store i64 %x, ptr %q\n  call void @qsort(ptr %p, i64 2, i64 8, ptr @compare)\n  %r = load i64, ptr @sum\n  ret i64 "
     "%r\n}\n",
     [](std::int64_t x) { return x + 1; }},
    {"in a catch block",
     "declare ptr @__cxa_allocate_exception(i64)\ndeclare void @__cxa_throw(ptr, ptr, ptr)\n@_ZTIi = external constant ptr\n"
     "declare i32 @__gxx_personality_v0(...)\ndeclare ptr @__cxa_begin_catch(ptr)\ndeclare void @__cxa_end_catch()\n"
     "define internal void @thrower() noinline {\n  %e = call ptr @__cxa_allocate_exception(i64 4)\n  store i32 7, ptr %e\n"
     "  call void @__cxa_throw(ptr %e, ptr @_ZTIi, ptr null)\n  unreachable\n}\n"
     "define i64 @f(i64 %x) personality ptr @__gxx_personality_v0 {\n  invoke void @thrower() to label %q unwind label %p\nq:\n"
     "  ret i64 -1\np:\n  %e = landingpad { ptr, i32 } catch ptr @_ZTIi\n  %o = extractvalue { ptr, i32 } %e, 0\n"
     "  %c = call ptr @__cxa_begin_catch(ptr %o)\n  %a = call i64 @host(i64 %x)\n  %v = load i32, ptr %c\n"
     "  call void @__cxa_end_catch()\n  %w = zext i32 %v to i64\n  %r = add i64 %a, %w\n  ret i64 %r\n}\n",
     [](std::int64_t x) { return x + 8; }},
    {"that has called setjmp",
     "@buffer = internal global [32 x i64] zeroinitializer\ndeclare i32 @_setjmp(ptr) returns_twice\n"
     "declare void @longjmp(ptr, i32) noreturn\n"
     "define i64 @f(i64 %x) {\n  %j = call i32 @_setjmp(ptr @buffer) returns_twice\n  %isBack = icmp ne i32 %j, 0\n"
     "  br i1 %isBack, label %back, label %first\nfirst:\n  %a = call i64 @host(i64 %x)\n  %n = trunc i64 %a to i32\n"
     "  call void @longjmp(ptr @buffer, i32 %n)\n  unreachable\nback:\n  %r = zext i32 %j to i64\n  ret i64 %r\n}\n",
     [](std::int64_t x) { return x + 1; }},
};

// In the host: each frame's code moves, or says that it is pinned.
void checkFrame(const FrameCase &kind, OptLevel level) {
  Jit jit;
  TestHost host(jit);
  CompileOptions options;
  options.level = level;
  options.imports = {importFunction("host", host.add("host", "i64 (i64)"), "host")};
  Handle handle = jit.add(std::string("declare i64 @host(i64)\n") + kind.source, options);
  bool isPinned = false;
  host.onCall = [&](HostIndex) {
    need(jit.engine().verify());
    const StackRoots &roots = jit.engine().stackRoots();
    auto isOurs = [&](const StackRoot &root) { return root.object == &jit.object(handle); };
    bool isExact = std::any_of(roots.exact.begin(), roots.exact.end(), isOurs);
    isPinned = jit.object(handle).stackUse.isPinned(SegmentKind::Code);
    CHECK((isExact || isPinned));
    Failure failure = failureOf(jit.engine().relocate(jit.request(handle, {jit.nextOffsets(handle)[0], stays, stays})));
    CHECK(failure.code == (isPinned ? "ERR_PINNED" : ""));
    need(jit.engine().verify());
    jit.setParameter(0, jit.result<std::int64_t>() + 1);
    return true;
  };
  CHECK(jit.call<std::int64_t>(handle, "f", std::int64_t{20}) == kind.result(20));
  CHECK(host.calls == 1);
}

} // namespace

TEST_CASE("invariants: each kind of frame is certain, or pins its code (I12)") {
  for (const FrameCase &kind : frameKinds)
    for (OptLevel level : {OptLevel::O0, OptLevel::O2}) {
      std::string name = kind.name;
      CAPTURE(name);
      checkFrame(kind, level);
    }
}

// ---- I13 ----
//
// An observer that looks after each single instruction of a move: the processor's trap flag calls it.

namespace {

constexpr std::uint64_t trapFlag = 0x100;

struct View {
  const std::uint64_t *slot; // of the caller's entry stub
  Offset call;               // in the caller's code: the distance
  std::uint64_t callee;      // the first bytes of the function that is called
  long looks;
  long halves;
};
View view;

// What somebody would run who comes by the entry stub now.
__attribute__((no_sanitize("address", "undefined"))) bool isWhole() {
  const auto *code = reinterpret_cast<const std::byte *>(*view.slot);
  std::int32_t distance;
  __builtin_memcpy(&distance, code + view.call, sizeof distance);
  std::uint64_t first;
  __builtin_memcpy(&first, code + view.call + sizeof distance + distance, sizeof first);
  return first == view.callee;
}

__attribute__((no_sanitize("address", "undefined"))) void look(int, siginfo_t *, void *) {
  ++view.looks;
  view.halves += isWhole() ? 0 : 1;
}

void setTrapFlag(bool isOn) {
  std::uint64_t flags;
  asm volatile("pushfq\n\tpopq %0" : "=r"(flags)::"memory");
  flags = isOn ? flags | trapFlag : flags & ~trapFlag;
  asm volatile("pushq %0\n\tpopfq" ::"r"(flags) : "memory", "cc");
}

void watched(const std::function<void()> &move) {
  struct sigaction action = {}, before;
  action.sa_sigaction = look;
  action.sa_flags = SA_SIGINFO;
  REQUIRE(sigaction(SIGTRAP, &action, &before) == 0);
  setTrapFlag(true);
  move();
  setTrapFlag(false);
  sigaction(SIGTRAP, &before, nullptr);
}

} // namespace

TEST_CASE("invariants: whoever looks in the middle of a move sees the old state or the new one (I13)") {
  Jit jit;
  Handle callee = jit.add("define i64 @g(i64 %x) {\n  %a = mul i64 %x, 1234567\n  %r = xor i64 %a, 7\n  ret i64 %r\n}\n");
  CompileOptions options;
  options.imports = {importFunction("g", callee, "g")};
  Handle caller = jit.add("declare i64 @g(i64)\n@v = global i64 9\ndefine i64 @f(i64 %x) {\n  %b = load i64, ptr @v\n"
                          "  %y = add i64 %x, %b\n  %a = call i64 @g(i64 %y)\n  %r = add i64 %a, 1\n  ret i64 %r\n}\n",
                          options);
  EntryIndex entry = need(jit.engine().entry(caller, "f"));
  view = {(jit.engine().entries().slotBase() + entry * EntryTable::slotBytes).pointer<const std::uint64_t>(), 0, 0, 0, 0};
  for (const Relocation &relocation : jit.object(caller).relocations.decode())
    if (relocation.target == TargetKind::Reference)
      view.call = relocation.site;
  std::memcpy(&view.callee, jit.object(callee).segment(SegmentKind::Code).base.pointer(), sizeof view.callee);
  REQUIRE(isWhole());
  auto next = [&](Handle handle) { return jit.request(handle, {jit.nextOffsets(handle)[0], stays, stays}); };
  for (const std::vector<MoveRequest> &batch :
       {std::vector{next(caller)}, std::vector{next(callee)}, std::vector{next(caller), next(callee)},
        std::vector{next(callee), next(caller)}}) {
    long looks = view.looks;
    Failure failure;
    watched([&] { failure = failureOf(jit.engine().relocate(batch)); });
    CHECK(failure.code.empty());
    CHECK(view.looks - looks > 500);
    CHECK(view.halves == 0);
    need(jit.engine().verify());
  }
}
