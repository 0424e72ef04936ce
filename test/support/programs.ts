/**
 * Tiny IR programs with known answers, and the JS model of each that has more than one answer.
 *
 * In: names and numbers. Out: IR text. Always true: a program needs nothing of the process unless its name says so.
 */

/** `i32 add(i32, i32)`, wrapping. */
export const add = `define i32 @add(i32 %a, i32 %b) {
  %sum = add i32 %a, %b
  ret i32 %sum
}`;

/** `i32 name()` that returns `value`. */
export function returning(name: string, value: number): string {
  return `define i32 @${name}() {
  ret i32 ${value}
}`;
}

/** `i32 bump()`: counts its calls in the global `count`. */
export const counter = `@count = global i32 0
define i32 @bump() {
  %old = load i32, ptr @count
  %new = add i32 %old, 1
  store i32 %new, ptr @count
  ret i32 %new
}`;

/** Code, constants and data: `i32 square(i32)` of 0 to 4 from the constant `squares`, counting its calls in `calls`. */
export const threeSegments = `@squares = constant [5 x i32] [i32 0, i32 1, i32 4, i32 9, i32 16]
@calls = global i64 0
define i32 @square(i32 %i) {
  %old = load i64, ptr @calls
  %new = add i64 %old, 1
  store i64 %new, ptr @calls
  %at = getelementptr [5 x i32], ptr @squares, i32 0, i32 %i
  %result = load i32, ptr %at
  ret i32 %result
}`;

/** `i32 name(i32 x)` that returns `callee(x) + plus`, where callee is another code object's. */
export function calling(name: string, callee: string, plus: number): string {
  return `declare i32 @${callee}(i32)
define i32 @${name}(i32 %x) {
  %y = call i32 @${callee}(i32 %x)
  %z = add i32 %y, ${plus}
  ret i32 %z
}`;
}

/** `i32 name(i32 x)` that returns `x * factor`, and counts its calls in `name_calls`. */
export function multiplying(name: string, factor: number): string {
  return `@${name}_calls = global i32 0
define i32 @${name}(i32 %x) {
  %old = load i32, ptr @${name}_calls
  %new = add i32 %old, 1
  store i32 %new, ptr @${name}_calls
  %y = mul i32 %x, ${factor}
  ret i32 %y
}`;
}

const steps = 400;

/** A long function: `i32 mix(i32)`, 4 to 8 kB of code, with calls of an internal function on the way. */
export const mix = `define internal i32 @twist(i32 %x) noinline {
  %a = lshr i32 %x, 13
  %b = xor i32 %x, %a
  ret i32 %b
}
define i32 @mix(i32 %x0) {
${Array.from({ length: steps }, (_, i) => mixStep(i)).join('\n')}
  ret i32 %x${steps}
}`;

function mixStep(i: number): string {
  const multiplied = `  %m${i} = mul i32 %x${i}, ${mixFactor(i)}\n`;
  return i % 50 === 49
    ? `${multiplied}  %x${i + 1} = call i32 @twist(i32 %m${i})`
    : `${multiplied}  %x${i + 1} = xor i32 %m${i}, ${i * 77 + 5}`;
}

function mixFactor(i: number): number {
  return 2 * i * i + 3;
}

/** What `mix` returns. */
export function mixModel(seed: number): number {
  let x = seed | 0;
  for (let i = 0; i < steps; i++) {
    const m = Math.imul(x, mixFactor(i));
    x = i % 50 === 49 ? m ^ (m >>> 13) : m ^ (i * 77 + 5);
  }
  return x;
}

/** `i32 dispatch(i32 op, i32 x)` over a jump table of eight operations; other ops give -1. */
export const jumpTable = `define i32 @dispatch(i32 %op, i32 %x) noinline {
  switch i32 %op, label %none [ i32 0, label %c0  i32 1, label %c1  i32 2, label %c2  i32 3, label %c3
                                i32 4, label %c4  i32 5, label %c5  i32 6, label %c6  i32 7, label %c7 ]
c0:
  %r0 = add i32 %x, 17
  ret i32 %r0
c1:
  %r1 = sub i32 100, %x
  ret i32 %r1
c2:
  %r2 = mul i32 %x, %x
  ret i32 %r2
c3:
  %r3 = xor i32 %x, 12345
  ret i32 %r3
c4:
  %r4 = shl i32 %x, 3
  ret i32 %r4
c5:
  %r5 = ashr i32 %x, 2
  ret i32 %r5
c6:
  %r6 = or i32 %x, 1
  ret i32 %r6
c7:
  %r7 = and i32 %x, 255
  ret i32 %r7
none:
  ret i32 -1
}`;

/** What `dispatch` returns. */
export function dispatchModel(op: number, x: number): number {
  return [(x + 17) | 0, (100 - x) | 0, Math.imul(x, x), x ^ 12345, x << 3, x >> 2, x | 1, x & 255][op] ?? -1;
}

/** `i32 interpret(ptr code)`: computed goto over bytes 0 (stop), 1 (add 1), 2 (double). */
export const computedGoto = `@labels = internal constant [3 x ptr] [ptr blockaddress(@interpret, %stop), ptr blockaddress(@interpret, %inc), ptr blockaddress(@interpret, %twice)]
define i32 @interpret(ptr %code) noinline {
  br label %next
next:
  %pc = phi ptr [ %code, %0 ], [ %pc1, %inc ], [ %pc1, %twice ]
  %acc = phi i32 [ 0, %0 ], [ %more, %inc ], [ %double, %twice ]
  %op = load i8, ptr %pc
  %pc1 = getelementptr i8, ptr %pc, i64 1
  %index = zext i8 %op to i64
  %at = getelementptr [3 x ptr], ptr @labels, i64 0, i64 %index
  %target = load ptr, ptr %at
  indirectbr ptr %target, [label %stop, label %inc, label %twice]
inc:
  %more = add i32 %acc, 1
  br label %next
twice:
  %double = shl i32 %acc, 1
  br label %next
stop:
  ret i32 %acc
}`;

/** `void sort(ptr, i64)` with libc's qsort and a comparator of its own; `ptr comparator()` gives the comparator's address. */
export const sortWithLibc = `declare void @qsort(ptr, i64, i64, ptr)
define internal i32 @compare(ptr %a, ptr %b) {
  %x = load i32, ptr %a
  %y = load i32, ptr %b
  %gt = icmp sgt i32 %x, %y
  %lt = icmp slt i32 %x, %y
  %g = zext i1 %gt to i32
  %l = zext i1 %lt to i32
  %r = sub i32 %g, %l
  ret i32 %r
}
define void @sort(ptr %values, i64 %count) {
  call void @qsort(ptr %values, i64 %count, i64 4, ptr @compare)
  ret void
}
define ptr @comparator() {
  ret ptr @compare
}`;

/** `i32 format(ptr, i64, i32)`: libc's snprintf of "answer %d is %s" with a string constant. */
export const formatWithLibc = `@pattern = private unnamed_addr constant [16 x i8] c"answer %d is %s\\00"
@word = private unnamed_addr constant [6 x i8] c"right\\00"
declare i32 @snprintf(ptr, i64, ptr, ...)
define i32 @format(ptr %to, i64 %size, i32 %value) {
  %n = call i32 (ptr, i64, ptr, ...) @snprintf(ptr %to, i64 %size, ptr @pattern, i32 %value, ptr @word)
  ret i32 %n
}`;

/** `void raise(i32)` throws a C++ int. */
export const cxxThrow = `@_ZTIi = external constant ptr
declare ptr @__cxa_allocate_exception(i64)
declare void @__cxa_throw(ptr, ptr, ptr) noreturn
define void @raise(i32 %value) noinline {
  %exception = call ptr @__cxa_allocate_exception(i64 4)
  store i32 %value, ptr %exception
  call void @__cxa_throw(ptr %exception, ptr @_ZTIi, ptr null)
  unreachable
}`;

/** `i32 attempt(i32 x)` calls `raise` and returns the int that it caught plus 1000. Without `raise`'s definition. */
export const cxxCatch = `@_ZTIi = external constant ptr
declare void @raise(i32)
declare i32 @__gxx_personality_v0(...)
declare ptr @__cxa_begin_catch(ptr)
declare void @__cxa_end_catch()
define i32 @attempt(i32 %x) personality ptr @__gxx_personality_v0 {
  invoke void @raise(i32 %x) to label %done unwind label %caught
done:
  ret i32 0
caught:
  %pad = landingpad { ptr, i32 } catch ptr @_ZTIi
  %exception = extractvalue { ptr, i32 } %pad, 0
  %object = call ptr @__cxa_begin_catch(ptr %exception)
  %value = load i32, ptr %object
  call void @__cxa_end_catch()
  %result = add i32 %value, 1000
  ret i32 %result
}`;

/** Both in one module. */
export const cxxThrowAndCatch = `${cxxThrow}\n${cxxCatch.replace(/^@_ZTIi.*\ndeclare void @raise.*\n/, '')}`;
