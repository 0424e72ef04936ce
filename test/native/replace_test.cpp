// A code object takes over from another that was compiled from the same source.
//
// Oracle: the results of calls, addresses that must not change, who can be freed, and Engine::verify.
#include "support.h"

using namespace nomad;
using namespace nomad::test;

namespace {

CompileOptions importing(std::initializer_list<Import> imports) {
  CompileOptions options;
  options.imports = imports;
  return options;
}

const char *oldSource = "define i32 @f(i32 %x) {\n  %r = mul i32 %x, 3\n  ret i32 %r\n}\n"
                        "define i32 @g(i32 %x) {\n  %r = add i32 %x, 3\n  ret i32 %r\n}\n";
// Other results, so that calls tell which one they have reached; g comes first.
const char *newSource = "define i32 @g(i32 %x) {\n  %r = add i32 %x, 5\n  ret i32 %r\n}\n"
                        "define i32 @f(i32 %x) {\n  %r = mul i32 %x, 5\n  ret i32 %r\n}\n";
const char *callerSource = R"(
  declare i32 @f(i32)
  declare i32 @g(i32)
  define i32 @both(i32 %x) { %a = call i32 @f(i32 %x) %b = call i32 @g(i32 %a) ret i32 %b }
  define ptr @address() { ret ptr @f })";

struct Trio {
  Jit jit;
  Handle from = jit.add(oldSource);
  Handle caller = jit.add(callerSource, importing({importFunction("f", from, "f"), importFunction("g", from, "g")}));
  Handle to = jit.add(newSource);

  int both(int x) { return jit.function<int(int)>(caller, "both")(x); }
  void *address() { return jit.function<void *()>(caller, "address")(); }
};

} // namespace

TEST_CASE("replace: callers, entry stubs and definitions pass to the new one, and the old one is free to go") {
  Trio it;
  Engine &engine = it.jit.engine();
  need(engine.define(importFunction("defined", it.from, "g")));
  EntryIndex entry = need(engine.entry(it.from, "f"));
  void *address = it.address();
  CHECK(it.both(2) == 9);
  CHECK(failureOf(engine.free(it.from)).code == "ERR_STATE");

  CHECK(need(engine.replace(it.from, it.to)) == std::vector<Handle>{it.caller});
  need(engine.verify());
  CHECK(it.both(2) == 15);
  CHECK(need(engine.entry(it.to, "f")) == entry);
  CHECK(it.address() == address);
  CHECK(reinterpret_cast<int (*)(int)>(address)(4) == 20);
  Handle later = it.jit.add("declare i32 @defined(i32)\ndefine i32 @h(i32 %x) { %r = call i32 @defined(i32 %x) ret i32 %r }");
  CHECK(it.jit.function<int(int)>(later, "h")(1) == 6);

  need(engine.free(it.from));
  it.jit.moveOn(it.to);
  it.jit.moveOn(it.caller);
  need(engine.verify());
  CHECK(it.both(2) == 15);
  CHECK(reinterpret_cast<int (*)(int)>(address)(4) == 20);
  CHECK(failureOf(engine.free(it.to)).code == "ERR_STATE");
}

TEST_CASE("replace: who has been redirected to the old one comes to the new one") {
  Trio it;
  Engine &engine = it.jit.engine();
  Handle other = it.jit.add("define i32 @f(i32 %x) { ret i32 1 }");
  Handle caller = it.jit.add("declare i32 @f(i32)\ndefine i32 @h(i32 %x) { %r = call i32 @f(i32 %x) ret i32 %r }",
                             importing({importFunction("f", other, "f")}));
  need(engine.redirect({other, "f"}, {it.from, "f"}));
  CHECK(it.jit.function<int(int)>(caller, "h")(2) == 6);
  need(engine.replace(it.from, it.to));
  need(engine.verify());
  need(engine.free(it.from));
  CHECK(it.jit.function<int(int)>(caller, "h")(2) == 10);
  CHECK(it.jit.function<int(int)>(other, "f")(2) == 10);
  CHECK(failureOf(engine.replace(other, it.jit.add("define i32 @f(i32 %x) { ret i32 1 }"))).code == "ERR_STATE");
}

TEST_CASE("replace: constants of the old one live as long as the new one") {
  Jit jit;
  const char *source = "@c = private unnamed_addr constant [3 x i8] c\"ab\\00\"\ndefine ptr @f() { ret ptr @c }";
  Handle from = jit.add(source), to = jit.add(source);
  auto *text = jit.function<const char *()>(from, "f")();
  need(jit.engine().replace(from, to));
  need(jit.engine().verify());
  CHECK(failureOf(jit.engine().free(from)).code == "ERR_STATE");
  CHECK(std::string(text) == "ab");
  need(jit.engine().free(to));
  need(jit.engine().free(from));
}

TEST_CASE("replace: what would lose something is refused, and nothing has changed") {
  const char *refused[] = {
      "@d = global i32 1\ndefine i32 @f(i32 %x) { %d = load i32, ptr @d ret i32 %d }",
      "define i32 @f(i32 %x) { ret i32 %x }\ndefine ptr @where() { ret ptr @f }",
      "@c = internal constant i32 1\ndefine i1 @is(ptr %p) { %e = icmp eq ptr %p, @c ret i1 %e }\ndefine ptr @where() { ret ptr "
      "@c }",
      "define linkonce_odr i32 @f(i32 %x) { ret i32 %x }\ndefine i32 @g(i32 %x) { %y = call i32 @f(i32 %x) ret i32 %y }",
      "@llvm.global_ctors = appending global [1 x { i32, ptr, ptr }] [{ i32, ptr, ptr } { i32 65535, ptr @start, ptr null }]\n"
      "declare i32 @abs(i32)\ndefine internal void @start() { %x = call i32 @abs(i32 1) ret void }",
  };
  for (const char *source : refused) {
    Jit jit;
    CompileOptions options;
    options.level = OptLevel::O0; // others find out that the constructor does nothing
    Handle handle = need(jit.engine().compile(source, options));
    INFO(std::string(source));
    CHECK(failureOf(jit.engine().checkReplaceable(handle)).code == "ERR_STATE");
  }
  Trio it;
  Engine &engine = it.jit.engine();
  Handle fewer = it.jit.add("define i32 @f(i32 %x) { ret i32 7 }");
  Handle otherType = it.jit.add("define i32 @f(i32 %x) { ret i32 7 }\ndefine i64 @g(i64 %x) { ret i64 7 }");
  Handle unplaced = need(engine.compile(newSource, {}));
  for (Handle to : {fewer, otherType, unplaced, it.from, it.caller})
    CHECK(failureOf(engine.replace(it.from, to)).code == "ERR_STATE");
  need(engine.verify());
  CHECK(it.both(2) == 9);
}
