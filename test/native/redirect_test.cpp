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

TEST_CASE("redirect: a caller keeps alive what it calls now, by one reference, whose number relocations have for good") {
  Calls it;
  Engine &engine = it.jit.engine();
  Handle now = it.old;
  std::vector<std::uint8_t> relocations = it.jit.object(it.caller).relocations.groups().vec();
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
  CHECK(it.jit.object(it.caller).links->references.size() == 1);
  CHECK(it.jit.object(it.caller).relocations.groups() == llvm::ArrayRef(relocations));
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

TEST_CASE("redirect: a code object that was only linked to others is free of them, and of what they become") {
  Calls it;
  Engine &engine = it.jit.engine();
  Handle second = it.jit.add(returning(2)), third = it.jit.add(returning(3));
  it.redirect(it.old, second);
  it.redirect(it.old, it.old);
  it.jit.free(second); // nobody has been left there
  it.redirect(it.old, third);
  it.jit.free(it.old);
  need(engine.verify());
  it.redirect(third, it.jit.add(returning(4)));
  CHECK(it.call(it.caller, "h") == 4);
  it.jit.free(third);
  need(engine.verify());
  CHECK(it.call(it.caller, "h") == 4);
}

TEST_CASE("redirect: two names of one function, of which a wrapper's stays") {
  Calls it;
  const char *source =
      "declare i32 @f()\ndeclare i32 @g()\n"
      "define i32 @h() { %a = call i32 @f() %b = call i32 @g() %c = mul i32 %b, 10 %d = add i32 %a, %c ret i32 %d }";
  CompileOptions options, alike;
  options.imports = {importFunction("f", it.old, "f")};
  Handle wrapper =
      it.jit.compile("declare i32 @f()\ndefine i32 @f2() { %r = call i32 @f() %s = add i32 %r, 10 ret i32 %s }", options);
  it.jit.engine().keepNames(wrapper);
  it.jit.place(wrapper);
  need(it.jit.engine().redirect({it.old, "f"}, {wrapper, "f2"}));
  CHECK(it.call(wrapper, "f2") == 11);
  alike.alike = wrapper; // which has kept `f`, and knows nothing of `g`
  alike.imports = {importFunction("g", it.old, "f")};
  Handle both = it.jit.add(source, alike);
  need(it.jit.engine().verify());
  CHECK(it.call(both, "h") == 1 + 10 * 11);
}

TEST_CASE("redirect: calls between the parts of a module, and the old part can go") {
  Jit jit;
  Engine &engine = jit.engine();
  const char *source = "@state = global i32 40\n"
                       "define i32 @f() noinline { %s = load volatile i32, ptr @state ret i32 %s }\n"
                       "define i32 @g() noinline { %r = call i32 @f() %s = add i32 %r, 1 ret i32 %s }\n"
                       "define i32 @h() noinline { %r = tail call i32 @f() ret i32 %r }";
  std::vector<Handle> parts = need(engine.compileParts(source, {}));
  std::vector<MoveRequest> requests;
  for (Handle part : parts)
    requests.push_back(jit.request(part, jit.nextOffsets(part)));
  need(engine.place(requests));
  auto partOf = [&](const char *name) {
    return *llvm::find_if(parts, [&](Handle part) { return jit.object(part).symbols.function(name).has_value(); });
  };
  Handle f = partOf("f"), g = partOf("g"), h = partOf("h"), rest = parts.front();
  CHECK(jit.function<int()>(g, "g")() == 41);
  CHECK(failureOf(engine.free(f)).code == "ERR_STATE");
  need(engine.redirect({f, "f"}, {jit.add(returning(2)), "f"}));
  need(engine.verify());
  CHECK(jit.function<int()>(g, "g")() == 3);
  CHECK(jit.function<int()>(h, "h")() == 2);
  need(engine.free(f));
  for (Handle part : {g, h, rest})
    jit.moveOn(part);
  need(engine.verify());
  CHECK(jit.function<int()>(g, "g")() == 3);
  CHECK(jit.function<int()>(h, "h")() == 2);
  need(engine.free(rest)); // only `f` had used its data
}

TEST_CASE("redirect: a wrapper goes on calling what another of its functions stood for") {
  Calls it;
  Handle second = it.jit.add(returning(2));
  it.redirect(it.old, second);
  Handle wrapper = it.add("declare i32 @f()\ndefine i32 @w() { %r = call i32 @f() %s = add i32 %r, 10 ret i32 %s }");
  need(it.jit.engine().redirect({second, "f"}, {wrapper, "w"}));
  need(it.jit.engine().verify());
  CHECK(it.call(it.caller, "h") == 12);
  CHECK(it.call(it.old, "f") == 12);
  CHECK(it.call(wrapper, "w") == 12);
  need(it.jit.engine().redirect({it.old, "f"}, {it.jit.add(returning(3)), "f"}));
  need(it.jit.engine().verify());
  CHECK(it.call(it.caller, "h") == 3);
  CHECK(it.call(second, "f") == 12);
  CHECK(it.call(wrapper, "w") == 12);
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
