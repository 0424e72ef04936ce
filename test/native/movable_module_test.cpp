// IR in, IR out: which references become entry stubs, where constants go, what is defined.
#include "support.h"

#include "compile/module.h"
#include "compile/movable_module.h"

#include "llvm/IR/Instructions.h"
#include "llvm/IR/Verifier.h"
#include "llvm/Support/raw_ostream.h"

using namespace nomad;
using namespace nomad::test;

namespace {

struct Movable {
  std::unique_ptr<llvm::TargetMachine> machine = need(makeMachine(OptLevel::O0));
  ParsedModule module;

  explicit Movable(llvm::StringRef source, Moves moves = Moves::Code) : module(need(parseModule(source, "test"))) {
    need(makeMovable(*module.ir, *machine, moves, Granularity::Module));
    std::string text;
    llvm::raw_string_ostream stream(text);
    bool broken = llvm::verifyModule(*module.ir, &stream);
    INFO(text);
    REQUIRE_FALSE(broken);
  }

  std::string text() {
    std::string text;
    llvm::raw_string_ostream(text) << *module.ir;
    return text;
  }
  bool has(const char *part) {
    INFO(text());
    return contains(text(), part);
  }
};

} // namespace

TEST_CASE("movable module: a function's address is its entry stub's, a call goes direct (I10)") {
  Movable it(R"(
    define i32 @f(i32 %x) { ret i32 %x }
    define ptr @address() { ret ptr @f }
    define i32 @call() { %r = call i32 @f(i32 1) ret i32 %r }
    define void @passItself(ptr %g) { call void %g(ptr @passItself) ret void })");
  CHECK(it.has("ret ptr @nomad.entry.f"));
  CHECK(it.has("call i32 @f(i32 1)"));
  CHECK(it.has("call void %g(ptr @nomad.entry.passItself)"));
  CHECK(it.has("declare dso_local i32 @nomad.entry.f(i32)"));
  CHECK_FALSE(it.has("@nomad.entry.call"));
}

TEST_CASE("movable module: an address in a global's initializer is the entry stub's, at any depth (I10)") {
  Movable it(R"(
    define void @f() { ret void }
    @scalar = global ptr @f
    @array = global [2 x ptr] [ptr null, ptr @f]
    @nested = constant { i32, [1 x { ptr }] } { i32 1, [1 x { ptr }] [{ ptr } { ptr @f }] }
    @arithmetic = global i64 add (i64 ptrtoint (ptr @f to i64), i64 1))");
  CHECK(it.has("@scalar = dso_local global ptr @nomad.entry.f"));
  CHECK(it.has("[ptr null, ptr @nomad.entry.f]"));
  CHECK(it.has("{ ptr @nomad.entry.f }"));
  CHECK(it.has("ptrtoint (ptr @nomad.entry.f to i64)"));
}

TEST_CASE("movable module: a declared function's address is asked for by its entry's name, a weak one stays weak") {
  Movable it(R"(
    declare void @external()
    declare extern_weak void @maybe()
    define ptr @a() { ret ptr @external }
    define i1 @b() { %r = icmp eq ptr @maybe, null ret i1 %r }
    define void @c() { call void @external() ret void })");
  CHECK(it.has("ret ptr @nomad.entry.external"));
  CHECK(it.has("declare extern_weak void @nomad.entry.maybe()"));
  CHECK(it.has("call void @external()"));
  CHECK_FALSE(it.has("declare dso_local void @nomad.entry.external()"));
}

TEST_CASE("movable module: block addresses, personalities and aliases refer to the function itself") {
  Movable it(R"(
    declare i32 @personality(...)
    declare void @may()
    define void @f(ptr %to) personality ptr @personality {
      indirectbr ptr %to, [label %a, label %b]
    a:
      invoke void @may() to label %b unwind label %pad
    b:
      ret void
    pad:
      %e = landingpad { ptr, i32 } cleanup
      ret void
    }
    @table = internal constant [2 x ptr] [ptr blockaddress(@f, %a), ptr blockaddress(@f, %b)]
    define ptr @read() { %r = load ptr, ptr @table ret ptr %r }
    @alias = alias void (ptr), ptr @f)");
  CHECK(it.has("[ptr blockaddress(@f, %a), ptr blockaddress(@f, %b)]"));
  CHECK(it.has("personality ptr @personality"));
  CHECK(it.has("@alias = dso_local alias void (ptr), ptr @f"));
  CHECK_FALSE(it.has("nomad.entry"));
}

TEST_CASE("movable module: an alias's address and dso_local_equivalent are entry stubs") {
  Movable it(R"(
    define void @f() { ret void }
    @alias = alias void (), ptr @f
    define ptr @a() { ret ptr @alias }
    define void @b() { call void @alias() ret void }
    define i64 @c() { ret i64 ptrtoint (ptr dso_local_equivalent @f to i64) }
    define ptr @d() { ret ptr no_cfi @f })");
  CHECK(it.has("ret ptr @nomad.entry.alias"));
  CHECK(it.has("call void @alias()"));
  CHECK(it.has("ret i64 ptrtoint (ptr @nomad.entry.f to i64)"));
  CHECK(it.has("ret ptr @nomad.entry.f"));
}

TEST_CASE("movable module: nothing is merged with another module's copy, and declarations may be anywhere") {
  Movable it(R"(
    $f = comdat any
    define linkonce_odr void @f() comdat { call void @e() ret void }
    define weak hidden i32 @g() { %r = load i32, ptr @v ret i32 %r }
    declare hidden void @e()
    @v = external dso_local global i32)");
  CHECK(it.has("define dso_local void @f()"));
  CHECK(it.has("define dso_local i32 @g()"));
  CHECK(it.has("declare void @e()"));
  CHECK(it.has("@v = external global i32"));
  CHECK_FALSE(it.has("comdat any"));
  for (const llvm::Function &function : *it.module.ir)
    CHECK_FALSE(function.hasComdat());
}

TEST_CASE("movable module: common variables are zeros of the module's own, thread-local ones too") {
  Movable it("@c = common global i32 0\n@t = common thread_local global i32 0");
  CHECK(it.has("@c = dso_local global i32 0"));
  CHECK(it.has("@t = dso_local thread_local global i32 0"));
}

TEST_CASE("movable module: a variable has no symbol of its own where an alias stands for a part of it") {
  Movable it("@v = global [2 x i32] zeroinitializer\n@part = alias i32, getelementptr (i32, ptr @v, i32 1)\n"
             "@w = global i32 0\n@whole = alias i32, ptr @w");
  CHECK(it.has("@nomad_aliased = private global [2 x i32] zeroinitializer"));
  CHECK(it.has("@v = dso_local alias [2 x i32], ptr @nomad_aliased"));
  CHECK(it.has("@w = dso_local global i32 0"));
}

TEST_CASE("movable module: the address of another module's function that has to be near is a jump's") {
  Movable it("declare void @f()\n@d = constant i64 sub (i64 ptrtoint (ptr dso_local_equivalent @f to i64), "
             "i64 ptrtoint (ptr @d to i64))");
  CHECK(it.has("ptrtoint (ptr @nomad.entry.nomad.near.f to i64)"));
  CHECK(it.has("jmp \\22f\\22"));
}

TEST_CASE("movable module: every function keeps its frame pointer") {
  Movable it("define void @f() {\n ret void\n}\ndefine internal void @g() \"frame-pointer\"=\"none\" {\n ret void\n}\n"
             "define void @h() {\n call void @g()\n ret void\n}");
  for (const llvm::Function &function : *it.module.ir)
    CHECK(function.getFnAttribute("frame-pointer").getValueAsString() == "all");
}

TEST_CASE("movable module: atexit is defined by __cxa_atexit with the module's own handle") {
  Movable it("declare i32 @atexit(ptr)\ndefine void @bye() {\n ret void\n}\n"
             "define i32 @f() {\n %r = call i32 @atexit(ptr @bye)\n ret i32 %r\n}");
  CHECK(it.has("define internal i32 @atexit("));
  CHECK(it.has("call i32 @__cxa_atexit(ptr %0, ptr null, ptr @__dso_handle)"));
  CHECK(it.has("call i32 @atexit(ptr @nomad.entry.bye)"));
}

TEST_CASE("movable module: a module's own atexit is its own") {
  Movable it("define i32 @atexit(ptr %f) {\n ret i32 7\n}");
  CHECK_FALSE(it.has("__cxa_atexit"));
}

namespace {

// The functions that a runner calls, in order.
std::vector<std::string> calls(Movable &it, llvm::StringRef runner) {
  std::vector<std::string> names;
  if (llvm::Function *function = it.module.ir->getFunction(runner))
    for (llvm::Instruction &instruction : function->getEntryBlock())
      if (auto *call = llvm::dyn_cast<llvm::CallInst>(&instruction))
        names.push_back(call->getCalledOperand()->getName().str());
  return names;
}

constexpr const char *structors = R"(
  define internal void @late() { ret void }
  define internal void @early() { ret void }
  define internal void @early2() { ret void }
  @alias = internal alias void (), ptr @late
  @llvm.global_ctors = appending global [4 x { i32, ptr, ptr }] [
    { i32, ptr, ptr } { i32 65535, ptr @late, ptr null }, { i32, ptr, ptr } { i32 101, ptr @early, ptr null },
    { i32, ptr, ptr } { i32 101, ptr @early2, ptr null }, { i32, ptr, ptr } { i32 65535, ptr null, ptr null }]
  @llvm.global_dtors = appending global [2 x { i32, ptr, ptr }] [
    { i32, ptr, ptr } { i32 101, ptr @early, ptr null }, { i32, ptr, ptr } { i32 65535, ptr @late, ptr null }])";

} // namespace

TEST_CASE("movable module: constructors run by priority, equal ones in order; destructors the other way round") {
  Movable it(structors);
  CHECK(calls(it, initializerName) == std::vector<std::string>{"early", "early2", "late"});
  CHECK(calls(it, finalizerName) == std::vector<std::string>{"late", "early"});
  CHECK_FALSE(it.has("llvm.global_ctors"));
  CHECK_FALSE(it.has("llvm.global_dtors"));
}

TEST_CASE("movable module: sections of pointers to functions are lists of constructors and destructors") {
  Movable it(R"(
    define internal void @f() { ret void }
    define internal void @g() { ret void }
    @a = global ptr @f, section ".init_array"
    @b = global [2 x ptr] [ptr @g, ptr @f], section ".init_array.7"
    @c = global ptr @g, section ".fini_array")");
  CHECK(calls(it, initializerName) == std::vector<std::string>{"g", "f", "f"});
  CHECK(calls(it, finalizerName) == std::vector<std::string>{"g"});
  CHECK_FALSE(it.has("_array"));
}

TEST_CASE("movable module: a constructor that is named by an alias runs too") {
  Movable it(R"(
    define internal void @f() { ret void }
    @alias = internal alias void (), ptr @f
    @llvm.global_ctors = appending global [1 x { i32, ptr, ptr }] [{ i32, ptr, ptr } { i32 65535, ptr @alias, ptr null }])");
  CHECK(calls(it, initializerName).size() == 1);
}

TEST_CASE("movable module: without constructors there is no initializer") {
  Movable it("define void @f() {\n ret void\n}\n@llvm.global_ctors = appending global [0 x { i32, ptr, ptr }] zeroinitializer");
  CHECK_FALSE(it.has("nomad."));
}

TEST_CASE("movable module: a module that exports nothing has an anchor") {
  CHECK(Movable("").has("@nomad.anchor = "));
  CHECK(Movable("define internal void @f() {\n ret void\n}").has("@nomad.anchor = "));
  CHECK_FALSE(Movable("define void @f() {\n ret void\n}").has("nomad.anchor"));
}

TEST_CASE("movable module: named constants stay apart when only code moves, and nothing else does (I11)") {
  const char *source = R"(
    @text = constant [3 x i8] c"ab\00"
    @number = internal constant i64 7
    @withAddress = constant ptr @number
    @variable = global i32 1
    @zero = global i32 0
    @thread = thread_local constant i32 3
    @external = external constant i32
    define ptr @f() { ret ptr @number })";
  Movable code(source, Moves::Code);
  for (const char *name : {"text", "number"})
    CHECK(code.module.ir->getNamedGlobal(name)->getSection() == constantsSection);
  for (const char *name : {"withAddress", "variable", "zero", "thread", "external"})
    CHECK(code.module.ir->getNamedGlobal(name)->getSection() == "");
  CHECK_FALSE(Movable(source, Moves::All).has("nomad.constants"));
}
