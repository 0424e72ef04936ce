/**
 * Compiles IR to JavaScript functions, and calls them.
 * npx tsx examples/01-compile-and-call.ts
 */
import assert from 'node:assert/strict';
import { IRParseError, Jit } from 'nomad-jit';

using jit = new Jit();

// `load` compiles, and places the code in a space of the Jit's own.
const object = jit.load(
  `
  declare i64 @strlen(ptr)

  define i32 @add(i32 %a, i32 %b) {
    %sum = add i32 %a, %b
    ret i32 %sum
  }

  define double @mean(ptr %values, i64 %count) {
  entry:
    br label %next
  next:
    %i = phi i64 [ 0, %entry ], [ %i.next, %next ]
    %sum = phi double [ 0.0, %entry ], [ %sum.next, %next ]
    %at = getelementptr double, ptr %values, i64 %i
    %value = load double, ptr %at
    %sum.next = fadd double %sum, %value
    %i.next = add i64 %i, 1
    %more = icmp ult i64 %i.next, %count
    br i1 %more, label %next, label %done
  done:
    %n = uitofp i64 %count to double
    %mean = fdiv double %sum.next, %n
    ret double %mean
  }

  define i64 @length(ptr %text) {
    %n = call i64 @strlen(ptr %text)
    ret i64 %n
  }`,
  { name: 'arithmetic' },
);

for (const [name, { text }] of object.functions) console.log(`${name}: ${text}`);

const add = object.get<(a: number, b: number) => number>('add');
const mean = object.get<(values: Float64Array, count: number) => number>('mean');
const length = object.get<(text: Buffer) => bigint>('length');
assert.equal(add(2, 40), 42);
assert.equal(mean(Float64Array.of(1, 2, 6), 3), 3);
assert.equal(length(Buffer.from('moved\0')), 5n);
console.log(add(2, 40), mean(Float64Array.of(1, 2, 6), 3), length(Buffer.from('moved\0')));

// Mistakes are errors with a place in the source.
assert.throws(() => jit.compile('define i32 @broken() { ret i33 0 }'), IRParseError);
assert.throws(() => add('2' as never, 40), TypeError);
console.log('a mistake is an error, not the end of the process');
