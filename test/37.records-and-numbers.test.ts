/**
 * What code carries along, and what it counts with: debug information, records of collectors, coroutines, sections, address spaces, odd numbers
 * and calling conventions. Everything moves between any two calls. Oracle: arithmetic in JS.
 */
import { compileC } from './support/tools';
import { expectWandering, type Program } from './support/wanderers';

/** `g`, and an `f` that returns what `g` returns. */
const through = (g: string, type = 'i32', convention = '') =>
  `${g}\ndefine ${type} @f() {\n  %r = call ${convention} ${type} @g()\n  ret ${type} %r\n}`;

const features: Record<string, Record<string, Program>> = {
  'debug info': {
    'of C, with variables, types and inlining': {
      source: compileC(
        'c',
        `static int table[3] = {1, 2, 3}; __attribute__((noinline)) static int g(int x) { int y = x * 2; return y + table[x % 3]; }
        int f(void) { int sum = 0; for (int i = 0; i < 5; i++) sum += g(i); return sum; }`,
        ...['-g', '-gdwarf-5'],
      ),
      answers: [29, 29, 29],
    },
  },
  'records of collectors and coroutines': {
    'a stackmap, a patchpoint, a statepoint': {
      source: `declare void @llvm.experimental.stackmap(i64, i32, ...)
declare i64 @llvm.experimental.patchpoint.i64(i64, i32, ptr, i32, ...)
declare token @llvm.experimental.gc.statepoint.p0(i64 immarg, i32 immarg, ptr, i32 immarg, i32 immarg, ...)
declare i64 @llvm.experimental.gc.result.i64(token)
define internal i64 @g() noinline { ret i64 5 }
define i64 @f() gc "statepoint-example" {
  call void (i64, i32, ...) @llvm.experimental.stackmap(i64 1, i32 8, i32 7)
  %a = call i64 (i64, i32, ptr, i32, ...) @llvm.experimental.patchpoint.i64(i64 1, i32 16, ptr @g, i32 0)
  %t = call token (i64, i32, ptr, i32, i32, ...) @llvm.experimental.gc.statepoint.p0(i64 0, i32 0, ptr elementtype(i64 ()) @g, i32 0, i32 0, i32 0, i32 0)
  %b = call i64 @llvm.experimental.gc.result.i64(token %t)
  %c = mul i64 %a, %b
  ret i64 %c
}`,
      answers: [25n, 25n, 25n],
    },
    'gc "shadow-stack"': {
      source: through(`declare void @llvm.gcroot(ptr, ptr)
define internal void @callee() noinline { ret void }
define i32 @g() noinline gc "shadow-stack" {
  %r = alloca ptr
  call void @llvm.gcroot(ptr %r, ptr null)
  store ptr null, ptr %r
  call void @callee()
  ret i32 3
}`),
      answers: [3, 3, 3],
    },
    'a coroutine resumed after moves': {
      source: `@out = global i32 0
@waiting = global ptr null
declare ptr @malloc(i64)
declare void @free(ptr)
define ptr @count(i32 %n) presplitcoroutine {
entry:
  %id = call token @llvm.coro.id(i32 0, ptr null, ptr null, ptr null)
  %size = call i64 @llvm.coro.size.i64()
  %memory = call ptr @malloc(i64 %size)
  %handle = call ptr @llvm.coro.begin(token %id, ptr %memory)
  br label %loop
loop:
  %i = phi i32 [ %n, %entry ], [ %next, %resume ]
  store i32 %i, ptr @out
  %s = call i8 @llvm.coro.suspend(token none, i1 false)
  switch i8 %s, label %suspend [ i8 0, label %resume  i8 1, label %cleanup ]
resume:
  %next = add i32 %i, 1
  br label %loop
cleanup:
  %m = call ptr @llvm.coro.free(token %id, ptr %handle)
  call void @free(ptr %m)
  br label %suspend
suspend:
  call void @llvm.coro.end(ptr %handle, i1 false, token none)
  ret ptr %handle
}
define i32 @f() {
  %handle = load ptr, ptr @waiting
  %isFirst = icmp eq ptr %handle, null
  br i1 %isFirst, label %start, label %more
start:
  %new = call ptr @count(i32 10)
  store ptr %new, ptr @waiting
  br label %end
more:
  call void @llvm.coro.resume(ptr %handle)
  br label %end
end:
  %v = load i32, ptr @out
  ret i32 %v
}`,
      answers: [10, 11, 12, 13],
    },
  },
  'attributes and sections': {
    'prologue data and patchable entries': {
      source: through(
        'define i32 @g() noinline "patchable-function-entry"="4" "patchable-function-prefix"="2" prologue i8 144 { ret i32 5 }',
      ),
      answers: [5, 5, 5],
    },
    'sections and alignment of functions, data and constants': {
      source: `@d = global i32 5, section ".mine", align 4096
@c = constant i32 6, section ".fixed", align 128
@z = global [10 x i32] zeroinitializer, section ".zeros", code_model "large"
@l = global i32 100, section ".ldata"
define i32 @g() noinline section ".code" align 512 { ret i32 1000 }
define i32 @f() {
  %d = load volatile i32, ptr @d
  %c = load volatile i32, ptr @c
  %l = load volatile i32, ptr @l
  %g = call i32 @g()
  %z = load volatile i32, ptr @z
  %s = add i32 %d, %c
  store i32 %s, ptr @d
  store i32 %s, ptr @z
  %t = add i32 %s, %l
  %u = add i32 %t, %g
  %v = add i32 %u, %z
  ret i32 %v
}`,
      answers: [1111, 1128, 1140],
    },
    'another address space of the same addresses': {
      source: `@d = addrspace(1) global i32 5
define i32 @f() {
  %a = load i32, ptr addrspace(1) @d
  %b = add i32 %a, 1
  store i32 %b, ptr addrspace(1) @d
  ret i32 %a
}`,
      answers: [5, 6, 7],
    },
  },
  numbers: {
    x86_fp80: {
      source: `@d = global x86_fp80 0xK40008000000000000000
define double @f() {
  %a = load x86_fp80, ptr @d
  %b = fmul x86_fp80 %a, 0xK4000C000000000000000
  store x86_fp80 %b, ptr @d
  %r = fptrunc x86_fp80 %b to double
  ret double %r
}`,
      answers: [6, 18, 54, 162],
    },
    i128: {
      source: `@d = global i128 ${2n ** 127n - 1n}
define i64 @f() {
  %a = load i128, ptr @d
  %b = sdiv i128 %a, 1000000007
  store i128 %b, ptr @d
  %c = mul i128 %b, 3
  %d = lshr i128 %c, 64
  %r = trunc i128 %d to i64
  ret i64 %r
}`,
      answers: [1n, 2n, 3n].map((n) => (((2n ** 127n - 1n) / 1_000_000_007n ** n) * 3n) >> 64n),
    },
    'half, bfloat and fp128': {
      source: `@h = global half 2.0
@b = global bfloat 3.0
@q = global fp128 0xL00000000000000004001000000000000
define double @f() {
  %h = load half, ptr @h
  %b = load bfloat, ptr @b
  %q = load fp128, ptr @q
  %x = fpext half %h to double
  %y = fpext bfloat %b to double
  %z = fptrunc fp128 %q to double
  %s = fmul double %x, %y
  %r = fmul double %s, %z
  ret double %r
}`,
      answers: [24, 24],
    },
    'atomics, also of 16 bytes': {
      source: `@d = global i128 5, align 16
@n = global i32 5
define i64 @f() {
  %o = load i128, ptr @d
  %n = add i128 %o, 18446744073709551617
  %r = cmpxchg ptr @d, i128 %o, i128 %n seq_cst seq_cst
  %v = load atomic i128, ptr @d seq_cst, align 16
  %h = lshr i128 %v, 64
  %t = trunc i128 %h to i64
  %a = atomicrmw add ptr @n, i32 10 seq_cst
  %b = zext i32 %a to i64
  %c = add i64 %t, %b
  ret i64 %c
}`,
      answers: [6n, 17n, 28n],
    },
  },
  'calling conventions': Object.fromEntries(
    [
      'fastcc',
      'coldcc',
      'preserve_mostcc',
      'preserve_allcc',
      'ghccc',
      'swiftcc',
      'win64cc',
      'x86_vectorcallcc',
      'x86_regcallcc',
    ].map((convention) => [
      convention,
      { source: through(`define ${convention} i32 @g() noinline { ret i32 3 }`, 'i32', convention), answers: [3, 3] },
    ]),
  ),
};

describe.each(Object.entries(features))('%s', (_, programs) => {
  test.each(Object.entries(programs))('%s', (_, program) => expectWandering(program));
});
