// Calls between code objects (I9), addresses that programs store (I10), tables of labels and jumps.
//
// Oracle: the results of the calls, whatever has moved.
#include "support.h"

using namespace nomad;
using namespace nomad::test;

namespace {

CompileOptions importing(std::initializer_list<Import> imports, Retain retain = Retain::Relocations) {
  CompileOptions options;
  options.imports = imports;
  options.retain = retain;
  return options;
}

const char *calleeSource = "define i32 @callee(i32 %x) {\n  %r = mul i32 %x, 3\n  ret i32 %r\n}\n";
const char *callerSource = R"(
  declare i32 @callee(i32)
  define i32 @direct(i32 %x) { %a = call i32 @callee(i32 %x) %b = call i32 @callee(i32 %a) %r = add i32 %b, 1 ret i32 %r }
  define i32 @tail(i32 %x) { %r = tail call i32 @callee(i32 %x) ret i32 %r }
  define ptr @address() { ret ptr @callee }
  @stored = global ptr @callee
  define i32 @indirect(i32 %x) { %f = load volatile ptr, ptr @stored %r = call i32 %f(i32 %x) ret i32 %r })";

void checkCaller(Jit &jit, Handle caller) {
  CHECK(jit.function<int(int)>(caller, "direct")(5) == 46);
  CHECK(jit.function<int(int)>(caller, "tail")(-7) == -21);
  CHECK(jit.function<int(int)>(caller, "indirect")(11) == 33);
}

struct Pair {
  Jit jit{Arena::maxBytes};
  Handle callee = jit.add(calleeSource);
  Handle caller = jit.add(callerSource, importing({importFunction("callee", callee, "callee")}));
};

} // namespace

TEST_CASE("reference: calls hold when the callee moves, the caller moves, and both in one batch (I9)") {
  Pair it;
  checkCaller(it.jit, it.caller);
  it.jit.relocate(it.callee, it.jit.farOffsets(it.callee));
  checkCaller(it.jit, it.caller);
  it.jit.moveOn(it.callee);
  checkCaller(it.jit, it.caller);
  it.jit.relocate(it.caller, it.jit.farOffsets(it.caller));
  checkCaller(it.jit, it.caller);
  for (bool callerFirst : {true, false}) {
    std::vector<MoveRequest> batch{it.jit.request(it.caller, it.jit.nextOffsets(it.caller)),
                                   it.jit.request(it.callee, it.jit.nextOffsets(it.callee))};
    if (!callerFirst)
      std::swap(batch[0], batch[1]);
    need(it.jit.engine().relocate(batch));
    checkCaller(it.jit, it.caller);
  }
}

TEST_CASE("reference: the callee moves, and is even first placed, while the caller is still unplaced") {
  Jit jit;
  Handle callee = jit.compile(calleeSource);
  Handle caller = jit.compile(callerSource, importing({importFunction("callee", callee, "callee")}));
  CHECK(failureOf(jit.engine().place(jit.request(caller, jit.nextOffsets(caller)))).code == "ERR_STATE");
  jit.place(callee, jit.farOffsets(callee));
  jit.moveOn(callee);
  jit.moveOn(callee);
  jit.place(caller);
  checkCaller(jit, caller);
}

TEST_CASE("reference: a chain of three, each calling the next, with every order of moves") {
  Jit jit;
  Handle c = jit.add(calleeSource);
  Handle b = jit.add("declare i32 @callee(i32)\ndefine i32 @middle(i32 %x) {\n  %r = call i32 @callee(i32 %x)\n  %s = add i32 "
                     "%r, 1\n  ret i32 %s\n}",
                     importing({importFunction("callee", c, "callee")}));
  Handle a =
      jit.add("declare i32 @middle(i32)\ndeclare i32 @callee(i32)\ndefine i32 @f(i32 %x) {\n  %r = call i32 @middle(i32 %x)\n"
              "  %s = call i32 @callee(i32 %r)\n  ret i32 %s\n}",
              importing({importFunction("middle", b, "middle"), importFunction("callee", c, "callee")}));
  Handle order[] = {a, b, c};
  std::sort(order, order + 3);
  do {
    for (Handle handle : order) {
      jit.moveOn(handle);
      CHECK(jit.function<int(int)>(a, "f")(2) == 21);
    }
  } while (std::next_permutation(order, order + 3));
}

TEST_CASE("reference: a code object that can't move follows the moves of what it calls") {
  Jit jit;
  Handle callee = jit.add(calleeSource);
  Handle caller = jit.add(callerSource, importing({importFunction("callee", callee, "callee")}, Retain::None));
  CHECK(failureOf(jit.engine().relocate(jit.request(caller, jit.nextOffsets(caller)))).code == "ERR_STATE");
  for (int round = 0; round < 3; ++round) {
    jit.moveOn(callee);
    checkCaller(jit, caller);
  }
}

TEST_CASE("reference: nothing is freed while another refers to it (I9)") {
  Pair it;
  Failure failure = failureOf(it.jit.engine().free(it.callee));
  CHECK(failure.code == "ERR_STATE");
  checkCaller(it.jit, it.caller);
  it.jit.free(it.caller);
  it.jit.free(it.callee);
  CHECK(it.jit.engine().stats().liveObjects == 0);
  CHECK(it.jit.engine().stats().entryStubs == 0);
}

TEST_CASE("reference: a function's address is the same from everywhere, and holds wherever it is kept (I10)") {
  Pair it;
  Handle own = it.jit.add("define i32 @f(i32 %x) {\n  ret i32 77\n}\ndefine ptr @address() {\n  ret ptr @f\n}\n"
                          "@stored = global ptr @f\n@constant = constant [2 x ptr] [ptr null, ptr @f]\n"
                          "@alias = alias i32 (i32), ptr @f\ndefine ptr @aliasAddress() {\n  ret ptr @alias\n}\n");
  auto *address = it.jit.function<void *()>(own, "address")();
  CHECK(address == it.jit.stub(own, "f").pointer());
  CHECK(*it.jit.global<void *>(own, "stored") == address);
  CHECK(it.jit.global<void *>(own, "constant")[1] == address);
  CHECK(it.jit.function<void *()>(own, "aliasAddress")() == address);
  auto *callee = it.jit.function<void *()>(it.caller, "address")();
  CHECK(callee == it.jit.stub(it.callee, "callee").pointer());
  CHECK(*it.jit.global<void *>(it.caller, "stored") == callee);
  for (int round = 0; round < 3; ++round) {
    it.jit.moveOn(own);
    it.jit.moveOn(it.callee);
    CHECK(reinterpret_cast<int (*)(int)>(address)(0) == 77);
    CHECK(reinterpret_cast<int (*)(int)>(callee)(2) == 6);
    CHECK(it.jit.function<void *()>(own, "address")() == address);
    CHECK(*it.jit.global<void *>(own, "stored") == address);
  }
}

TEST_CASE("reference: a function whose IR name begins with \\01 is called, and its address taken") {
  Jit jit;
  Handle handle = jit.add("define i32 @\"\\01renamed\"() {\n  ret i32 5\n}\n@p = global [1 x ptr] [ptr @\"\\01renamed\"]\n"
                          "define i32 @f() {\n  %g = load volatile ptr, ptr @p\n  %r = call i32 %g()\n  ret i32 %r\n}\n");
  CHECK(jit.function<int()>(handle, "f")() == 5);
}

TEST_CASE("reference: an undefined weak function is null, an undefined strong one an error that names all") {
  Jit jit;
  Handle handle =
      jit.add("declare extern_weak void @nobody()\ndefine i1 @f() {\n  %r = icmp eq ptr @nobody, null\n  ret i1 %r\n}\n");
  CHECK(jit.function<bool()>(handle, "f")());
  Failure failure = failureOf(jit.engine().compile(
      "declare void @nobodyB()\ndeclare void @nobodyA()\n@v = external global i32\ndefine ptr @f() {\n  call void @nobodyB()\n"
      "  call void @nobodyA()\n  ret ptr @v\n}\n",
      {}));
  CHECK(failure.code == "ERR_UNRESOLVED_SYMBOL");
  CHECK(failure.details.symbols == std::vector<std::string>{"nobodyA", "nobodyB", "v"});
}

// ---- labels and jump tables ----

namespace {

std::string computedGoto(const char *tableKind) {
  return std::string("@table = internal ") + tableKind +
         R"( [3 x ptr] [ptr blockaddress(@f, %a), ptr blockaddress(@f, %b), ptr blockaddress(@f, %c)]
  define i32 @f(i32 %x) {
    %e = getelementptr [3 x ptr], ptr @table, i32 0, i32 %x
    %to = load volatile ptr, ptr %e
    indirectbr ptr %to, [label %a, label %b, label %c]
  a:
    ret i32 100
  b:
    ret i32 200
  c:
    ret i32 300
  })";
}

void checkEverywhere(Jit &jit, Handle handle, int (*expected)(int)) {
  for (int round = 0; round < 4; ++round) {
    auto *f = jit.function<int(int)>(handle, "f");
    for (int x = 0; x < 3; ++x)
      CHECK(f(x) == expected(x));
    if (round == 0)
      jit.moveCodeOn(handle);
    else if (round == 1)
      jit.relocate(handle, jit.farOffsets(handle));
    else
      jit.moveOn(handle);
  }
}

} // namespace

TEST_CASE("reference: computed goto through a table in constants and through one in data") {
  for (Moves moves : {Moves::Code, Moves::All})
    for (const char *tableKind : {"constant", "global"}) {
      Jit jit(Arena::maxBytes);
      CompileOptions options;
      options.moves = moves;
      checkEverywhere(jit, jit.add(computedGoto(tableKind), options), [](int x) { return 100 * (x + 1); });
    }
}

TEST_CASE("reference: a switch through a jump table") {
  std::string source = "define i32 @f(i32 %x) {\n  switch i32 %x, label %other [\n";
  std::string blocks;
  for (int i = 0; i < 40; ++i) {
    std::string n = std::to_string(i);
    source += "    i32 " + n + ", label %b" + n + "\n";
    blocks += "b" + n + ":\n  call void asm sideeffect \"\", \"~{memory}\"()\n  %m" + n + " = mul i32 %x, " +
              std::to_string(i * i + 3) + "\n  ret i32 %m" + n + "\n";
  }
  source += "  ]\n" + blocks + "other:\n  ret i32 -1\n}\n";
  for (Moves moves : {Moves::Code, Moves::All})
    for (OptLevel level : {OptLevel::O0, OptLevel::O2}) {
      Jit jit(Arena::maxBytes);
      CompileOptions options;
      options.moves = moves;
      options.level = level;
      Handle handle = jit.add(source, options);
      checkEverywhere(jit, handle, [](int x) { return x * (x * x + 3); });
      CHECK(jit.function<int(int)>(handle, "f")(39) == 39 * (39 * 39 + 3));
      CHECK(jit.function<int(int)>(handle, "f")(40) == -1);
    }
}
