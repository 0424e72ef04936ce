// What the stack has of code. Oracle: how deep the test knows the stack to be, what it has put there, and the words themselves.
#include "support.h"

using namespace nomad;
using namespace nomad::test;

namespace {

std::uint64_t wordAt(Address address) { return *address.pointer<std::uint64_t>(); }

std::uint64_t valueOf(const StackRoot &root) { return (root.object->segment(root.segment).base + root.offset).value(); }

CompileOptions hosting(TestHost &host, const char *type, OptLevel level = OptLevel::O2) {
  CompileOptions options;
  options.level = level;
  options.imports = {importFunction("host", host.add("host", type), "host")};
  return options;
}

const char *descending = R"(
  declare i32 @host(i32)
  define i32 @descend(i32 %n) noinline {
    %isLast = icmp eq i32 %n, 0
    br i1 %isLast, label %last, label %more
  last:
    %r = call i32 @host(i32 %n)
    %s = add i32 %r, 1
    ret i32 %s
  more:
    %m = sub i32 %n, 1
    %below = call i32 @descend(i32 %m)
    %triple = mul i32 %below, 3
    %sum = xor i32 %triple, %n
    ret i32 %sum
  })";

// Wraps, as the IR does.
int descendModel(int n) { return n == 0 ? 1 : static_cast<int>(3u * static_cast<unsigned>(descendModel(n - 1))) ^ n; }

// Keeps a word in its frame while the host runs.
const char *holding = R"(
  declare void @host(ptr)
  define i64 @hold(i64 %x) {
    %p = alloca i64
    store volatile i64 %x, ptr %p
    call void @host(ptr %p)
    %r = load volatile i64, ptr %p
    ret i64 %r
  })";

bool hasWord(const StackRoots &roots, const CodeObject &object, Address at) {
  return std::any_of(roots.ambiguous.begin(), roots.ambiguous.end(),
                     [&](const StackRoot &root) { return root.object == &object && root.slot == at; });
}

} // namespace

TEST_CASE("stack walk: nothing when no code runs") {
  Jit jit;
  TestHost host(jit);
  Handle handle = jit.add(descending, hosting(host, "i32 (i32)"));
  CHECK(jit.call<int>(handle, "descend", 5) != 0);
  CHECK(jit.engine().stackRoots().exact.empty());
  CHECK(jit.engine().stackRoots().ambiguous.empty());
}

TEST_CASE("stack walk: a return slot for each frame, which has what it says, and no other word for simple code") {
  for (OptLevel level : {OptLevel::O0, OptLevel::O1, OptLevel::O2, OptLevel::O3})
    for (int depth : {0, 1, 7, 200}) {
      CAPTURE(depth);
      Jit jit;
      TestHost host(jit);
      Handle handle = jit.add(descending, hosting(host, "i32 (i32)", level));
      host.onCall = [&](HostIndex) {
        const StackRoots &roots = jit.engine().stackRoots();
        CHECK(roots.exact.size() == static_cast<std::size_t>(depth) + 1);
        if (depth < 100) // deeper, padding of frames may have what the compiler left there
          CHECK(roots.ambiguous.empty());
        Address previous;
        for (const StackRoot &root : roots.exact) {
          CHECK(root.object == &jit.object(handle));
          CHECK(wordAt(root.slot) == valueOf(root));
          CHECK(root.slot > previous); // outwards
          previous = root.slot;
        }
        return true;
      };
      CHECK(jit.call<int>(handle, "descend", depth) == descendModel(depth));
      CHECK(host.calls == 1);
    }
}

TEST_CASE("stack walk: a move rewrites the slots, and frames return to the new place") {
  Jit jit;
  TestHost host(jit);
  Handle handle = jit.add(descending, hosting(host, "i32 (i32)"));
  host.onCall = [&](HostIndex) {
    for (int round = 0; round < 10; ++round) {
      jit.moveCodeOn(handle);
      const Segment &code = jit.object(handle).segment(SegmentKind::Code);
      StackRoots roots = jit.engine().stackRoots();
      CHECK(roots.exact.size() == 31);
      for (const StackRoot &root : roots.exact)
        CHECK(code.range().contains(Address::of(wordAt(root.slot)).shifted(-1)));
    }
    return true;
  };
  CHECK(jit.call<int>(handle, "descend", 30) == descendModel(30));
}

TEST_CASE("stack walk: frames on both sides of libc's qsort are known") {
  Jit jit;
  TestHost host(jit);
  Handle handle = jit.add(R"(
    declare void @qsort(ptr, i64, i64, ptr)
    declare i32 @host(i32, i32)
    define internal i32 @compare(ptr %a, ptr %b) {
      %x = load i32, ptr %a
      %y = load i32, ptr %b
      %r = call i32 @host(i32 %x, i32 %y)
      %s = add i32 %r, 0
      ret i32 %s
    }
    define i32 @sort(ptr %values, i64 %count) {
      call void @qsort(ptr %values, i64 %count, i64 4, ptr @compare)
      ret i32 5
    })",
                          hosting(host, "i32 (i32, i32)", OptLevel::O0));
  host.onCall = [&](HostIndex) {
    const StackRoots &roots = jit.engine().stackRoots();
    CHECK(roots.exact.size() >= 2);           // under the sanitizer, qsort is its own
    bool isPinned = !roots.ambiguous.empty(); // by words that nobody has written in libc's frames
    std::int32_t x = jit.result<int>(), y = 0;
    std::memcpy(&y, jit.block() + 8, 4);
    if (!isPinned)
      jit.moveCodeOn(handle);
    jit.setParameter(0, x < y ? -1 : x > y ? 1 : 0);
    return true;
  };
  std::array<int, 6> values{4, -2, 9, 0, 7, -2};
  CHECK(jit.call<int>(handle, "sort", values.data(), std::int64_t{6}) == 5);
  CHECK(values == std::array<int, 6>{-2, -2, 0, 4, 7, 9});
}

TEST_CASE("stack walk: a word that may be an address of code pins it, one beside or a stub's does not") {
  Jit jit;
  TestHost host(jit);
  Handle target = jit.add(descending, hosting(host, "i32 (i32)"));
  Handle holder = jit.add(holding, hosting(host, "void (ptr)"));
  const CodeObject &object = jit.object(target);
  auto pinsWith = [&](std::uint64_t word) {
    bool isPinned = false;
    host.onCall = [&](HostIndex) {
      Address at = Address::of(static_cast<std::uint64_t>(jit.result<std::int64_t>()));
      isPinned = hasWord(jit.engine().stackRoots(), object, at);
      Snapshot before = snapshotOf(jit, target);
      Failure failure = failureOf(jit.engine().relocate(jit.request(target, {jit.nextOffsets(target)[0], stays, stays})));
      CHECK(failure.code == (isPinned ? "ERR_PINNED" : ""));
      if (isPinned) {
        CHECK(snapshotOf(jit, target) == before);
        CHECK(failureOf(jit.engine().free(target)).code == "ERR_STATE");
      }
      return true;
    };
    CHECK(jit.call<std::uint64_t>(holder, "hold", word) == word);
    return isPinned;
  };
  auto code = [&] { return object.segment(SegmentKind::Code).range(); };
  CHECK(pinsWith(code().base.value()));
  CHECK(pinsWith(code().base.value() + 5));
  CHECK(pinsWith(code().limit.value() - 1));
  CHECK(pinsWith(code().limit.value())); // a return address, of a call that does not return
  CHECK_FALSE(pinsWith(code().base.value() - 1));
  CHECK_FALSE(pinsWith(code().limit.value() + 1));
  CHECK_FALSE(pinsWith(jit.stub(target, "descend").value()));
  CHECK_FALSE(pinsWith(0));
  CHECK_FALSE(pinsWith(~std::uint64_t{0}));
}

TEST_CASE("stack walk: words are looked at anew after code has written them") {
  Jit jit;
  TestHost host(jit);
  Handle target = jit.add(descending, hosting(host, "i32 (i32)"));
  Handle holder = jit.add(holding, hosting(host, "void (ptr)"));
  host.onCall = [&](HostIndex) {
    Address at = Address::of(static_cast<std::uint64_t>(jit.result<std::int64_t>()));
    CHECK_FALSE(hasWord(jit.engine().stackRoots(), jit.object(target), at));
    *at.pointer<std::uint64_t>() = jit.object(target).segment(SegmentKind::Code).base.value();
    CHECK(failureOf(jit.engine().relocate(jit.request(target, {jit.nextOffsets(target)[0], stays, stays}))).code == "ERR_PINNED");
    *at.pointer<std::uint64_t>() = 0;
    jit.moveCodeOn(target);
    return true;
  };
  CHECK(jit.call<std::int64_t>(holder, "hold", std::int64_t{0}) == 0);
}

TEST_CASE("stack walk: addresses of data pin where data may move, and not where they stay") {
  for (Moves moves : {Moves::Code, Moves::All}) {
    Jit jit;
    TestHost host(jit);
    CompileOptions options;
    options.moves = moves;
    Handle owner =
        jit.add("@x = global [4 x i64] zeroinitializer\ndefine i64 @f() {\n  %v = load i64, ptr @x\n  ret i64 %v\n}\n", options);
    Handle holder = jit.add(holding, hosting(host, "void (ptr)"));
    host.onCall = [&](HostIndex) {
      Address at = Address::of(static_cast<std::uint64_t>(jit.result<std::int64_t>()));
      CHECK(hasWord(jit.engine().stackRoots(), jit.object(owner), at) == (moves == Moves::All));
      jit.moveCodeOn(owner);
      return true;
    };
    auto word = reinterpret_cast<std::uint64_t>(jit.global<std::int64_t>(owner, "x") + 3);
    CHECK(jit.call<std::uint64_t>(holder, "hold", word) == word);
  }
}

TEST_CASE("stack walk: what can never move is listed too, because it must not be freed") {
  Jit jit;
  TestHost host(jit);
  CompileOptions options = hosting(host, "i32 (i32)");
  options.retain = Retain::None;
  Handle handle = jit.add(descending, options);
  host.onCall = [&](HostIndex) {
    CHECK(jit.engine().stackRoots().exact.size() == 4);
    CHECK(jit.engine().stackRoots().ambiguous.empty());
    CHECK(failureOf(jit.engine().free(handle)).code == "ERR_STATE");
    CHECK(failureOf(jit.engine().relocate(jit.request(handle, {jit.nextOffsets(handle)[0], stays, stays}))).code == "ERR_STATE");
    return true;
  };
  CHECK(jit.call<int>(handle, "descend", 3) == descendModel(3));
}
