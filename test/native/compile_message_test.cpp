// What crosses between a process and its helper comes out as it went in, and what is no message is an error.
#include "support.h"

#include "compile/compile_message.h"
#include "compile/isolated_compile.h"

using namespace nomad;
using namespace nomad::test;

namespace {

const char *const source = R"(@table = constant [2 x i32] [i32 1, i32 2]
@count = global double 1.5
declare i32 @setjmp(ptr) returns_twice
declare i32 @other(i32)
define i32 @f(i32 signext %first, ptr %second) { %r = call i32 @other(i32 %first) ret i32 %r }
define i32 @jumps(ptr %b) { %r = call i32 @setjmp(ptr %b) returns_twice ret i32 %r }
define <4 x i64> @wide(<4 x i64> %x) { ret <4 x i64> %x })";

ObjectFile compiled() {
  TargetMachinePool machines;
  return need(compileSource(source, {"test"}, machines));
}

// As it would be in a message: the same bytes say the same.
std::vector<std::uint8_t> again(const ObjectFile &object) {
  return encodeObjectFile(need(decodeObjectFile(encodeObjectFile(object), "test")));
}

} // namespace

TEST_CASE("compile message: requests, object files and errors come out as they went in") {
  CompileRequest request{"name", OptLevel::O3, Moves::All, Granularity::Function, {"malloc", "free"}};
  CompileRequest out;
  llvm::StringRef text;
  auto bytes = encodeRequest(llvm::StringRef("source\0with", 11), request);
  need(decodeRequest(bytes, text, out));
  CHECK(text == llvm::StringRef("source\0with", 11));
  CHECK(encodeRequest(text, out) == bytes);
  CHECK(out.ownFunctions == request.ownFunctions);
  ObjectFile object = compiled();
  CHECK(again(object) == encodeObjectFile(object));
  CHECK(need(decodeObjectFile(encodeObjectFile(object), "test")).bytes->getBuffer() == object.bytes->getBuffer());
  ErrorDetails details;
  details.line = 3;
  details.column = 0;
  details.sourceLine = "here";
  details.symbols = {"a", "b"};
  Failure failure = failureOf(decodeError(encodeError(fail(ErrorCode::IRParse, "what", details), " more"), "test"));
  CHECK(failure.code == "ERR_IR_PARSE");
  CHECK(failure.message == "what more");
  CHECK(failure.details.line == 3);
  CHECK(failure.details.column == 0);
  CHECK(failure.details.sourceLine == "here");
  CHECK(failure.details.symbols == details.symbols);
}

TEST_CASE("compile message: whatever else comes is an error, or another message") {
  SHOW_SEED;
  Random random;
  std::vector<std::uint8_t> good = encodeObjectFile(compiled()), request = encodeRequest(source, {"test"});
  auto errorBytes = encodeError(fail(ErrorCode::Codegen, "what"), "");
  for (int i = 0; i < 3000; ++i)
    for (auto *all : {&good, &request, &errorBytes}) {
      std::vector<std::uint8_t> bytes = *all;
      if (random.oneIn(3))
        bytes.resize(random.below(bytes.size()));
      for (std::uint64_t changes = random.below(4); changes > 0 && !bytes.empty(); --changes)
        bytes[random.below(std::min<std::uint64_t>(bytes.size(), 400))] = static_cast<std::uint8_t>(random.bits());
      llvm::StringRef text;
      CompileRequest out;
      CHECK(contains("ERR_CODEGEN", failureOf(decodeObjectFile(bytes, "test")).code));
      CHECK(contains("ERR_CODEGEN", failureOf(decodeRequest(bytes, text, out)).code));
      CHECK_FALSE(failureOf(decodeError(bytes, "test")).code.empty());
    }
}

TEST_CASE("isolated compile: the same object file and exports as in this process") {
  for (OptLevel level : {OptLevel::O0, OptLevel::O2}) {
    TargetMachinePool machines;
    CompileRequest request{"test", level};
    ObjectFile here = need(compileSource(source, request, machines));
    request.isIsolated = true;
    CHECK(encodeObjectFile(need(compileSource(source, request, machines))) == encodeObjectFile(here));
  }
}

TEST_CASE("isolated compile: an interruption ends it") {
  Interruption interruption;
  interruption.interrupt();
  CompileRequest request{"test"};
  request.interruption = &interruption;
  std::string large;
  for (int i = 0; i < 2000; ++i)
    large += "define i32 @f" + std::to_string(i) + "(i32 %x) { %y = mul i32 %x, 7 ret i32 %y }\n";
  Failure failure = failureOf(compileIsolated(large, request));
  CHECK(contains(failure.message, "interrupted"));
}
