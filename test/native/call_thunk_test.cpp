// Call thunks of style Block, called as the C functions that they are, with a test's own argument block. Oracle: the C types.
#include "support.h"

#include <cmath>
#include <limits>

using namespace nomad;
using namespace nomad::test;

namespace {

// `T @same(T x)`: what goes in comes out, having been a T on the way.
template <typename T>
void checkRoundTrip(const char *type, std::initializer_list<T> values) {
  Jit jit;
  std::string text = type;
  Handle handle = jit.add("define " + text + " @same(" + text + " %x) {\n  ret " + text + " %x\n}");
  for (T value : values)
    CHECK(jit.call<T>(handle, "same", value) == value);
}

} // namespace

TEST_CASE("call thunk: integers of every width keep their value and sign") {
  checkRoundTrip<bool>("i1", {false, true});
  checkRoundTrip<std::int8_t>("i8", {0, 1, -1, 127, -128});
  checkRoundTrip<std::int16_t>("i16", {0, 1, -1, 32767, -32768});
  checkRoundTrip<std::int32_t>("i32", {0, 1, -1, 0x7fff'ffff, -0x7fff'ffff - 1});
  checkRoundTrip<std::int64_t>("i64",
                               {0, 1, -1, std::numeric_limits<std::int64_t>::max(), std::numeric_limits<std::int64_t>::min()});
}

TEST_CASE("call thunk: pointers keep all 64 bits") {
  Jit jit;
  Handle handle = jit.add("define ptr @same(ptr %x) {\n  ret ptr %x\n}");
  for (std::uint64_t value : {std::uint64_t{0}, ~std::uint64_t{0}, std::uint64_t{0x8000'0000}})
    CHECK(jit.call<std::uint64_t>(handle, "same", Address::of(value).pointer()) == value);
}

TEST_CASE("call thunk: floating point, with infinities, zeros of both signs and NaN") {
  double infinity = std::numeric_limits<double>::infinity();
  checkRoundTrip<double>("double", {0.0, 0.1, -1e308, 5e-324, infinity, -infinity});
  checkRoundTrip<float>("float", {0.0f, 0.5f, -3.4e38f, 1e-45f});
  Jit jit;
  Handle handle = jit.add("define double @d(double %x) {\n ret double %x\n}\ndefine float @f(float %x) {\n ret float %x\n}");
  CHECK(std::signbit(jit.call<double>(handle, "d", -0.0)));
  CHECK(std::isnan(jit.call<double>(handle, "d", std::nan(""))));
  CHECK(std::isnan(jit.call<float>(handle, "f", std::nanf(""))));
}

TEST_CASE("call thunk: a float parameter rounds the block's double to nearest, a float result is widened exactly") {
  Jit jit;
  Handle handle = jit.add("define float @f(float %x) {\n  ret float %x\n}");
  for (double value : {0.1, 1.0 / 3, 16777217.0, 1e39, -1e39, 1e-50}) {
    jit.setParameter(0, value);
    jit.enter(handle, "f");
    CHECK(jit.result<double>() == static_cast<double>(static_cast<float>(value)));
  }
}

TEST_CASE("call thunk: any int32 that is not 0 is a true i1; wider values are cut for i8 and i16") {
  Jit jit;
  Handle handle = jit.add("define i1 @b(i1 %x) {\n ret i1 %x\n}\ndefine i8 @c(i8 %x) {\n ret i8 %x\n}\n"
                          "define i16 @s(i16 %x) {\n ret i16 %x\n}");
  CHECK(jit.call<int>(handle, "b", 2) == 1);
  CHECK(jit.call<int>(handle, "b", 256) == 1);
  CHECK(jit.call<int>(handle, "c", 0x1ff) == -1);
  CHECK(jit.call<int>(handle, "s", 0x18000) == -32768);
}

TEST_CASE("call thunk: narrow parameters are extended as the signature says") {
  Jit jit;
  // The callee looks at the whole register, as C compilers that trust zeroext and signext do.
  Handle handle = jit.add("define i32 @z(i8 zeroext %x) {\n %r = zext i8 %x to i32\n ret i32 %r\n}\n"
                          "define i32 @s(i8 signext %x) {\n %r = sext i8 %x to i32\n ret i32 %r\n}\n"
                          "define i32 @b(i1 zeroext %x) {\n %r = zext i1 %x to i32\n ret i32 %r\n}");
  CHECK(jit.call<int>(handle, "z", std::int8_t{-1}) == 255);
  CHECK(jit.call<int>(handle, "s", std::int8_t{-1}) == -1);
  CHECK(jit.call<int>(handle, "b", true) == 1);
}

namespace {

// A function that stores its parameters in @seen, one 8-byte slot each.
std::string storingFunction(const std::vector<std::string> &types) {
  std::string parameters, body;
  for (size_t i = 0; i < types.size(); ++i) {
    std::string name = "%x" + std::to_string(i), place = "%p" + std::to_string(i);
    parameters += (i > 0 ? ", " : "") + types[i] + " " + name;
    body += "  " + place + " = getelementptr i64, ptr @seen, i64 " + std::to_string(i) + "\n";
    body += "  store " + types[i] + " " + name + ", ptr " + place + "\n";
  }
  return "@seen = global [" + std::to_string(types.size()) + " x i64] zeroinitializer\ndefine void @f(" + parameters + ") {\n" +
         body + "  ret void\n}\n";
}

} // namespace

TEST_CASE("call thunk: twelve parameters of mixed kinds arrive in registers and on the stack") {
  Jit jit;
  Handle handle =
      jit.add(storingFunction({"i1", "i8", "i16", "i32", "i64", "float", "double", "ptr", "i64", "i8", "float", "i32"}));
  jit.call<void>(handle, "f", true, std::int8_t{-2}, std::int16_t{-300}, std::int32_t{-70000},
                 std::int64_t{-1} * (std::int64_t{1} << 40), 1.5f, 0.1, Address::of(std::uint64_t{4096}).pointer(),
                 std::int64_t{9}, std::int8_t{-10}, -0.25f, std::int32_t{12});
  auto *seen = jit.global<std::uint64_t>(handle, "seen");
  auto as = [&]<typename T>(int slot, T expected) {
    T value;
    std::memcpy(&value, seen + slot, sizeof value);
    CHECK(value == expected);
  };
  as(0, true), as(1, std::int8_t{-2}), as(2, std::int16_t{-300}), as(3, std::int32_t{-70000});
  as(4, std::int64_t{-1} * (std::int64_t{1} << 40)), as(5, 1.5f), as(6, 0.1), as(7, std::uint64_t{4096});
  as(8, std::int64_t{9}), as(9, std::int8_t{-10}), as(10, -0.25f), as(11, std::int32_t{12});
}

TEST_CASE("call thunk: a hundred doubles arrive, most of them on the stack") {
  Jit jit;
  Handle handle = jit.add(storingFunction(std::vector<std::string>(100, "double")));
  for (size_t i = 0; i < 100; ++i)
    jit.setParameter(i, 0.5 * static_cast<double>(i));
  jit.enter(handle, "f");
  for (int i = 0; i < 100; ++i)
    CHECK(jit.global<double>(handle, "seen")[i] == 0.5 * i);
}

TEST_CASE("call thunk: void leaves the block as it is, and calls nest") {
  Jit jit;
  static Jit *current = nullptr;
  static Handle inner = noHandle;
  current = &jit;
  inner = jit.add(
      "define i32 @twice(i32 %x) {\n  %r = add i32 %x, %x\n  ret i32 %r\n}\ndefine void @nothing(i32 %x) {\n  ret void\n}");
  jit.call<void>(inner, "nothing", 12345);
  CHECK(jit.result<int>() == 12345);
  auto callInner = +[](int x) { return current->call<int>(inner, "twice", x); };
  CompileOptions options;
  options.imports = {importAddress("host", callInner)};
  Handle outer = jit.add("declare i32 @host(i32)\ndefine i32 @f(i32 %x, i32 %y) {\n  %a = call i32 @host(i32 %x)\n"
                         "  %b = call i32 @host(i32 %y)\n  %r = sub i32 %a, %b\n  ret i32 %r\n}",
                         options);
  CHECK(jit.call<int>(outer, "f", 100, 1) == 198);
}

TEST_CASE("call thunk: one for each signature, entered by entry index") {
  Jit jit;
  Handle handle = jit.add(
      "define i32 @a(i32 %x) {\n ret i32 1\n}\ndefine i32 @b(i32 %x) {\n ret i32 2\n}\ndefine i64 @c(i32 %x) {\n ret i64 3\n}");
  auto signature = [&](const char *name) { return need(jit.engine().function(handle, name)).signature; };
  CHECK(signature("a") == signature("b"));
  CHECK(signature("a") != signature("c"));
  Address first = need(jit.engine().thunk(signature("a"), ThunkStyle::Block));
  CHECK(jit.call<int>(handle, "a", 0) == 1);
  CHECK(jit.call<int>(handle, "b", 0) == 2);
  CHECK(jit.call<std::int64_t>(handle, "c", 0) == 3);
  CHECK(need(jit.engine().thunk(signature("a"), ThunkStyle::Block)) == first);
  CHECK(jit.engine().stats().liveObjects == 1); // thunks are not the client's
}
