/**
 * Code objects that call each other, and function addresses that programs store.
 */
import { type CodeObject } from 'nomad-jit';
import { at, codeAt, collectGarbage, makeJit } from './support/jits';
import {
  calling,
  computedGoto,
  cxxCatch,
  cxxThrow,
  cxxThrowAndCatch,
  dispatchModel,
  formatWithLibc,
  jumpTable,
  multiplying,
  returning,
  sortWithLibc,
} from './support/programs';
import { randomIntegers, seed } from './support/random';
import { expectSame } from './support/same';

let lanes = 0;

/** Moves `object`, of less than 4096 bytes of code, further and further away, on a lane that no other one of the test uses. */
function wander(object: CodeObject): () => void {
  const { space } = object.placement!;
  const lane = 4096 * (lanes++ % 16);
  let i = 0;
  return () => void object.relocate({ space, code: 65536 * (20 + (i++ % 100)) + lane });
}

test('B moves, A moves, both move: A still calls B (I9)', () => {
  const jit = makeJit();
  const [near, far] = [jit.createSpace({ codeBytes: 1 << 20 }), jit.createSpace({ codeBytes: 400 << 20 })];
  const b = jit.compile(multiplying('b', 3)).place(at(near, 1));
  const a = jit.compile(calling('a', 'b', 1), { imports: { b: b.get('b') } }).place(codeAt(near, 2));
  const call = a.get('a');
  for (const [object, space, index] of [
    [b, far, 1],
    [a, far, 90000],
    [b, near, 8],
    [a, near, 1],
    [b, far, 99999],
  ] as const) {
    object.relocate(codeAt(space, index));
    expect(call(14)).toBe(43);
  }
  expect(b.readGlobal('b_calls')).toBe(5);
});

test('A may be moved before B is called for the first time, and B while A is unplaced', () => {
  const jit = makeJit();
  const space = jit.createSpace();
  const b = jit.compile(multiplying('b', 3)).place(at(space, 1));
  const a = jit.compile(calling('a', 'b', 1), { imports: { b: b.get('b') } });
  for (let i = 5; i < 9; i++) b.relocate(codeAt(space, i));
  a.place(codeAt(space, 2));
  b.relocate(codeAt(space, 3));
  expect(a.get('a')(2)).toBe(7);
});

test(`a chain of ten, moved in any order (seed ${seed})`, () => {
  const jit = makeJit();
  const random = randomIntegers();
  const space = jit.createSpace({ codeBytes: 64 << 20 });
  const chain = [jit.compile(multiplying('f0', 2)).place(at(space, 0))];
  for (let i = 1; i < 10; i++) {
    const callee = chain[i - 1]!.get(`f${i - 1}`);
    chain.push(jit.compile(calling(`f${i}`, `f${i - 1}`, i), { imports: { [`f${i - 1}`]: callee } }).place(codeAt(space, i)));
  }
  const last = chain[9]!.get('f9');
  for (let i = 0; i < 500; i++) {
    const k = random(10);
    chain[k]!.relocate({ space, code: 65536 * (1 + k + 10 * random(90)) });
    expect(last(i)).toBe(2 * i + 45);
  }
  expectSame(chain[9]!.references, [chain[8]]);
});

test('one callee, many callers: all follow it', () => {
  const jit = makeJit();
  const space = jit.createSpace();
  const callee = jit.compile(multiplying('g', 5)).place(at(space, 0));
  const callers = Array.from({ length: 200 }, (_, i) =>
    jit.compile(calling('f', 'g', i), { imports: { g: callee.get('g') } }).place(codeAt(space, 1 + i, 256)),
  );
  for (const index of [500, 300, 900]) {
    const report = jit.relocate([[callee, codeAt(space, index)]]);
    expect(report.relocations).toBeGreaterThanOrEqual(200);
    callers.forEach((caller, i) => expect(caller.get('f')(2)).toBe(10 + i));
  }
  for (const caller of callers) caller.free();
  callee.free();
});

test("an imported function's address, taken in code, is its entry stub's and stays good", () => {
  const jit = makeJit();
  const space = jit.createSpace();
  const b = jit.compile(multiplying('b', 3)).place(at(space, 1));
  const a = jit.compile('declare i32 @b(i32)\n@kept = global ptr @b\ndefine ptr @addressOfB() {\n ret ptr @b\n}', {
    imports: { b: b.get('b') },
  });
  a.place(at(space, 2));
  expect([a.get('addressOfB')(), a.readGlobal('kept')]).toEqual([b.get('b').entry, b.get('b').entry]);
  b.relocate(codeAt(space, 9));
  expect(a.get('addressOfB')()).toBe(b.get('b').entry);
});

const pointers = `@initial = global ptr @one
@table = global [2 x ptr] [ptr @one, ptr @two]
@stored = global ptr null
define i32 @one() { ret i32 1 }
define i32 @two() { ret i32 2 }
define void @keep(ptr %f) {
  store ptr %f, ptr @stored
  ret void
}
define ptr @addressOfTwo() { ret ptr @two }
define i32 @callAll() {
  %f = load ptr, ptr @initial
  %a = call i32 %f()
  %second = getelementptr [2 x ptr], ptr @table, i64 0, i64 1
  %g = load ptr, ptr %second
  %b = call i32 %g()
  %h = load ptr, ptr @stored
  %c = call i32 %h()
  %ab = shl i32 %a, 8
  %abc = or i32 %ab, %b
  %d = shl i32 %abc, 8
  %e = or i32 %d, %c
  ret i32 %e
}`;

test.each([0, 2] as const)(
  'function pointers in data, initial and stored by the program, survive moves at O%i (I10)',
  (optLevel) => {
    const jit = makeJit({ optLevel });
    const object = jit.load(pointers);
    const callAll = object.get('callAll');
    object.get('keep')(object.get('two'));
    const move = wander(object);
    for (let i = 0; i < 50; i++) {
      expect(callAll()).toBe(0x010202);
      move();
    }
    expect(object.readGlobal('stored')).toBe(object.get('two').entry);
    expect(object.get('addressOfTwo')()).toBe(object.get('two').entry);
  },
);

test.each(['code', 'all'] as const)(
  "a function that is a global's whole initial value is its entry stub there, with moves: '%s' (I10)",
  (moves) => {
    const object = makeJit().load(pointers, { moves });
    expect(object.readGlobal('initial')).toBe(object.get('one').entry);
    wander(object)();
    expect(object.readGlobal('initial')).toBe(object.get('one').entry);
  },
);

test("libc's qsort calls a comparator that has moved", () => {
  const object = makeJit().load(sortWithLibc);
  const [sort, comparator] = [object.get('sort'), object.get('comparator')];
  const move = wander(object);
  const entry = comparator();
  const random = randomIntegers();
  for (let i = 0; i < 30; i++) {
    const values = Int32Array.from({ length: 100 }, () => random(2 ** 32) | 0);
    const sorted = Int32Array.from(values).sort();
    sort(values, 100n);
    expect(values).toEqual(sorted);
    move();
    expect(comparator()).toBe(entry);
  }
});

test('string constants and varargs of libc work after moves', () => {
  const object = makeJit().load(formatWithLibc);
  const format = object.get('format');
  const move = wander(object);
  for (let i = 0; i < 20; i++) {
    const buffer = Buffer.alloc(64);
    const length = format(buffer, 64n, i);
    expect(buffer.subarray(0, length).toString()).toBe(`answer ${i} is right`);
    move();
  }
});

test.each([0, 2] as const)('jump tables and computed gotos work after moves at O%i', (optLevel) => {
  const jit = makeJit({ optLevel });
  for (const moves of ['code', 'all'] as const) {
    const [table, goto] = [jit.load(jumpTable, { moves }), jit.load(computedGoto, { moves })];
    const [moveTable, moveGoto] = [wander(table), wander(goto)];
    for (let i = 0; i < 20; i++) {
      for (let op = -1; op < 9; op++) expect(table.get('dispatch')(op, i)).toBe(dispatchModel(op, i));
      expect(goto.get('interpret')(Uint8Array.of(1, 2, 2, 1, 2, 0))).toBe(10);
      moveTable();
      moveGoto();
    }
  }
});

test.each([0, 2] as const)('a C++ exception is caught in its code object, before and after moves, at O%i', (optLevel) => {
  const object = makeJit({ optLevel }).load(cxxThrowAndCatch);
  const attempt = object.get('attempt');
  const move = wander(object);
  for (let i = 0; i < 20; i++) {
    expect(attempt(i)).toBe(i + 1000);
    move();
  }
});

test('a C++ exception crosses code objects, whichever of them has moved', () => {
  const jit = makeJit();
  const thrower = jit.load(cxxThrow);
  const catcher = jit.load(cxxCatch, { imports: { raise: thrower.get('raise') } });
  const attempt = catcher.get('attempt');
  const moves = [wander(thrower), wander(catcher)];
  for (let i = 0; i < 20; i++) {
    expect(attempt(i)).toBe(i + 1000);
    moves[i % 2]!();
  }
});

test('a callable keeps its code object, and what that refers to, alive', async () => {
  const jit = makeJit();
  const make = () => {
    const b = jit.load(multiplying('b', 3));
    return jit.load(calling('a', 'b', 1), { imports: { b: b.get('b') } }).get('a');
  };
  const call = make();
  await collectGarbage();
  expect(call(5)).toBe(16);
  expect(jit.stats().objects.live).toBe(2);
});

test("a function's address that code copied from a global to the heap still leads to that function after a move (I10)", () => {
  const jit = makeJit();
  const space = jit.createSpace();
  const object = jit.compile(`@initial = global ptr @one
define i32 @one() { ret i32 1 }
define void @copyTo(ptr %p) {
  %f = load ptr, ptr @initial
  store ptr %f, ptr %p
  ret void
}
define i32 @callAt(ptr %p) {
  %f = load ptr, ptr %p
  %x = call i32 %f()
  ret i32 %x
}`);
  object.place(at(space, 0));
  const heap = new BigUint64Array(100);
  object.get('copyTo')(heap);
  object.relocate(codeAt(space, 16));
  jit.compile(returning('other', 666)).place(codeAt(space, 0));
  expect(object.get('callAt')(heap)).toBe(1);
});
