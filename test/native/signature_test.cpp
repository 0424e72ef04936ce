// Oracle: the IR text that each test gives.
#include "support.h"

#include "compile/module.h"

using namespace nomad;
using namespace nomad::test;

namespace {

// The signature of @f in a module.
Signature signatureIn(const std::string &ir) {
  ParsedModule module = need(parseModule(ir, "test"));
  return signatureOf(*module.ir->getFunction("f"));
}

std::string refusalOf(const std::string &ir) { return signatureIn(ir).refusal; }

} // namespace

TEST_CASE("signature: every kind, as parameter and as result") {
  const std::pair<const char *, ValueKind> kinds[] = {
      {"i1", ValueKind::I1},   {"i8", ValueKind::I8},       {"i16", ValueKind::I16},       {"i32", ValueKind::I32},
      {"i64", ValueKind::I64}, {"float", ValueKind::Float}, {"double", ValueKind::Double}, {"ptr", ValueKind::Ptr}};
  for (auto [text, kind] : kinds) {
    std::string type = text;
    Signature signature = signatureIn("declare " + type + " @f(" + type + ")");
    CHECK(signature.refusal.empty());
    CHECK(signature.text == type + " (" + type + ")");
    CHECK(signature.result == kind);
    REQUIRE(signature.parameters.size() == 1);
    CHECK(signature.parameters[0].kind == kind);
    CHECK(valueKindName(kind) == type);
  }
  CHECK(signatureIn("declare void @f()").result == ValueKind::Void);
}

TEST_CASE("signature: what JS can't call says why") {
  CHECK(contains(refusalOf("declare void @f(i32, ...)"), "variable arguments"));
  CHECK(contains(refusalOf("declare fastcc void @f()"), "calling convention"));
  CHECK(contains(refusalOf("declare void @f(i32, ptr byval({i64, i64}))"), "parameter 1 is passed byval"));
  CHECK(contains(refusalOf("declare void @f(ptr nest)"), "nest"));
  CHECK(contains(refusalOf("declare void @f(ptr inalloca(i32))"), "inalloca"));
  CHECK(contains(refusalOf("declare void @f(ptr swiftself)"), "swiftself"));
  CHECK(contains(refusalOf("declare void @f(<4 x i32>)"), "parameter 0 is of type <4 x i32>"));
  CHECK(contains(refusalOf("declare void @f(i24)"), "i24"));
  CHECK(contains(refusalOf("declare i128 @f()"), "returns i128"));
  CHECK(contains(refusalOf("declare {i32, i32} @f()"), "returns"));
  CHECK(contains(refusalOf("declare void @f(ptr addrspace(256))"), "addrspace(256)"));
  CHECK(contains(refusalOf("declare void @f(half)"), "half"));
  CHECK(contains(refusalOf("declare void @f(x86_fp80)"), "x86_fp80"));
}

// It travels in r14 (llvm/lib/Target/X86/X86CallingConv.td, CCIfSwiftAsync), where a C caller puts nothing.
TEST_CASE("signature: a swiftasync parameter is refused") { CHECK_FALSE(refusalOf("declare void @f(ptr swiftasync)").empty()); }

TEST_CASE("signature: the number of parameters has a limit") {
  auto declare = [](int count) {
    std::string parameters = "i32";
    for (int i = 1; i < count; ++i)
      parameters += ", i32";
    return "declare void @f(" + parameters + ")";
  };
  CHECK(refusalOf(declare(1000)).empty());
  CHECK(contains(refusalOf(declare(1001)), "1000"));
}

TEST_CASE("signature: a struct return through a pointer is a pointer like any other") {
  CHECK(refusalOf("declare void @f(ptr sret({i64, i64, i64}), i32)").empty());
}

TEST_CASE("signature: the key distinguishes extensions and refusals, not names") {
  std::string plain = signatureIn("declare i32 @f(i8, i32)").key();
  CHECK(signatureIn("define i32 @f(i8 %a, i32 %b) {\n ret i32 0\n}").key() == plain);
  CHECK(signatureIn("declare i32 @f(i8 zeroext, i32)").key() != plain);
  CHECK(signatureIn("declare i32 @f(i8 signext, i32)").key() != plain);
  CHECK(signatureIn("declare i32 @f(i8 signext, i32)").key() != signatureIn("declare i32 @f(i8 zeroext, i32)").key());
  CHECK(signatureIn("declare i32 @f(i8, i32 signext)").key() != signatureIn("declare i32 @f(i8 signext, i32)").key());
  CHECK(signatureIn("declare fastcc i32 @f(i8, i32)").key() != plain);
}
