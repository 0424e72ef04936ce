// Source -> object file: what is wrong with a source is said exactly, and nothing that a source contains ends the process (I14).
#include "support.h"

#include "compile/object_file.h"

#include "llvm/Bitcode/BitcodeWriter.h"
#include "llvm/Support/raw_ostream.h"

#include <atomic>
#include <thread>

using namespace nomad;
using namespace nomad::test;

namespace {

TargetMachinePool &machines() {
  static TargetMachinePool pool;
  return pool;
}

Failure compile(llvm::StringRef source, OptLevel level = OptLevel::O2) {
  return failureOf(compileSource(source, {"test.ll", level, Moves::Code}, machines()));
}

constexpr const char *goodSource = "define i32 @f(i32 %x) {\n  ret i32 %x\n}\n";

void checkPoolWorks() {
  for (OptLevel level : {OptLevel::O0, OptLevel::O1, OptLevel::O2, OptLevel::O3})
    CHECK(compile(goodSource, level).code.empty());
}

std::string repeat(const char *text, int count) {
  std::string result;
  for (int i = 0; i < count; ++i)
    result += text;
  return result;
}

} // namespace

TEST_CASE("object file: a good source gives an ELF file and its exports, at every level") {
  for (OptLevel level : {OptLevel::O0, OptLevel::O1, OptLevel::O2, OptLevel::O3}) {
    ObjectFile object = need(compileSource(goodSource, {"test.ll", level, Moves::Code}, machines()));
    CHECK(object.bytes->getBuffer().starts_with("\x7f"
                                                "ELF"));
    REQUIRE(object.exports.functions.size() == 1);
    CHECK(object.exports.functions[0].name == "f");
    CHECK(object.exports.functions[0].parameterNames == std::vector<std::string>{"x"});
  }
}

TEST_CASE("object file: exports are definitions that others could link to") {
  const char *source = R"(
    @visible = global i32 1
    @hidden = internal global i32 2
    @array = constant [3 x i16] zeroinitializer
    @thread = thread_local global i32 3
    declare void @external()
    define internal void @local() { ret void }
    define void @both(i32 %first, i32) { call void @external() call void @local() ret void }
    @alias = alias void (i32, i32), ptr @both
    @use = global [2 x ptr] [ptr @hidden, ptr @local])";
  ObjectFile object = need(compileSource(source, {"test.ll", OptLevel::O0, Moves::Code}, machines()));
  std::vector<std::string> functions, globals;
  for (auto &each : object.exports.functions)
    functions.push_back(each.name);
  for (auto &each : object.exports.globals)
    globals.push_back(each.name + " " + each.type + " " + std::to_string(each.size) + (each.isConstant ? " constant" : ""));
  CHECK(functions == std::vector<std::string>{"both", "alias"});
  CHECK(globals == std::vector<std::string>{"visible i32 4", "array [3 x i16] 6 constant", "use [2 x ptr] 16"});
  CHECK(object.exports.functions[0].parameterNames == std::vector<std::string>{"first", ""});
}

TEST_CASE("object file: a syntax error has its line and column, counted from 1") {
  Failure failure = compile("define i32 @f() {\n  ret i32 nonsense\n}\n");
  CHECK(failure.code == "ERR_IR_PARSE");
  CHECK(failure.details.line == 2u);
  CHECK(failure.details.column == 11u);
  CHECK(failure.details.sourceLine == "  ret i32 nonsense");
  CHECK(contains(failure.message, "test.ll:2:11: "));
}

TEST_CASE("object file: a syntax error on the first line, at its first column") {
  Failure failure = compile("nonsense");
  CHECK(failure.details.line == 1u);
  CHECK(failure.details.column == 1u);
}

TEST_CASE("object file: a syntax error in a line of a megabyte shows the part around it") {
  Failure failure =
      compile("@a = global i32 0 ;" + std::string(1'000'000, ' ') + "\n@b = global [" + repeat("1 x [", 20'000) + " !");
  CHECK(failure.details.line == 2u);
  CHECK(failure.details.sourceLine->size() <= 200);
  CHECK(contains(*failure.details.sourceLine, "!"));
  CHECK(failure.message.size() < 1000);
}

TEST_CASE("object file: sources without anything, or that are no text") {
  CHECK(compile("").code.empty()); // an empty module is a module
  CHECK(compile("\xff\xfe\x80").code == "ERR_IR_PARSE");
}

TEST_CASE("object file: what the verifier finds is said in its words") {
  Failure failure = compile("define i32 @f() {\n  %x = add i32 %y, 1\n  %y = add i32 1, 1\n  ret i32 %x\n}\n");
  CHECK(failure.code == "ERR_IR_VERIFY");
  CHECK(contains(failure.message, "Instruction does not dominate all uses"));
  CHECK(contains(failure.message, "%x = add i32 %y, 1"));
}

TEST_CASE("object file: another machine's module is refused") {
  for (const char *triple : {"aarch64-unknown-linux-gnu", "x86_64-pc-windows-msvc", "x86_64-apple-macosx",
                             "x86_64-pc-linux-gnux32", "i386-pc-linux-gnu"}) {
    Failure failure = compile("target triple = \"" + std::string(triple) + "\"\n" + goodSource);
    CHECK(failure.code == "ERR_UNSUPPORTED");
    CHECK(contains(failure.message, triple));
  }
  CHECK(compile("target triple = \"x86_64-unknown-linux-gnu\"\n" + std::string(goodSource)).code.empty());
  CHECK(compile("target datalayout = \"e-p:32:32\"\n" + std::string(goodSource)).code == "ERR_UNSUPPORTED");
}

TEST_CASE("object file: bitcode compiles; cut anywhere it is a parse error without a line") {
  llvm::SmallVector<char, 0> bitcode;
  llvm::raw_svector_ostream stream(bitcode);
  ParsedModule module = need(parseModule(goodSource, "test"));
  llvm::WriteBitcodeToFile(*module.ir, stream);
  llvm::StringRef whole(bitcode.data(), bitcode.size());
  CHECK(compile(whole).code.empty());
  for (size_t length = 4; length < whole.size(); length += 37) {
    INFO(length << " of " << whole.size() << " bytes");
    Failure failure = compile(whole.take_front(length));
    CHECK(failure.code == "ERR_IR_PARSE");
    CHECK_FALSE(failure.details.line);
  }
}

TEST_CASE("object file: input nested too deeply is an error, and the next compilation works") {
  AbandonedIsLeaked leaked;
  for (std::string source : {"@x = external global " + repeat("[1 x ", 500'000),
                             "@x = global i64 " + repeat("add (i64 1, i64 ", 500'000), "@x = global " + repeat("{", 500'000)}) {
    Failure failure = compile(source);
    CHECK((failure.code == "ERR_CODEGEN" || failure.code == "ERR_IR_PARSE"));
  }
  checkPoolWorks();
}

TEST_CASE("object file: inline assembly that does not assemble is an error with the assembler's words") {
  Failure failure = compile("define void @f() {\n  call void asm sideeffect \"frobnicate %eax\", \"\"()\n  ret void\n}\n");
  CHECK(failure.code == "ERR_CODEGEN");
  CHECK(contains(failure.message, "frobnicate"));
  failure = compile("module asm \"also nonsense\"\ndefine void @f() {\n  ret void\n}\n");
  CHECK((failure.code == "ERR_CODEGEN" || failure.code == "ERR_IR_PARSE"));
  checkPoolWorks();
}

TEST_CASE("object file: a constraint that no register satisfies is an error") {
  CHECK(compile("define i32 @f(i32 %x) {\n %r = call i32 asm \"\", \"={nosuch},r\"(i32 %x)\n ret i32 %r\n}\n").code ==
        "ERR_CODEGEN");
  checkPoolWorks();
}

// Another machine's intrinsic passes the verifier; x86's instruction selection ends the process with "Cannot select".
constexpr const char *fatalSource = "declare double @llvm.ppc.readflm()\n"
                                    "define double @f() {\n  %r = call double @llvm.ppc.readflm()\n  ret double %r\n}\n";

TEST_CASE("object file: a fatal error of code generation is an error, and the next compilation works") {
  AbandonedIsLeaked leaked;
  for (OptLevel level : {OptLevel::O0, OptLevel::O2}) {
    Failure failure = compile(fatalSource, level);
    CHECK(failure.code == "ERR_CODEGEN");
    CHECK(contains(failure.message, "test.ll: LLVM cannot go on: "));
    CHECK(contains(failure.message, "annot select"));
  }
  checkPoolWorks();
}

TEST_CASE("object file: names of ours are refused, also assembly's") {
  CHECK(compile("define void @nomad.entry.f() {\n  ret void\n}\n").code == "ERR_UNSUPPORTED");
  CHECK(compile("declare void @nomad.initialize()\ndefine void @f() {\n call void @nomad.initialize()\n ret void\n}\n").code ==
        "ERR_UNSUPPORTED");
  Failure failure = compile("module asm \"nomad.finalize: ret\"\n");
  CHECK(failure.code == "ERR_UNSUPPORTED");
  CHECK(contains(failure.message, "'nomad.finalize'"));
}

TEST_CASE("object file: four threads compile at once, good and fatal sources mixed") {
  std::atomic<int> right = 0;
  auto work = [&](int first) {
    AbandonedIsLeaked leaked;
    for (int i = first; i < first + 8; ++i)
      if (i % 4 == 3)
        right += compile(fatalSource).code == "ERR_CODEGEN";
      else
        right += compile(goodSource).code.empty();
  };
  std::vector<std::thread> threads;
  for (int i = 0; i < 4; ++i)
    threads.emplace_back(work, i);
  for (std::thread &thread : threads)
    thread.join();
  CHECK(right == 32);
}
