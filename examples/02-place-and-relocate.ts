/**
 * Places code where you say, and moves it later. Its data keep the values that the program has stored.
 * npx tsx examples/02-place-and-relocate.ts
 */
import assert from 'node:assert/strict';
import { Jit, PlacementError } from 'nomad-jit';

using jit = new Jit();
const space = jit.createSpace({ codeBytes: 64 * 2 ** 20 });

const counter = jit.compile(
  `
  @total = global i32 0
  define i32 @count(i32 %by) {
    %old = load i32, ptr @total
    %new = add i32 %old, %by
    store i32 %new, ptr @total
    ret i32 %new
  }`,
  // A promise that no address of @total is stored, so that data may move too.
  { name: 'counter', moves: 'all' },
);
assert.equal(counter.state, 'unplaced');

counter.place({ space, code: 0, data: 0 });
const count = counter.get<(by: number) => number>('count');
const first = counter.addressOf('count');
assert.equal(count(40), 40);

counter.relocate({ space, code: 48 * 2 ** 20, data: 4096 });
assert.equal(counter.addressOf('count') - first, 48n * 2n ** 20n);
assert.equal(count(2), 42);
assert.equal(counter.readGlobal('total'), 42);
console.log(`moved by ${counter.addressOf('count') - first} bytes, and counts on: ${count(0)}`);

// A move that can't be done is an error, and nothing has changed.
assert.throws(() => counter.relocate({ space, code: 64 * 2 ** 20 }), PlacementError);
assert.equal(count(0), 42);

// Or let an allocator choose, and move many in one call, all or none.
const others = [1, 2, 3].map((n) => {
  const object = jit.compile(`define i32 @n() { ret i32 ${n} }`, { name: `number ${n}` });
  return object.place(space.allocate(object));
});
const report = jit.relocate(others.map((object, i) => [object, { space, code: 2 ** 20 * (i + 1) }] as const));
assert.equal(report.moved, 3);
assert.deepEqual(
  others.map((object) => object.get<() => number>('n')()),
  [1, 2, 3],
);
console.log(`one call moved ${report.moved} code objects`);
