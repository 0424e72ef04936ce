// Saved code objects whose checksum is right, whatever else they say: an error, or a code object that is as sound as any other.
// What it would compute is another matter: it is never run.
#include "link/saved_object.h"

#include "support.h"

using namespace nomad;
using namespace nomad::test;

namespace {

using Bytes = std::vector<std::uint8_t>;

// Constants, data with pointers, a thread-local variable, a constructor, calls, a call through a slot, an entry stub of its own,
// unwind records.
constexpr const char *program = R"(
@table = constant [3 x i32] [i32 1, i32 2, i32 3]
@pointer = global ptr @count
@count = global i32 7
@chosen = global ptr @twice
@seeded = thread_local global i32 40
@llvm.global_ctors = appending global [1 x { i32, ptr, ptr }] [{ i32, ptr, ptr } { i32 100, ptr @begin, ptr null }]
declare i32 @callee(i32)
declare i32 @toupper(i32)
declare extern_weak i32 @optional(i32)
declare ptr @llvm.threadlocal.address.p0(ptr)
define internal void @begin() { store i32 8, ptr @count ret void }
define i32 @twice(i32 %x) { %y = mul i32 %x, 2 ret i32 %y }
define i32 @run(i32 %x, ptr %p, double %d) uwtable {
  %a = call i32 @callee(i32 %x)
  %b = call i32 @toupper(i32 %a)
  %f = load ptr, ptr @chosen
  %c = call i32 %f(i32 %b)
  %t = call ptr @llvm.threadlocal.address.p0(ptr @seeded)
  %u = load i32, ptr %t
  %at = getelementptr [3 x i32], ptr @table, i32 0, i32 %u
  %v = load i32, ptr %at
  %w = add i32 %c, %v
  %isThere = icmp ne ptr @optional, null
  %z = zext i1 %isThere to i32
  %sum = add i32 %w, %z
  ret i32 %sum
}
define <4 x float> @refused(<4 x float> %v) { ret <4 x float> %v }
)";

// Without anything that runs when it is placed or freed.
constexpr const char *idle = R"(
@table = constant [3 x i32] [i32 1, i32 2, i32 3]
@pointers = global [3 x ptr] [ptr @table, ptr @count, ptr @count]
@count = global i32 7
declare i32 @callee(i32)
define i32 @run(i32 %x) uwtable {
  %a = call i32 @callee(i32 %x)
  %at = getelementptr [3 x i32], ptr @table, i32 0, i32 %a
  %v = load i32, ptr %at
  ret i32 %v
}
)";

struct Ground {
  explicit Ground(bool verifies = false) {
    EngineOptions options;
    options.arenaBytes = Size{16} << 20;
    options.verifiesMoves = verifies;
    engine = need(Engine::create(options));
    engine->setArgumentBlock(Address::of(block.data()));
    compileOptions.name = "callee";
    Handle callee = need(engine->compile("define i32 @callee(i32 %x) { ret i32 %x }", compileOptions));
    need(engine->place(MoveRequest{callee, {0, 0, 0}}));
    compileOptions.imports = {importFunction("callee", callee, "callee")};
    compileOptions.name = "saved";
  }

  Bytes save(Retain retain, const char *source = program) {
    compileOptions.retain = retain;
    Handle handle = need(engine->compile(source, compileOptions));
    Bytes bytes = need(engine->serialize(handle));
    need(engine->free(handle));
    return bytes;
  }

  // True if it was loaded. Then it is saved again, which reads all of it.
  bool load(const Bytes &bytes) {
    auto handle = engine->deserialize(bytes, compileOptions);
    if (!handle) {
      Failure failure = failureOf(handle.takeError());
      bool isExpected = failure.code == "ERR_LINK" || failure.code == "ERR_UNSUPPORTED" ||
                        failure.code == "ERR_UNRESOLVED_SYMBOL" || failure.code == "ERR_SIGNATURE";
      INFO(failure.message);
      REQUIRE(isExpected);
      return false;
    }
    need(engine->serialize(*handle));
    moveAbout(*handle);
    need(engine->free(*handle));
    return true;
  }

  void moveAbout(Handle handle) {
    const CodeObject &object = need(engine->object(handle));
    if (object.teardown || object.image->initializer != noOffset)
      return; // would be run
    if (failureOf(engine->place(MoveRequest{handle, {1 << 16, 1 << 16, 1 << 16}})).code.empty())
      (void)failureOf(engine->relocate(MoveRequest{handle, {1 << 17, MoveRequest::stays, 1 << 17}}));
  }

  std::vector<std::uint64_t> block = std::vector<std::uint64_t>(Engine::blockBytes / 8 + 1);
  std::unique_ptr<Engine> engine;
  CompileOptions compileOptions;
};

Bytes sealed(Bytes bytes) {
  sealSaved(bytes);
  return bytes;
}

} // namespace

TEST_CASE("a saved code object is loaded, and saved as the same bytes, by another engine too") {
  for (Retain retain : {Retain::Relocations, Retain::Object, Retain::None}) {
    Ground one, other;
    Bytes bytes = one.save(retain);
    CHECK(bytes == other.save(retain));
    Handle handle = need(other.engine->deserialize(bytes, other.compileOptions));
    CHECK(need(other.engine->serialize(handle)) == bytes);
    need(other.engine->free(handle));
  }
}

TEST_CASE("with a right checksum: every byte of a saved code object that is another, and every length") {
  Ground ground;
  Bytes whole = ground.save(Retain::Relocations);
  REQUIRE(ground.load(whole));
  for (size_t at = sizeof(SavedHeader); at < whole.size(); ++at)
    for (unsigned value : {whole[at] ^ 1u, whole[at] ^ 0x80u, 0u, 0xffu}) {
      Bytes bytes = whole;
      bytes[at] = static_cast<std::uint8_t>(value);
      INFO("byte ", at, " is ", value);
      ground.load(sealed(bytes));
    }
  for (size_t length = sizeof(SavedHeader); length < whole.size(); ++length)
    CHECK(!ground.load(sealed(Bytes(whole.begin(), whole.begin() + static_cast<std::ptrdiff_t>(length)))));
}

TEST_CASE("with a right checksum: saved code objects that are damaged at random") {
  SHOW_SEED;
  for (auto [retain, source] : {std::pair(Retain::Relocations, program), std::pair(Retain::Object, program),
                                std::pair(Retain::Relocations, idle), std::pair(Retain::None, idle)}) {
    Ground ground;
    Random random(static_cast<std::uint64_t>(retain) + 4 * (source == idle));
    Bytes whole = ground.save(retain, source);
    Size entries = ground.engine->stats().entryStubs;
    for (int round = 0; round < 4000; ++round) {
      Bytes bytes = whole;
      for (std::uint64_t changes = 1 + random.below(4); changes > 0; --changes) {
        auto at = static_cast<std::ptrdiff_t>(sizeof(SavedHeader) + random.below(bytes.size() - sizeof(SavedHeader)));
        auto length = static_cast<std::ptrdiff_t>(1 + random.below(8));
        if (random.oneIn(4))
          bytes.insert(bytes.begin() + at, static_cast<size_t>(length), static_cast<std::uint8_t>(random.bits()));
        else if (random.oneIn(3))
          bytes.erase(bytes.begin() + at, bytes.begin() + std::min<std::ptrdiff_t>(at + length, std::ssize(bytes)));
        else
          bytes[static_cast<size_t>(at)] = static_cast<std::uint8_t>(random.bits());
        if (bytes.size() <= sizeof(SavedHeader) + 8)
          break;
      }
      ground.load(sealed(bytes));
    }
    CHECK(ground.engine->stats().entryStubs == entries);
    CHECK(ground.load(whole));
  }
}
