// Arena, entry stubs, write scopes. Oracle for protections and the number of mappings: /proc/self/maps.
#include "support.h"

#include "memory/entry_table.h"
#include "memory/write_scope.h"

#include <algorithm>

using namespace nomad;
using namespace nomad::test;

namespace {

std::unique_ptr<Arena> makeArena(Size bytes = Size{16} << 20) { return need(Arena::create(bytes)); }

// The protection of whatever is mapped at an address.
std::string accessAt(Address address) {
  for (const KernelMapping &mapping : kernelMappings())
    if (mapping.range.contains(address))
      return mapping.access.substr(0, 3);
  return "none";
}

int writableAndExecutable() {
  auto mappings = kernelMappings();
  return static_cast<int>(std::count_if(mappings.begin(), mappings.end(), [](const KernelMapping &each) {
    return contains(each.access, "w") && contains(each.access, "x");
  }));
}

} // namespace

TEST_CASE("arena: its ranges follow each other, fill it, and have their protections (I5)") {
  for (Size bytes : {Arena::minBytes, Arena::minBytes + 1, Size{16} << 20, Arena::maxBytes}) {
    std::unique_ptr<Arena> arena = makeArena(bytes);
    CHECK(arena->range().size() >= bytes);
    CHECK(arena->range().size() < (Size{1} << 31));
    Range ranges[] = {arena->entryStubs(), arena->segments(SegmentKind::Code), arena->segments(SegmentKind::Constants),
                      arena->segments(SegmentKind::Data), arena->entrySlots()};
    const char *access[] = {"r-x", "r-x", "r--", "rw-", "rw-"};
    Address at = arena->range().base;
    for (int i = 0; i < 5; ++i) {
      CHECK(ranges[i].base == at);
      CHECK(ranges[i].size() > 0);
      CHECK(accessAt(ranges[i].base) == access[i]);
      CHECK(accessAt(ranges[i].limit.shifted(-1)) == access[i]);
      at = ranges[i].limit;
    }
    CHECK(at == arena->range().limit);
    CHECK(writableAndExecutable() == 0);
  }
}

TEST_CASE("arena: the writable view is outside the arena and not executable (I5)") {
  std::unique_ptr<Arena> arena = makeArena();
  Address view = arena->segments(SegmentKind::Code).base.shifted(arena->writableViewDelta());
  CHECK_FALSE(arena->range().contains(view));
  CHECK(accessAt(view) == "rw-");
}

// libgcc ignores the unwind records of such code.
TEST_CASE("arena: no code object can be at a multiple of 4 GiB") {
  std::vector<std::unique_ptr<Arena>> arenas; // together they cover many
  for (int i = 0; i < 12; ++i) {
    arenas.push_back(makeArena(Arena::maxBytes));
    Range code = arenas.back()->segments(SegmentKind::Code);
    CHECK(code.base.value() % (Size{1} << 32) != 0);
    CHECK((code.base.value() >> 32) == (code.limit.value() >> 32));
  }
}

TEST_CASE("arena: when it goes, nothing of it stays mapped") {
  size_t before = kernelMappings().size();
  for (int round = 0; round < 20; ++round)
    makeArena();
  CHECK(kernelMappings().size() <= before + 2); // sanitizers map memory of their own at times
}

TEST_CASE("arena: trim gives back what nobody occupies, and only that") {
  std::unique_ptr<Arena> arena = makeArena(Arena::minBytes);
  for (SegmentKind kind : segmentKinds) {
    WriteScope scope(*arena);
    Range range = arena->segments(kind);
    REQUIRE(arena->occupancy(kind).claim(Range::at(range.base + 3 * pageSize, 16)));
    std::memset(scope.writable(range.base), 0x5a, range.size());
  }
  Size all = 0;
  for (SegmentKind kind : segmentKinds)
    all += arena->segments(kind).size();
  CHECK(arena->trim() == all - 3 * pageSize);
  for (SegmentKind kind : segmentKinds)
    for (Size page = 0; page < 6; ++page) // the whole page of what is occupied is kept
      CHECK(*(arena->segments(kind).base + page * pageSize + 100).pointer<unsigned char>() == (page == 3 ? 0x5a : 0));
}

TEST_CASE("write scope: bytes written through it are there where they run; data is written in place") {
  std::unique_ptr<Arena> arena = makeArena();
  for (SegmentKind kind : segmentKinds) {
    Range range = arena->segments(kind);
    for (Address address : {range.base, range.base + 12345, range.limit.shifted(-1)}) {
      {
        WriteScope scope(*arena);
        *scope.writable(address) = std::byte{0xa7};
        CHECK((scope.writable(address) == address.pointer()) == (kind == SegmentKind::Data));
      }
      CHECK(*address.pointer() == std::byte{0xa7});
    }
  }
}

TEST_CASE("write scope: code that is overwritten a thousand times runs as it was last written") {
  std::unique_ptr<Arena> arena = makeArena();
  Address code = arena->segments(SegmentKind::Code).base + 64;
  auto *function = code.pointer<int()>();
  for (int value = 0; value < 1000; ++value) {
    {
      WriteScope scope(*arena);
      const unsigned char move[] = {0xb8, 0, 0, 0, 0, 0xc3}; // mov $value, %eax; ret
      std::memcpy(scope.writable(code), move, sizeof move);
      std::memcpy(scope.writable(code + 1), &value, sizeof value);
    }
    REQUIRE(function() == value);
  }
}

TEST_CASE("entry table: a stub jumps to where it was last redirected, and never moves (I10)") {
  std::unique_ptr<Arena> arena = makeArena();
  LoggedEntries logged(*arena);
  EntryTable &entries = logged.table;
  EntryIndex index = need(entries.take());
  Address stub = entries.stub(index);
  int (*targets[])() = {[] { return 1; }, [] { return 2; }};
  for (int round = 0; round < 4; ++round) {
    entries.redirect(index, Address::of(reinterpret_cast<const void *>(targets[round % 2])));
    CHECK(stub.pointer<int()>()() == round % 2 + 1);
    CHECK(entries.stub(index) == stub);
  }
}

TEST_CASE("entry table: each stub has its own slot, to the last one; then it is full") {
  std::unique_ptr<Arena> arena = makeArena(Arena::minBytes);
  LoggedEntries logged(*arena);
  EntryTable &entries = logged.table;
  auto same = [](std::uint64_t) { return 0; };
  Address target = Address::of(reinterpret_cast<const void *>(+same));
  std::vector<EntryIndex> taken;
  for (Size i = 0; i < entries.capacity(); ++i) {
    taken.push_back(need(entries.take()));
    entries.redirect(taken.back(), target + i); // never run: only told apart
  }
  CHECK(entries.used() == entries.capacity());
  CHECK(failureOf(entries.take()).code == "ERR_SPACE_FULL");
  std::sort(taken.begin(), taken.end());
  CHECK(std::adjacent_find(taken.begin(), taken.end()) == taken.end());
  for (EntryIndex index : taken)
    REQUIRE(arena->entryStubs().contains(Range::at(entries.stub(index), EntryTable::stubBytes)));
  entries.giveBack(taken[5]);
  CHECK(entries.target(taken[5]) == Address());
  CHECK(need(entries.take()) == taken[5]);
}

TEST_CASE("entry table: the first and the last stub both work") {
  std::unique_ptr<Arena> arena = makeArena(Arena::minBytes);
  LoggedEntries logged(*arena);
  EntryTable &entries = logged.table;
  for (Size i = 0; i < entries.capacity(); ++i) {
    EntryIndex index = need(entries.take());
    if (i != 0 && i != 511 && i != 512 && i + 1 != entries.capacity())
      continue;
    int (*function)() = [] { return 77; };
    entries.redirect(index, Address::of(reinterpret_cast<const void *>(function)));
    CHECK(entries.stub(index).pointer<int()>()() == 77);
  }
}

TEST_CASE("a thousand code objects make no kernel mapping and none that is writable and executable (I5, I8)") {
  Jit jit;
  const char *source = "@d = global i32 1\n@c = constant i32 2\ndefine i32 @f() {\n  %x = load i32, ptr @d\n  ret i32 %x\n}\n";
  Handle first = jit.add(source);
  Size before = jit.engine().stats().mappings;
  ObjectFile once = need(compileSource(source, {"", OptLevel::O0, Moves::Code}, *jit.engine().machines()));
  for (int i = 0; i < 1000; ++i) {
    auto copy = llvm::MemoryBuffer::getMemBufferCopy(once.bytes->getBuffer(), "");
    Handle handle = need(jit.engine().link({std::move(copy), once.exports}, {}));
    jit.place(handle);
    REQUIRE(jit.function<int()>(handle, "f")() == 1);
  }
  CHECK(jit.engine().stats().mappings == before);
  CHECK(before <= 6);
  CHECK(writableAndExecutable() == 0);
  CHECK(jit.engine().stats().placedObjects == 1001);
  CHECK(jit.function<int()>(first, "f")() == 1);
}
