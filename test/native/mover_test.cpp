// Placing and relocating: batches, overlaps, all or nothing (I7), data that the program changed (I4).
//
// Oracle: what the compiled functions compute, and byte-for-byte snapshots of everything that must not have changed.
#include "support.h"

using namespace nomad;
using namespace nomad::test;

namespace {

// A code object with all three segments: f(x) = x * factor + a constant + a counter that it advances.
std::string countingSource(int factor) {
  std::string text = std::to_string(factor);
  return "@counter = global i32 0\n@table = constant [4 x i32] [i32 " + text +
         ", i32 20, i32 30, i32 40]\n"
         "@pointer = global ptr @counter\n"
         "define i32 @f(i32 %x) {\n"
         "  %p = load volatile ptr, ptr @pointer\n  %old = load i32, ptr %p\n  %new = add i32 %old, 1\n  store i32 %new, ptr %p\n"
         "  %i = and i32 %x, 3\n  %e = getelementptr [4 x i32], ptr @table, i32 0, i32 %i\n  %t = load i32, ptr %e\n"
         "  %m = mul i32 %x, " +
         text + "\n  %s = add i32 %m, %t\n  %r = add i32 %s, %new\n  ret i32 %r\n}\n";
}

struct Counting {
  Handle handle;
  int factor;
  int calls = 0;

  int expect(int x) {
    const int table[] = {factor, 20, 30, 40};
    return x * factor + table[x & 3] + ++calls;
  }
};

Counting addCounting(Jit &jit, int factor, Moves moves = Moves::Code) {
  CompileOptions options;
  options.name = "counting " + std::to_string(factor);
  options.moves = moves;
  return {jit.add(countingSource(factor), options), factor};
}

void checkCalls(Jit &jit, Counting &counting) {
  auto *f = jit.function<int(int)>(counting.handle, "f");
  for (int x : {0, 1, 7, -5})
    CHECK(f(x) == counting.expect(x));
}

// Code of more than two pages: @f returns a checksum of much straight-line code.
std::string longSource(int salt) {
  std::string text = "define i32 @f(i32 %x0) {\n";
  for (int i = 0; i < 1500; ++i)
    text += "  %y" + std::to_string(i) + " = mul i32 %x" + std::to_string(i) + ", " + std::to_string(2 * i + salt * 2 + 1) +
            "\n  %x" + std::to_string(i + 1) + " = xor i32 %y" + std::to_string(i) + ", " + std::to_string(i * 7919 + salt) +
            "\n";
  return text + "  ret i32 %x1500\n}\n";
}

int longResult(int salt, int x) {
  auto value = static_cast<unsigned>(x);
  for (unsigned i = 0; i < 1500; ++i)
    value = (value * (2 * i + static_cast<unsigned>(salt) * 2 + 1)) ^ (i * 7919 + static_cast<unsigned>(salt));
  return static_cast<int>(value);
}

Handle addLong(Jit &jit, int salt) {
  CompileOptions options;
  options.level = OptLevel::O0;
  Handle handle = jit.add(longSource(salt), options);
  REQUIRE(jit.object(handle).segment(SegmentKind::Code).size > 2 * 4096);
  return handle;
}

} // namespace

TEST_CASE("mover: a code object works at the far ends of every range, and back") {
  for (Moves moves : {Moves::Code, Moves::All}) {
    Jit jit(Arena::maxBytes);
    Counting counting = addCounting(jit, 3, moves);
    checkCalls(jit, counting);
    Offsets near = jit.nextOffsets(counting.handle), far = jit.farOffsets(counting.handle);
    for (unsigned mask = 0; mask < 16; ++mask) { // every combination of near, far
      Offsets offsets = near;
      for (size_t kind = 0; kind < 3; ++kind)
        if (mask >> kind & 1)
          offsets[kind] = far[kind];
      jit.relocate(counting.handle, offsets);
      checkCalls(jit, counting);
    }
  }
}

TEST_CASE("mover: constants stay when only code moves, and go along with moves: all (I11)") {
  Jit jit;
  CHECK(jit.object(addCounting(jit, 3, Moves::Code).handle).segment(SegmentKind::Constants).size >= 16);
  Counting all = addCounting(jit, 3, Moves::All);
  CHECK_FALSE(jit.object(all.handle).segment(SegmentKind::Constants).exists());
  Address before = need(jit.engine().addressOf(all.handle, "table"));
  jit.moveCodeOn(all.handle);
  CHECK(need(jit.engine().addressOf(all.handle, "table")) != before);
  CHECK(jit.global<int>(all.handle, "table")[1] == 20);
  checkCalls(jit, all);
}

TEST_CASE("mover: sliding by 16 bytes over itself, up and down, code of several pages") {
  Jit jit;
  Handle handle = addLong(jit, 5);
  auto base = static_cast<std::int64_t>(jit.offsetOf(handle, SegmentKind::Code));
  auto *f = jit.function<int(int)>(handle, "f");
  for (std::int64_t slide : {16, 32, 16, 0, 4096, 4080, 0}) {
    jit.relocate(handle, {base + slide, stays, stays});
    REQUIRE(f(9) == longResult(5, 9));
  }
}

TEST_CASE("mover: compaction slides many objects in one batch, down and up, in any order of requests") {
  Jit jit;
  std::vector<Handle> handles;
  for (int salt = 0; salt < 5; ++salt)
    handles.push_back(addLong(jit, salt));
  std::vector<std::int64_t> bases;
  for (Handle handle : handles)
    bases.push_back(static_cast<std::int64_t>(jit.offsetOf(handle, SegmentKind::Code)));
  for (std::int64_t slide : {48, 16, 0, 16}) {
    std::vector<MoveRequest> batch;
    for (size_t i : {3, 0, 4, 1, 2})
      batch.push_back(jit.request(handles[i], {bases[i] + slide, stays, stays}));
    MoveReport report = need(jit.engine().relocate(batch));
    CHECK(report.moved == 5);
    for (int salt = 0; salt < 5; ++salt)
      REQUIRE(jit.function<int(int)>(handles[static_cast<size_t>(salt)], "f")(3) == longResult(salt, 3));
  }
}

TEST_CASE("mover: two code objects change places in one batch, with all their segments") {
  Jit jit;
  Counting a = addCounting(jit, 3), b = addCounting(jit, 5);
  for (int round = 0; round < 3; ++round) {
    Offsets placeA, placeB;
    for (SegmentKind kind : segmentKinds) {
      placeA[indexOf(kind)] = static_cast<std::int64_t>(jit.offsetOf(a.handle, kind));
      placeB[indexOf(kind)] = static_cast<std::int64_t>(jit.offsetOf(b.handle, kind));
    }
    need(jit.engine().relocate({jit.request(a.handle, placeB), jit.request(b.handle, placeA)}));
    checkCalls(jit, a);
    checkCalls(jit, b);
  }
}

TEST_CASE("mover: three code objects rotate in one batch") {
  Jit jit;
  Handle handles[] = {addLong(jit, 0), addLong(jit, 1), addLong(jit, 2)};
  std::int64_t bases[3];
  for (int i = 0; i < 3; ++i)
    bases[i] = static_cast<std::int64_t>(jit.offsetOf(handles[i], SegmentKind::Code));
  for (int round = 1; round <= 4; ++round) {
    std::vector<MoveRequest> batch;
    for (int i = 0; i < 3; ++i)
      batch.push_back(jit.request(handles[i], {bases[(i + round) % 3], stays, stays}));
    need(jit.engine().relocate(batch));
    for (int i = 0; i < 3; ++i)
      REQUIRE(jit.function<int(int)>(handles[i], "f")(4) == longResult(i, 4));
  }
}

TEST_CASE("mover: what the program stored survives every move (I4)") {
  Jit jit;
  Handle handle = jit.add("@x = global i64 1\n@zeros = global [100 x i64] zeroinitializer\n@p = global ptr @x\n"
                          "define ptr @read() {\n  %p = load ptr, ptr @p\n  ret ptr %p\n}\n");
  auto *x = jit.global<std::uint64_t>(handle, "x");
  *x = 0x1234'5678'9abc'def0;
  jit.global<std::uint64_t>(handle, "zeros")[99] =
      jit.object(handle).segment(SegmentKind::Data).base.value(); // looks like a pointer
  std::uint64_t number = jit.global<std::uint64_t>(handle, "zeros")[99];
  jit.moveOn(handle);
  CHECK(*jit.global<std::uint64_t>(handle, "x") == 0x1234'5678'9abc'def0);
  CHECK(jit.global<std::uint64_t>(handle, "zeros")[99] == number); // no pointer slot: never adjusted
  CHECK(jit.function<void *()>(handle, "read")() == jit.global<void>(handle, "x"));
  int outside = 0;
  *jit.global<int *>(handle, "p") = &outside;
  jit.moveOn(handle);
  CHECK(jit.function<void *()>(handle, "read")() == &outside);
}

TEST_CASE("mover: a pointer slot that the program set to a neighbour's first byte is not one past its own end (I4)") {
  Jit jit;
  CompileOptions options;
  options.moves = Moves::All;
  const char *source = "@sixteen = global [2 x ptr] [ptr @sixteen, ptr null], align 16\ndefine void @f() {\n  ret void\n}\n";
  Handle first = jit.add(source, options), second = jit.add(source, options);
  auto *neighbour = jit.global<void>(second, "sixteen");
  jit.global<void *>(first, "sixteen")[0] = neighbour;
  jit.moveOn(first);
  CHECK(jit.global<void *>(first, "sixteen")[0] == neighbour);
}

TEST_CASE("mover: a code object without a single byte is placed by placing it") {
  Jit jit;
  Handle handle = jit.add("@nothing = global [0 x i8] zeroinitializer\n");
  CHECK(jit.object(handle).state == State::Placed);
  CHECK(jit.engine().stats().placedObjects == 1);
  CHECK(failureOf(jit.engine().addressOf(handle, "nothing")).code.empty());
  jit.free(handle);
}
