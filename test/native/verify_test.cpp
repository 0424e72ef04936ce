// The engine that verifies moves finds what a wrong move would leave. Oracle: damage made on purpose.
#include "support.h"

#include <sys/mman.h>
#include <unistd.h>

using namespace nomad;
using namespace nomad::test;

namespace {

constexpr auto source = R"(
@table = constant [3 x ptr] [ptr @state, ptr null, ptr @state]
@state = global [4 x i64] [i64 1, i64 2, i64 3, i64 4]
@pointer = global ptr @state
declare i32 @toupper(i32)
define i64 @f() {
  %c = call i32 @toupper(i32 97)
  %p = load ptr, ptr @pointer
  %x = load i64, ptr %p
  %w = zext i32 %c to i64
  %r = add i64 %x, %w
  ret i64 %r
})";

struct Subject {
  std::unique_ptr<Engine> engine;
  Handle handle;

  MoveRequest at(std::int32_t place) const { return {handle, {place, place, place}}; }
  Address base(SegmentKind kind) const { return need(engine->object(handle)).segment(kind).base; }
};

Subject makeSubject(LinkerKind linker, Retain retain) {
  EngineOptions options;
  options.arenaBytes = 1 << 24;
  options.linker = linker;
  options.verifiesMoves = true;
  Subject subject{need(Engine::create(options)), 0};
  CompileOptions compile;
  compile.name = "subject";
  compile.retain = retain;
  subject.handle = need(subject.engine->compile(source, compile));
  need(subject.engine->place(subject.at(0)));
  return subject;
}

// Against I5, for the moment of a write.
void damage(Address address) {
  Size page = static_cast<Size>(getpagesize());
  void *base = Address::of(roundDown(address.value(), page)).pointer<void>();
  REQUIRE(mprotect(base, page, PROT_READ | PROT_WRITE) == 0);
  *address.pointer<std::uint8_t>() ^= 1;
  REQUIRE(mprotect(base, page, PROT_READ | PROT_EXEC) == 0);
}

} // namespace

TEST_CASE("verified moves: right ones pass, and damage is found in each segment") {
  for (LinkerKind linker : {LinkerKind::JITLink, LinkerKind::RuntimeDyld})
    for (Retain retain : {Retain::Relocations, Retain::Object}) {
      Subject subject = makeSubject(linker, retain);
      Engine &engine = *subject.engine;
      for (std::int32_t place : {0x10000, 0x4000, 0x20000})
        CHECK(need(engine.relocate(subject.at(place))).moved == 1);
      // A program's own changes are no damage.
      subject.base(SegmentKind::Data).pointer<std::uint64_t>()[1] = 77;
      CHECK(need(engine.relocate(subject.at(0x30000))).moved == 1);
      if (retain == Retain::Object)
        continue; // code and constants are made anew
      damage(subject.base(SegmentKind::Code) + 5);
      CHECK(contains(failureOf(engine.relocate(subject.at(0x40000))).message, "its code at offset 0x5"));
    }
}

namespace {
bool isTraps(Range part) {
  const auto *bytes = part.base.pointer<std::uint8_t>();
  return std::all_of(bytes, bytes + part.size(), [](std::uint8_t byte) { return byte == 0xcc; });
}
} // namespace

TEST_CASE("poison: code that a move or a free has left is traps, to its last byte and no further") {
  EngineOptions options;
  options.poisonsVacated = true;
  auto engine = need(Engine::create(options));
  auto add = [&](std::int32_t place) {
    Handle handle = need(engine->compile(source, {}));
    need(engine->place(MoveRequest{handle, {place, place, place}}));
    return handle;
  };
  auto codeOf = [&](Handle handle) { return need(engine->object(handle)).segment(SegmentKind::Code).range(); };
  Handle subject = add(0);
  auto stride = static_cast<std::int32_t>(roundUp(codeOf(subject).size(), OccupancyMap::granule));
  Handle neighbour = add(stride);
  auto bytesOf = [](Range part) { return std::vector<std::byte>(part.base.pointer(), part.limit.pointer()); };
  std::vector<std::byte> neighbours = bytesOf(codeOf(neighbour));

  Range left = codeOf(subject);
  need(engine->relocate(MoveRequest{subject, {4 * stride, MoveRequest::stays, MoveRequest::stays}}));
  CHECK(isTraps(left));
  CHECK_FALSE(isTraps(codeOf(subject)));
  CHECK(bytesOf(codeOf(neighbour)) == neighbours);

  left = codeOf(subject); // sliding down: of the old place only the end is left
  need(engine->relocate(MoveRequest{subject, {4 * stride - 16, MoveRequest::stays, MoveRequest::stays}}));
  CHECK(isTraps({codeOf(subject).base + stride, left.limit}));
  CHECK_FALSE(isTraps({codeOf(subject).limit.shifted(-16), codeOf(subject).limit}));

  left = codeOf(subject);
  need(engine->free(subject));
  CHECK(isTraps(left));
  CHECK(bytesOf(codeOf(neighbour)) == neighbours);
}
