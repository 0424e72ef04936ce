/**
 * Code that calls other code: either side may move, and the callee can't be freed before the caller.
 * npx tsx examples/03-references.ts
 */
import assert from 'node:assert/strict';
import { Jit, StateError, UnresolvedSymbolError } from 'nomad-jit';

using jit = new Jit();
const space = jit.createSpace({ codeBytes: 256 * 2 ** 20 });

const square = jit.compile('define i32 @square(i32 %x) { %y = mul i32 %x, %x ret i32 %y }', { name: 'square' });
square.place({ space, code: 0 });

// An import is a function of another code object; the call is direct.
const sum = jit.compile(
  `
  declare i32 @square(i32)
  define i32 @sumOfSquares(i32 %a, i32 %b) {
    %a2 = call i32 @square(i32 %a)
    %b2 = call i32 @square(i32 %b)
    %sum = add i32 %a2, %b2
    ret i32 %sum
  }
  define ptr @addressOfSquare() { ret ptr @square }`,
  { name: 'sum', imports: { square: square.get('square') } },
);
sum.place({ space, code: 4096 });
assert.deepEqual(sum.references, [square]);

const sumOfSquares = sum.get<(a: number, b: number) => number>('sumOfSquares');
assert.equal(sumOfSquares(3, 4), 25);
square.relocate({ space, code: 200 * 2 ** 20 });
assert.equal(sumOfSquares(3, 4), 25);
sum.relocate({ space, code: 100 * 2 ** 20 });
assert.equal(sumOfSquares(6, 8), 100);
console.log('either side has moved:', sumOfSquares(3, 4), sumOfSquares(6, 8));

// An address that code takes is the entry stub's, so it may be stored: it never changes.
const addressOfSquare = sum.get<() => bigint>('addressOfSquare');
assert.equal(addressOfSquare(), square.get('square').entry);
assert.notEqual(addressOfSquare(), square.addressOf('square'));
console.log('a stored address is stable');

assert.throws(() => square.free(), StateError);
sum.free();
square.free();
assert.throws(() => sumOfSquares(3, 4), StateError);
console.log('freed: the referring code first');

// The error names all undefined symbols.
assert.throws(
  () => jit.compile('declare i32 @nowhere() define i32 @f() { %x = call i32 @nowhere() ret i32 %x }'),
  (error) => error instanceof UnresolvedSymbolError && error.symbols.includes('nowhere'),
);
