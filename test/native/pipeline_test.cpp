// One pipeline, many modules: an object file does not show what the pipeline has compiled before.
#include "support.h"

#include "compile/object_file.h"

using namespace nomad;
using namespace nomad::test;

namespace {

// Each leaves something behind in a code generator: sections, labels, tables, subtargets, functions of LLVM's own making.
const std::vector<std::string> &sources() {
  static const std::vector<std::string> all = {
      "define i32 @tiny(i32 %a, i32 %b) {\n  %p = mul i32 %a, %b\n  ret i32 %p\n}\n",
      "",
      R"(@value = thread_local global i32 7
         define ptr @threadLocal() { %p = call ptr @llvm.threadlocal.address(ptr @value) ret ptr %p })",
      R"(declare void @mayThrow(i32)
         declare i32 @__gxx_personality_v0(...)
         define i32 @invokes(i32 %x) personality ptr @__gxx_personality_v0 {
           invoke void @mayThrow(i32 %x) to label %good unwind label %bad
         good:
           ret i32 0
         bad:
           %pad = landingpad { ptr, i32 } catch ptr null
           ret i32 1
         })",
      R"(declare void @mayThrow(i32)
         declare i32 @__gxx_personality_v0(...)
         define void @resumes(i32 %x) personality ptr @__gxx_personality_v0 {
           invoke void @mayThrow(i32 %x) to label %good unwind label %bad
         good:
           ret void
         bad:
           %pad = landingpad { ptr, i32 } cleanup
           resume { ptr, i32 } %pad
         })",
      R"(define double @switches(i32 %x) {
           switch i32 %x, label %other [i32 0, label %a i32 1, label %b i32 2, label %c i32 3, label %d i32 4, label %e]
         a: ret double 1.5
         b: ret double 2.25
         c: ret double 3.125
         d: ret double 4.0625
         e: ret double 5.5
         other: ret double 0.1
         })",
      R"(define <8 x float> @wide(<8 x float> %a, <8 x float> %b) "target-features"="+avx2,+fma" {
           %s = fmul <8 x float> %a, %b %t = fadd <8 x float> %s, %b ret <8 x float> %t }
         define <8 x float> @narrow(<8 x float> %a, <8 x float> %b) "target-cpu"="x86-64" {
           %s = fmul <8 x float> %a, %b %t = fadd <8 x float> %s, %b ret <8 x float> %t })",
      R"(define i64 @small(i64 %n) minsize optsize nounwind { %q = udiv i64 %n, 10 ret i64 %q }
         define i64 @protected(i64 %n) sspstrong { %a = alloca [64 x i8] call void @fill(ptr %a) ret i64 %n }
         declare void @fill(ptr)
         define fastcc float @fast(float %x) "no-trapping-math"="true" { %r = fdiv fast float 1.0, %x ret float %r })",
      R"(define i32 @assembly(i32 %x) { %r = call i32 asm "leal 1($1), $0", "=r,r"(i32 %x) ret i32 %r }
         module asm "own_label: .quad 17")",
      R"(@target = global i64 7
         module asm ".section .text.z,\22ax\22,@progbits"
         module asm "own_place: .zero 16"
         module asm ".reloc own_place+4, R_X86_64_64, target")",
      R"(@target = global i64 7
         define void @places() {
           call void asm sideeffect "1: .zero 16\0A.reloc 1b+4, R_X86_64_64, target", ""() ret void })",
      R"(define void @frame(i32 %n, ...) { %p = alloca i8, i32 %n call void @llvm.va_start(ptr %p) call void @llvm.va_end(ptr %p) ret void }
         declare void @llvm.va_start(ptr)
         declare void @llvm.va_end(ptr))",
      R"(@llvm.global_ctors = appending global [1 x { i32, ptr, ptr }] [{ i32, ptr, ptr } { i32 65535, ptr @start, ptr null }]
         @text = private constant [6 x i8] c"hello\00"
         @table = global [2 x ptr] [ptr @start, ptr @text]
         define internal void @start() { store ptr @text, ptr @table ret void })",
      R"(define i128 @library(i128 %a, i128 %b, double %x) {
           %q = sdiv i128 %a, %b %y = frem double %x, 3.0 %i = fptosi double %y to i128 %s = add i128 %q, %i ret i128 %s })",
      R"(define i32 @collected(ptr addrspace(1) %p) gc "statepoint-example" { call void @collect() ret i32 1 }
         declare void @collect())",
      R"(declare void @llvm.pseudoprobe(i64, i64, i32, i64)
         define void @probed() { call void @llvm.pseudoprobe(i64 5, i64 1, i32 0, i64 -1) ret void }
         !llvm.pseudo_probe_desc = !{!0}
         !0 = !{i64 5, i64 9, !"probed"})",
      R"(declare void @llvm.experimental.stackmap(i64, i32, ...)
         define void @mapped(i64 %x) { call void (i64, i32, ...) @llvm.experimental.stackmap(i64 1, i32 8, i64 %x) ret void })",
      R"(define void @traced() "xray-instruction-threshold"="1" "function-instrument"="xray-always" { ret void }
         define void @padded() "patchable-function-entry"="3" { ret void })",
      R"(define i32 @tail(i32 %n, i32 %sum) {
           %done = icmp eq i32 %n, 0 br i1 %done, label %end, label %more
         more: %m = sub i32 %n, 1 %s = add i32 %sum, %n %r = musttail call i32 @tail(i32 %m, i32 %s) ret i32 %r
         end: ret i32 %sum })",
      R"(define void @atomics(ptr %p) { %o = atomicrmw nand ptr %p, i64 5 seq_cst fence seq_cst ret void }
         !llvm.module.flags = !{!0, !1}
         !0 = !{i32 8, !"cf-protection-branch", i32 1}
         !1 = !{i32 7, !"uwtable", i32 2})",
  };
  return all;
}

// Loops, calls and floating-point constants in many functions.
std::string bigSource() {
  std::string text;
  for (int i = 0; i < 30; ++i) {
    std::string n = std::to_string(i);
    text += "define double @big" + n + "(ptr %p, i64 %n) {\nentry: br label %loop\nloop:\n" +
            "  %i = phi i64 [0, %entry], [%j, %loop]\n  %s = phi double [0.0, %entry], [%t, %loop]\n" +
            "  %e = getelementptr double, ptr %p, i64 %i\n  %v = load double, ptr %e\n  %w = fmul double %v, " + n + ".5\n" +
            "  %t = fadd double %s, %w\n  %j = add i64 %i, 1\n  %c = icmp ult i64 %j, %n\n  br i1 %c, label %loop, label %end\n" +
            "end:\n  %r = call double @big" + std::to_string(i / 2) + "(ptr %p, i64 %j)\n  %q = fadd double %r, %t\n" +
            "  ret double %q\n}\n";
  }
  return text;
}

std::string objectOf(const std::string &source, OptLevel level, TargetMachinePool &machines) {
  return need(compileSource(source, {"test.ll", level, Moves::Code}, machines)).bytes->getBuffer().str();
}

void checkLevel(OptLevel level) {
  std::vector<std::string> inputs = sources(), expected;
  inputs.push_back(bigSource());
  for (const std::string &source : inputs) {
    TargetMachinePool fresh;
    expected.push_back(objectOf(source, level, fresh));
  }
  TargetMachinePool shared;
  for (size_t stride : {1, 3, 5, 7, 11}) // each after several others
    for (size_t i = 0, at = 0; i < inputs.size(); ++i, at = (at + stride) % inputs.size()) {
      INFO(inputs[at].substr(0, 200));
      CHECK((objectOf(inputs[at], level, shared) == expected[at])); // bytes, nothing to print
    }
}

} // namespace

TEST_CASE("pipeline: object files are those of a new pipeline, byte for byte, at O0") { checkLevel(OptLevel::O0); }
TEST_CASE("pipeline: object files are those of a new pipeline, byte for byte, at O1") { checkLevel(OptLevel::O1); }
TEST_CASE("pipeline: object files are those of a new pipeline, byte for byte, at O2") { checkLevel(OptLevel::O2); }
TEST_CASE("pipeline: object files are those of a new pipeline, byte for byte, at O3") { checkLevel(OptLevel::O3); }

TEST_CASE("pipeline: the next object file is right after LLVM has refused a module or died of it") {
  AbandonedIsLeaked leaked;
  TargetMachinePool shared, fresh;
  const std::string &good = sources()[3];
  std::string expected = objectOf(good, OptLevel::O2, fresh);
  for (const char *bad : {"define void @f() { call void asm \"nonsense\", \"\"() ret void }",
                          "declare double @llvm.ppc.readflm()\n"
                          "define double @f() { %x = call double @llvm.ppc.readflm() ret double %x }"}) {
    CHECK((objectOf(good, OptLevel::O2, shared) == expected));
    Failure failure = failureOf(compileSource(bad, {"bad.ll", OptLevel::O2, Moves::Code}, shared));
    CHECK(failure.code == "ERR_CODEGEN");
    CHECK((objectOf(good, OptLevel::O2, shared) == expected));
  }
}
