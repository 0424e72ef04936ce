// musttail: what is compiled gives known answers, and what LLVM gets wrong is refused, until it is right.
#include "support.h"

#include "compile/exports.h"
#include "compile/movable_module.h"
#include "compile/object_file.h"

using namespace nomad;
using namespace nomad::test;

namespace {

const char *const rightConventions[] = {"ccc",           "fastcc",          "swiftcc",        "win64cc",       "x86_64_sysvcc",
                                        "x86_regcallcc", "preserve_nonecc", "x86_fastcallcc", "x86_thiscallcc"};
const char *const stackConventions[] = {"tailcc", "swifttailcc"}; // wrong with arguments on the stack
const char *const saving[] = {"coldcc",         "preserve_mostcc",  "preserve_allcc",
                              "cxx_fast_tlscc", "x86_vectorcallcc", "intel_ocl_bicc"}; // with any

std::string repeat(unsigned count, const std::function<std::string(unsigned)> &text) {
  std::string all;
  for (unsigned i = 0; i < count; ++i)
    all += (i == 0 ? "" : ", ") + text(i);
  return all;
}

// `start` calls `caller` with 11, 18, 25 ...; that passes them on in the opposite order, and `callee` weighs them: sum of
// (i + 3) * argument i.
std::string module(const std::string &convention, unsigned count, const char *call = "musttail") {
  std::string parameters = repeat(count, [](unsigned i) { return "i64 %a" + std::to_string(i); });
  std::string text = "define " + convention + " i64 @callee(" + parameters + ") noinline {\n", sum = "0";
  for (unsigned i = 0; i < count; ++i) {
    std::string n = std::to_string(i);
    text += "%m" + n + " = mul i64 %a" + n + ", " + std::to_string(i + 3) + "\n%s" + n + " = add i64 " + sum + ", %m" + n + "\n";
    sum = "%s" + n;
  }
  text += "ret i64 " + sum + "\n}\ndefine " + convention + " i64 @caller(" + parameters + ") noinline {\n%r = " + call +
          " call " + convention + " i64 @callee(" +
          repeat(count, [=](unsigned i) { return "i64 %a" + std::to_string(count - 1 - i); }) + ")\nret i64 %r\n}\n";
  text += "define i64 @start() {\n%r = call " + convention + " i64 @caller(" +
          repeat(count, [](unsigned i) { return "i64 " + std::to_string(7 * i + 11); }) + ")\nret i64 %r\n}\n";
  return text;
}

std::int64_t answer(unsigned count) {
  std::int64_t sum = 0;
  for (unsigned i = 0; i < count; ++i)
    sum += (i + 3) * (7 * (count - 1 - i) + 11);
  return sum;
}

std::int64_t run(Jit &jit, const std::string &source, OptLevel level) {
  CompileOptions options;
  options.level = level;
  return jit.function<std::int64_t()>(jit.add(source, options), "start")();
}

void checkRefused(Jit &jit, const std::string &source, OptLevel level) {
  CompileOptions options;
  options.name = "test";
  options.level = level;
  Failure failure = failureOf(jit.engine().compile(source, options));
  CHECK(failure.code == "ERR_UNSUPPORTED");
  CHECK(contains(failure.message, "function 'caller' has a musttail call"));
}

// Past the refusals.
Handle compileAll(Jit &jit, const std::string &source) {
  auto module = need(parseModule(source, "unrefused"));
  auto pipeline = need(Pipeline::create(OptLevel::O0));
  need(makeMovable(*module.ir, pipeline->machine(), Moves::Code, Granularity::Module));
  Exports exports = exportsOf(*module.ir);
  auto bytes = need(pipeline->generate(*module.ir));
  ObjectFile object{llvm::MemoryBuffer::getMemBufferCopy({bytes.data(), bytes.size()}), std::move(exports)};
  CompileOptions options;
  options.name = "unrefused";
  Handle handle = need(jit.engine().link(std::move(object), options));
  jit.place(handle);
  return handle;
}

} // namespace

TEST_CASE("musttail: conventions that LLVM has right give known answers, with arguments on the stack and without") {
  Jit jit;
  for (OptLevel level : {OptLevel::O0, OptLevel::O2})
    for (std::string convention : rightConventions)
      for (unsigned count : {2u, 6u, 7u, 8u, 12u}) {
        CAPTURE(convention);
        CAPTURE(count);
        CHECK(run(jit, module(convention, count), level) == answer(count));
      }
}

TEST_CASE("musttail: in tailcc and swifttailcc registers give known answers, and the stack is refused by name") {
  Jit jit;
  for (OptLevel level : {OptLevel::O0, OptLevel::O2})
    for (std::string convention : stackConventions) {
      CAPTURE(convention);
      CHECK(run(jit, module(convention, 6), level) == answer(6));
      CHECK(run(jit, module(convention, 9, "tail"), level) == answer(9));
      checkRefused(jit, module(convention, 7), level);
    }
}

TEST_CASE("musttail: where argument registers are saved ones any argument is refused by name, and plain tail calls are right") {
  Jit jit;
  for (OptLevel level : {OptLevel::O0, OptLevel::O2})
    for (std::string convention : saving) {
      CAPTURE(convention);
      CHECK(run(jit, module(convention, 0), level) == 0);
      CHECK(run(jit, module(convention, 9, "tail"), level) == answer(9));
      checkRefused(jit, module(convention, 1), level);
      checkRefused(jit, module(convention, 7), level);
    }
}

TEST_CASE("musttail: other shapes on the stack are refused too") {
  Jit jit;
  CompileOptions options;
  options.name = "test";
  for (const char *source : {
           "define tailcc i64 @f(ptr byval(i64) %a) { %r = musttail call tailcc i64 @f(ptr byval(i64) %a) ret i64 %r }",
           "define tailcc void @f(x86_fp80 %a) { musttail call tailcc void @f(x86_fp80 %a) ret void }",
           "define tailcc void @f([7 x i64] %a) { musttail call tailcc void @f([7 x i64] %a) ret void }",
           "define tailcc void @f({ i128, i128, i128, i8 } %a) { musttail call tailcc void @f({ i128, i128, i128, i8 } %a) ret "
           "void }",
           "define tailcc void @g() { ret void } define tailcc void @f([8 x i64] %a) { musttail call tailcc void @g() ret void }",
       })
    CHECK(failureOf(jit.engine().compile(source, options)).code == "ERR_UNSUPPORTED");
}

TEST_CASE("musttail: LLVM is still wrong where it is refused; if this fails, compile/tail_calls.cpp can go") {
  Jit jit;
  for (const char *convention : {"tailcc", "swifttailcc", "coldcc", "preserve_mostcc", "preserve_allcc"})
    CHECK(jit.function<std::int64_t()>(compileAll(jit, module(convention, 8)), "start")() != answer(8));
}
