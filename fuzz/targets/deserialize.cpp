// Saved code objects that are damaged, with a right checksum and with a wrong one.
//
// An input says which program is saved, and how its bytes change: so inputs stay good from build to build, whatever those bytes
// are.
//   | program | isSealed ... | change: how, where: u16, byte | ...
#include "compile/object_file.h"
#include "link/saved_object.h"
#include "support/input.h"
#include "support/jit.h"

using namespace nomad;
using namespace nomad::fuzz;
using namespace llvm;

namespace {

using Bytes = std::vector<std::uint8_t>;

// Nothing in them runs by itself.
constexpr const char *programs[] = {"define i32 @run(i32 %x) {\n  ret i32 %x\n}\n",
                                    R"(
@table = constant [3 x i32] [i32 1, i32 2, i32 3]
@pointers = global [3 x ptr] [ptr @table, ptr @count, ptr @run]
@count = global i32 7
declare i32 @callee(i32)
define i32 @run(i32 %x) uwtable {
  %a = call i32 @callee(i32 %x)
  %at = getelementptr [3 x i32], ptr @table, i32 0, i32 %a
  %v = load i32, ptr %at
  ret i32 %v
}
)",
                                    R"(
@seeded = thread_local global i32 40
@labels = internal constant [2 x ptr] [ptr blockaddress(@run, %one), ptr blockaddress(@run, %two)]
declare ptr @llvm.threadlocal.address.p0(ptr)
declare i32 @toupper(i32)
declare extern_weak i32 @optional(i32)
define i32 @run(i32 %x) {
  %i = and i32 %x, 1
  %at = getelementptr ptr, ptr @labels, i32 %i
  %label = load volatile ptr, ptr %at
  indirectbr ptr %label, [label %one, label %two]
one:
  %t = call ptr @llvm.threadlocal.address.p0(ptr @seeded)
  %u = load i32, ptr %t
  %r = call i32 @toupper(i32 %u)
  ret i32 %r
two:
  %isThere = icmp ne ptr @optional, null
  %z = zext i1 %isThere to i32
  ret i32 %z
}
define double @pool(double %x) {
  %y = fmul double %x, 1.5
  ret double %y
}
)"};
constexpr Retain retains[] = {Retain::Relocations, Retain::Object, Retain::None};

// Generated once for all inputs.
ObjectFile calleeFile() {
  static const ObjectFile file = [] {
    TargetMachinePool machines;
    return need(compileSource("define i32 @callee(i32 %x) {\n  ret i32 %x\n}\n", {"callee", OptLevel::O1}, machines));
  }();
  return {MemoryBuffer::getMemBufferCopy(file.bytes->getBuffer()), file.exports};
}

struct Ground {
  Ground() {
    options.name = "callee";
    Handle callee = need(jit.engine().link(calleeFile(), options));
    need(jit.engine().place(jit.request(callee, 0)));
    options.name = "saved";
    options.imports = {{"callee", {}, callee, "callee"}};
  }

  fuzz::Jit jit;
  CompileOptions options;
};

const std::vector<Bytes> &savedPrograms() {
  static const std::vector<Bytes> saved = [] {
    std::vector<Bytes> all;
    Ground ground;
    for (const char *program : programs)
      for (Retain retain : retains) {
        ground.options.retain = retain;
        Handle handle = need(ground.jit.engine().compile(program, ground.options));
        all.push_back(need(ground.jit.engine().serialize(handle)));
        need(ground.jit.engine().free(handle));
      }
    return all;
  }();
  return saved;
}

void change(Bytes &bytes, Input &input) {
  std::size_t how = input.below(8), at = bytes.empty() ? 0 : input.word() % bytes.size();
  std::uint8_t value = input.byte();
  auto place = bytes.begin() + static_cast<std::ptrdiff_t>(at);
  if (how == 0)
    bytes.insert(place, value);
  else if (how == 1 && !bytes.empty())
    bytes.erase(place);
  else if (how == 2)
    bytes.resize(at);
  else if (how < 5 && !bytes.empty())
    *place ^= static_cast<std::uint8_t>(1 << value % 8);
  else if (!bytes.empty())
    *place = value;
}

// Machine code with a right checksum may say of itself what it likes: where a relocation of it writes over its own unwind
// records, what they describe is not ours to answer for. All else is.
void verify(fuzz::Jit &jit) {
  std::string what = toString(jit.engine().verify());
  require(what.empty() || StringRef(what).contains("[unwind records"), what);
}

void live(Ground &ground, Handle handle) {
  fuzz::Jit &jit = ground.jit;
  verify(jit);
  need(jit.engine().serialize(handle));
  if (jit.runsByItself(handle))
    return;
  auto placed = jit.engine().place(jit.request(handle, 1 << 14));
  if (!placed)
    return expected(placed.takeError());
  verify(jit);
  auto moved = jit.engine().relocate(jit.request(handle, 1 << 16));
  if (!moved)
    expected(moved.takeError());
  verify(jit);
}

} // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t *data, std::size_t size) {
  Input input(data, size);
  Bytes bytes = savedPrograms()[input.below(savedPrograms().size())];
  bool isSealed = input.byte() % 4 != 0;
  for (int changes = 0; changes < 64 && !input.isEmpty(); ++changes)
    change(bytes, input);
  if (isSealed && bytes.size() >= sizeof(SavedHeader))
    sealSaved(bytes);
  Ground ground;
  auto handle = ground.jit.engine().deserialize(bytes, ground.options);
  if (!handle) {
    expected(handle.takeError());
  } else {
    live(ground, *handle);
    // What says of itself that it changes to other stacks pins all code.
    if (!ground.jit.runsByItself(*handle))
      if (Error error = ground.jit.engine().free(*handle))
        expected(std::move(error));
  }
  verify(ground.jit);
  return 0;
}
