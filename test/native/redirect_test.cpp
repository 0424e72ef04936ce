// Who calls one function calls another.
//
// Oracle: the results of calls, who can be freed, and Engine::verify.
#include "support.h"

using namespace nomad;
using namespace nomad::test;

namespace {

std::string returning(int value) { return "define i32 @f() { ret i32 " + std::to_string(value) + " }"; }

const char *callerSource = "declare i32 @f()\ndefine i32 @h() { %r = call i32 @f() ret i32 %r }";

struct Calls {
  Jit jit;
  Handle old = jit.add(returning(1));
  Handle caller = add(callerSource);

  Handle add(const char *source) {
    CompileOptions options;
    options.imports = {importFunction("f", old, "f")};
    return jit.add(source, options);
  }
  int call(Handle handle, const char *name) { return jit.function<int()>(handle, name)(); }
  void redirect(Handle from, Handle to) {
    need(jit.engine().redirect({from, "f"}, {to, "f"}));
    need(jit.engine().verify());
  }
};

} // namespace

TEST_CASE("redirect: calls, stubs and later links lead where the last redirection says, and back") {
  Calls it;
  Handle second = it.jit.add(returning(2)), third = it.jit.add(returning(3));
  auto expectAll = [&](int value) {
    Handle late = it.add(callerSource);
    for (Handle handle : {it.caller, late})
      CHECK(it.call(handle, "h") == value);
    CHECK(it.call(it.old, "f") == value);
    for (Handle handle : {it.old, second, third, it.caller, late})
      it.jit.moveOn(handle);
    need(it.jit.engine().verify());
    CHECK(it.call(it.caller, "h") == value);
    it.jit.free(late);
  };
  expectAll(1);
  it.redirect(it.old, second);
  expectAll(2);
  it.redirect(it.old, third);
  expectAll(3);
  it.redirect(third, second);
  expectAll(2);
  CHECK(failureOf(it.jit.engine().redirect({second, "f"}, {third, "f"})).code == "ERR_STATE");
  it.redirect(it.old, it.old);
  expectAll(1);
  CHECK(it.call(third, "f") == 2);
}

TEST_CASE("redirect: spent references keep nothing alive, and their numbers are used again") {
  Calls it;
  Engine &engine = it.jit.engine();
  Handle now = it.old;
  CHECK(failureOf(engine.free(now)).code == "ERR_STATE");
  for (int value = 2; value < 50; ++value) {
    Handle next = it.jit.add(returning(value));
    it.redirect(now, next);
    need(engine.free(now));
    need(engine.verify());
    now = next;
    it.jit.moveOn(now);
    CHECK(it.call(it.caller, "h") == value);
  }
  CHECK(need(engine.object(it.caller)).links->references.size() <= 2);
  CHECK(failureOf(engine.free(now)).code == "ERR_STATE");
  it.jit.free(it.caller);
  it.jit.free(now);
}

TEST_CASE("redirect: what has the address keeps the old code, alone or with others that die") {
  Calls it;
  Engine &engine = it.jit.engine();
  Handle holder = it.add("declare i32 @f()\n@p = global ptr @f\n"
                         "define i32 @g() { %f = load volatile ptr, ptr @p %r = call i32 %f() ret i32 %r }");
  Handle second = it.jit.add(returning(2));
  it.redirect(it.old, second);
  CHECK(it.call(holder, "g") == 2);
  CHECK(failureOf(engine.free(it.old)).code == "ERR_STATE");
  std::vector<Handle> some{it.old, second};
  engine.freeMany(some);
  CHECK(some == std::vector<Handle>{it.old, second});
  it.jit.free(it.caller);
  std::vector<Handle> all{second, holder, it.old};
  engine.freeMany(all);
  CHECK(all == std::vector<Handle>(3, noHandle));
}

TEST_CASE("redirect: a function of the same code object, which then still dies") {
  Jit jit;
  Handle both = jit.add("define i32 @f() { ret i32 1 }\ndefine i32 @g() { ret i32 2 }");
  CompileOptions options;
  options.imports = {importFunction("f", both, "f")};
  Handle caller = jit.add(callerSource, options);
  need(jit.engine().redirect({both, "f"}, {both, "g"}));
  need(jit.engine().verify());
  CHECK(jit.function<int()>(caller, "h")() == 2);
  CHECK(jit.function<int()>(both, "f")() == 2);
  Handle other = jit.add(returning(3));
  need(jit.engine().redirect({both, "g"}, {other, "f"}));
  need(jit.engine().verify());
  Handle late = jit.add(callerSource, options);
  need(jit.engine().verify());
  for (Handle handle : {caller, late})
    CHECK(jit.function<int()>(handle, "h")() == 3);
  CHECK(jit.function<int()>(both, "f")() == 3);
  for (Handle handle : {late, caller, both, other})
    jit.free(handle);
}

TEST_CASE("names: another compile of a source is linked to what the first one's names have become") {
  Calls it;
  Engine &engine = it.jit.engine();
  CompileOptions options;
  options.imports = {importFunction("f", it.old, "f")};
  Handle first = it.jit.compile(callerSource, options);
  CHECK(engine.keepNames(first) == std::vector<std::string>{"f"});
  it.jit.place(first);
  Handle second = it.jit.add(returning(2)), third = it.jit.add(returning(3));
  need(engine.define(importFunction("f", third, "f")));
  CompileOptions alike;
  alike.alike = first;
  auto again = [&](int value) {
    Handle handle = it.jit.add(callerSource, alike);
    need(engine.verify());
    CHECK(it.call(handle, "h") == value);
    return handle;
  };
  Handle early = again(1);
  it.redirect(it.old, second);
  again(2);
  CHECK(it.call(early, "h") == 2);
  it.redirect(it.old, it.old);
  again(1);
  it.redirect(it.old, second);
  for (Handle handle : {it.caller, first, early})
    CHECK(it.call(handle, "h") == 2);
  need(engine.free(it.old));
  again(2);
  it.jit.free(first);
  CHECK(failureOf(engine.compile(callerSource, alike)).code == "ERR_STATE");
}
