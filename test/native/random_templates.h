// Functions `i32 @f(i32)` of many shapes, with what each must return: the oracle of the random test.
#pragma once

#include <cstddef>

namespace nomad::test {

struct Template {
  const char *name;
  const char *source;                 // $k: a number that differs from object to object
  int (*result)(int k, int x, int n); // of the n-th call, n from 1; of callers: of what the callee returned, x
  bool callsAnother = false;          // imports @callee
};

inline constexpr Template templates[] = {
    {"add", "define i32 @f(i32 %x) {\n %r = add i32 %x, $k\n ret i32 %r\n}", [](int k, int x, int) { return x + k; }},
    {"multiply", "define i32 @f(i32 %x) {\n %r = mul i32 %x, $k\n ret i32 %r\n}", [](int k, int x, int) { return x * k; }},
    {"constant table",
     "@t = constant [4 x i32] [i32 $k, i32 1, i32 2, i32 3]\ndefine i32 @f(i32 %x) {\n %i = and i32 %x, 3\n"
     " %e = getelementptr i32, ptr @t, i32 %i\n %r = load i32, ptr %e\n ret i32 %r\n}",
     [](int k, int x, int) { return (x & 3) ? x & 3 : k; }},
    {"counter",
     "@n = global i32 $k\ndefine i32 @f(i32 %x) {\n %a = load i32, ptr @n\n %b = add i32 %a, 1\n store i32 %b, ptr @n\n ret i32 "
     "%b\n}",
     [](int k, int, int n) { return k + n; }},
    {"zeros",
     "@z = internal global [50 x i32] zeroinitializer\ndefine i32 @f(i32 %x) {\n %e = getelementptr i32, ptr @z, i32 49\n"
     " %a = load i32, ptr %e\n %b = add i32 %a, $k\n store i32 %b, ptr %e\n ret i32 %b\n}",
     [](int k, int, int n) { return k * n; }},
    {"pointer to data",
     "@v = global i32 $k\n@p = global ptr @v\ndefine i32 @f(i32 %x) {\n %p = load volatile ptr, ptr @p\n %r = load i32, ptr %p\n "
     "ret i32 %r\n}",
     [](int k, int, int) { return k; }},
    {"pointer to constants",
     "@c = constant i32 $k\n@p = global ptr @c\ndefine i32 @f(i32 %x) {\n %p = load volatile ptr, ptr @p\n %r = load i32, ptr "
     "%p\n ret i32 %r\n}",
     [](int k, int, int) { return k; }},
    {"pointer that wanders",
     "@a = global i32 $k\n@b = global i32 7\n@p = global ptr @a\ndefine i32 @f(i32 %x) {\n %p = load volatile ptr, ptr @p\n"
     " %r = load i32, ptr %p\n %c = icmp eq ptr %p, @a\n %q = select i1 %c, ptr @b, ptr @a\n store volatile ptr %q, ptr @p\n ret "
     "i32 %r\n}",
     [](int k, int, int n) { return n % 2 ? k : 7; }},
    {"function pointer in data",
     "@p = global [1 x ptr] [ptr @g]\ndefine internal i32 @g(i32 %x) {\n %r = xor i32 %x, $k\n ret i32 %r\n}\n"
     "define i32 @f(i32 %x) {\n %g = load volatile ptr, ptr @p\n %r = call i32 %g(i32 %x)\n ret i32 %r\n}",
     [](int k, int x, int) { return x ^ k; }},
    {"function pointer in constants",
     "@t = internal constant [2 x ptr] [ptr @g, ptr @h]\ndefine internal i32 @g() {\n ret i32 $k\n}\ndefine internal i32 @h() "
     "{\n ret i32 -1\n}\n"
     "define i32 @f(i32 %x) {\n %i = and i32 %x, 1\n %e = getelementptr ptr, ptr @t, i32 %i\n %g = load volatile ptr, ptr %e\n"
     " %r = call i32 %g()\n ret i32 %r\n}",
     [](int k, int x, int) { return x & 1 ? -1 : k; }},
    {"switch",
     "define i32 @f(i32 %x) {\n %i = and i32 %x, 7\n switch i32 %i, label %d [i32 0, label %a\n i32 1, label %b\n i32 2, label "
     "%c\n"
     " i32 3, label %e\n i32 4, label %g]\na:\n ret i32 $k\nb:\n %s = mul i32 %x, 3\n ret i32 %s\nc:\n %t = xor i32 %x, 5\n ret "
     "i32 %t\n"
     "e:\n %u = sub i32 0, %x\n ret i32 %u\ng:\n %v = shl i32 %x, 1\n ret i32 %v\nd:\n ret i32 -2\n}",
     [](int k, int x, int) {
       const int results[] = {k, x * 3, x ^ 5, -x, x * 2, -2, -2, -2};
       return results[x & 7];
     }},
    {"computed goto, constants",
     "@t = internal constant [2 x ptr] [ptr blockaddress(@f, %a), ptr blockaddress(@f, %b)]\ndefine i32 @f(i32 %x) {\n %i = and "
     "i32 %x, 1\n"
     " %e = getelementptr ptr, ptr @t, i32 %i\n %l = load volatile ptr, ptr %e\n indirectbr ptr %l, [label %a, label %b]\n"
     "a:\n ret i32 $k\nb:\n ret i32 11\n}",
     [](int k, int x, int) { return x & 1 ? 11 : k; }},
    {"computed goto, data",
     "@t = internal global [2 x ptr] [ptr blockaddress(@f, %a), ptr blockaddress(@f, %b)]\ndefine i32 @f(i32 %x) {\n %i = and "
     "i32 %x, 1\n"
     " %e = getelementptr ptr, ptr @t, i32 %i\n %l = load volatile ptr, ptr %e\n indirectbr ptr %l, [label %a, label %b]\n"
     "a:\n ret i32 $k\nb:\n ret i32 12\n}",
     [](int k, int x, int) { return x & 1 ? 12 : k; }},
    {"recursion",
     "define i32 @f(i32 %x) noinline {\n %i = and i32 %x, 15\n %z = icmp eq i32 %i, 0\n br i1 %z, label %a, label %b\na:\n ret "
     "i32 $k\n"
     "b:\n %y = sub i32 %i, 1\n %s = call i32 @f(i32 %y)\n %r = add i32 %s, %i\n ret i32 %r\n}",
     [](int k, int x, int) { return k + (x & 15) * ((x & 15) + 1) / 2; }},
    {"internal call",
     "define internal i32 @g(i32 %x) noinline {\n %r = add i32 %x, $k\n ret i32 %r\n}\ndefine i32 @f(i32 %x) {\n %a = call i32 "
     "@g(i32 %x)\n"
     " %b = call i32 @g(i32 %a)\n ret i32 %b\n}",
     [](int k, int x, int) { return x + 2 * k; }},
    {"constant pool",
     "define i32 @f(i32 %x) {\n %d = sitofp i32 %x to double\n %m = fmul double %d, 2.5\n %s = fadd double %m, $k.25\n"
     " %r = fptosi double %s to i32\n ret i32 %r\n}",
     [](int k, int x, int) { return static_cast<int>(x * 2.5 + (k + 0.25)); }},
    {"process function",
     "declare i64 @labs(i64)\ndefine i32 @f(i32 %x) {\n %w = sext i32 %x to i64\n %a = call i64 @labs(i64 %w)\n"
     " %t = trunc i64 %a to i32\n %r = add i32 %t, $k\n ret i32 %r\n}",
     [](int k, int x, int) { return (x < 0 ? -x : x) + k; }},
    {"thread-local",
     "@n = thread_local global i32 $k\ndeclare ptr @llvm.threadlocal.address.p0(ptr)\ndefine i32 @f(i32 %x) {\n"
     " %p = call ptr @llvm.threadlocal.address.p0(ptr @n)\n %a = load i32, ptr %p\n %b = add i32 %a, 2\n store i32 %b, ptr %p\n"
     " ret i32 %b\n}",
     [](int k, int, int n) { return k + 2 * n; }},
    {"constructor",
     "@v = global i32 0\n@llvm.global_ctors = appending global [1 x { i32, ptr, ptr }] [{ i32, ptr, ptr } { i32 65535, ptr @c, "
     "ptr null }]\n"
     "define internal void @c() {\n %a = load volatile i32, ptr @v\n %b = add i32 %a, $k\n store volatile i32 %b, ptr @v\n ret "
     "void\n}\n"
     "define i32 @f(i32 %x) {\n %r = load volatile i32, ptr @v\n ret i32 %r\n}",
     [](int k, int, int) { return k; }},
    {"direct call of another",
     "declare i32 @callee(i32)\ndefine i32 @f(i32 %x) {\n %a = call i32 @callee(i32 %x)\n %r = add i32 %a, $k\n ret i32 %r\n}",
     [](int k, int x, int) { return x + k; }, true},
    {"pointer to another",
     "declare i32 @callee(i32)\n@p = global { ptr } { ptr @callee }\ndefine i32 @f(i32 %x) {\n %g = load volatile ptr, ptr @p\n"
     " %a = call i32 %g(i32 %x)\n %r = sub i32 %a, $k\n ret i32 %r\n}",
     [](int k, int x, int) { return x - k; }, true},
    {"exception",
     "declare ptr @__cxa_allocate_exception(i64)\ndeclare void @__cxa_throw(ptr, ptr, ptr)\n@_ZTIi = external constant ptr\n"
     "declare i32 @__gxx_personality_v0(...)\ndeclare ptr @__cxa_begin_catch(ptr)\ndeclare void @__cxa_end_catch()\n"
     "define internal void @thrower(i32 %x) noinline {\n %e = call ptr @__cxa_allocate_exception(i64 4)\n store i32 %x, ptr %e\n"
     " call void @__cxa_throw(ptr %e, ptr @_ZTIi, ptr null)\n unreachable\n}\n"
     "define i32 @f(i32 %x) personality ptr @__gxx_personality_v0 {\n invoke void @thrower(i32 %x) to label %q unwind label "
     "%p\nq:\n ret i32 -1\n"
     "p:\n %e = landingpad { ptr, i32 } catch ptr @_ZTIi\n %o = extractvalue { ptr, i32 } %e, 0\n %c = call ptr "
     "@__cxa_begin_catch(ptr %o)\n"
     " %v = load i32, ptr %c\n call void @__cxa_end_catch()\n %r = add i32 %v, $k\n ret i32 %r\n}",
     [](int k, int x, int) { return x + k; }},
};

inline constexpr std::size_t templateCount = sizeof templates / sizeof templates[0];

} // namespace nomad::test
