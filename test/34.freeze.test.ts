/**
 * Giving up relocations and putting them back. Oracle: what the same code returns, and what a code object that was never frozen has.
 */
import { CopyingCollector, Jit, StateError, type CodeObject } from 'nomad-jit';
import { i32Host, makeGround } from './support/hosts';
import { errorOf } from './support/jits';
import { randomIntegers, seed } from './support/random';
import { compileC } from './support/tools';

/** Pointers in data, calls, a jump table, constants, a call of another code object. */
const source = compileC(
  'c',
  `int helper(int);
   static int counters[4] = {1, 2, 3, 4};
   int *volatile kept = &counters[2];
   static const char *const names[] = {"zero", "one", "two"};
   __attribute__((noinline)) static int pick(int op, int x) {
     switch (op) { case 0: return x + 1; case 1: return x * 2; case 2: return helper(x); case 3: return x ^ 7; case 4: return *kept + x; default: return names[op % 3][0]; }
   }
   int run(int op, int x) { return pick(op, x) + pick(op + 1, x); }`,
);
const helperSource = 'define i32 @helper(i32 %x) { %r = mul i32 %x, 3 ret i32 %r }';

interface Pair {
  readonly object: CodeObject;
  readonly helper: CodeObject;
  readonly next: () => Parameters<CodeObject['relocate']>[0];
  readonly nextCode: () => Parameters<CodeObject['relocate']>[0];
  readonly jit: Jit;
}

function makePair(moves: 'code' | 'all'): Pair {
  const { jit, add, next, nextCode } = makeGround();
  const helper = add(helperSource);
  const object = add(source, { moves, imports: { helper: helper.get('helper') } });
  return { object, helper, next, nextCode, jit };
}

function results(object: CodeObject): unknown[] {
  const run = object.get<(op: number, x: number) => number>('run');
  return [0, 1, 2, 3, 5, 6].map((op) => run(op, 10 + op));
}

const expected = results(makePair('code').object);

describe.each(['code', 'all'] as const)("moves: '%s'", (moves) => {
  test('frozen code runs, stays, and has no relocations but those of its calls; thawed it moves as before', () => {
    const { object, helper, next, nextCode, jit } = makePair(moves);
    const before = { count: object.relocationCount, bytes: object.relocationBytes };
    const place = object.addressOf('run');
    const saved = object.freeze();
    expect([object.isFrozen, object.retain, saved instanceof Uint8Array]).toEqual([true, 'relocations', true]);
    expect(object.relocationBytes).toBeLessThan(before.bytes);
    expect(saved.length).toBeGreaterThanOrEqual(before.bytes - object.relocationBytes);
    for (const move of [() => object.relocate(nextCode()), () => jit.relocate([[object, nextCode()]])]) {
      const error = errorOf(move);
      expect(error).toBeInstanceOf(StateError);
      expect(error.message).toMatch(/frozen/);
    }
    helper.relocate(nextCode()); // its caller follows
    expect([object.addressOf('run'), results(object)]).toEqual([place, expected]);
    object.thaw(saved);
    expect([object.isFrozen, object.relocationCount, object.relocationBytes]).toEqual([false, before.count, before.bytes]);
    object.relocate(moves === 'all' ? next() : nextCode());
    helper.relocate(nextCode());
    expect(results(object)).toEqual(expected);
  });
});

test('again and again, with moves between', () => {
  const { object, helper, nextCode } = makePair('code');
  for (let i = 0; i < 20; i++) {
    const saved = object.freeze();
    helper.relocate(nextCode());
    object.thaw(saved).relocate(nextCode());
    expect(results(object)).toEqual(expected);
  }
});

describe('what can not be frozen, or thawed', () => {
  test('unplaced, frozen, freed, retain: none; thawing what is not frozen', () => {
    const { jit, add, nextCode } = makeGround();
    const unplaced = jit.compile(source, { imports: { helper: add(helperSource).get('helper') } });
    const object = add(helperSource);
    const saved = object.freeze();
    expect(errorOf(() => unplaced.freeze()).message).toMatch(/not placed/);
    expect(errorOf(() => object.freeze()).message).toMatch(/frozen already/);
    expect(errorOf(() => add(helperSource, { retain: 'none' }).freeze()).message).toMatch(/retain: 'none'/);
    object.thaw(saved);
    const error = errorOf(() => object.thaw(saved));
    expect([error instanceof StateError, error.message]).toEqual([true, expect.stringMatching(/not frozen/)]);
    expect(errorOf(() => object.thaw('x' as never))).toBeInstanceOf(TypeError);
    object.relocate(nextCode()).free();
    expect(errorOf(() => object.freeze())).toBeInstanceOf(StateError);
    expect(errorOf(() => object.thaw(saved))).toBeInstanceOf(StateError);
  });

  test(`what another code object gave, and damaged bytes: StateError, still frozen (seed ${seed})`, () => {
    const [one, other] = [makePair('code'), makePair('code')];
    const saved = one.object.freeze();
    const theirs = other.object.freeze();
    const random = randomIntegers();
    const damaged = Array.from({ length: 2000 }, () => {
      const copy = Buffer.from(saved);
      for (let flips = 1 + random(3); flips > 0; flips--) copy[random(copy.length)]! ^= 1 + random(255);
      return random(3) === 0 ? copy.subarray(0, random(copy.length)) : copy;
    }).filter((copy) => !copy.equals(saved));
    for (const bytes of [
      theirs,
      new Uint8Array(),
      saved.subarray(0, saved.length - 1),
      Buffer.concat([saved, saved]),
      ...damaged,
    ]) {
      const error = errorOf(() => one.object.thaw(bytes));
      expect([error.constructor, one.object.isFrozen]).toEqual([StateError, true]);
    }
    one.object.thaw(saved).relocate(one.nextCode());
    expect(results(one.object)).toEqual(expected);
  });
});

test('collections and spaces work around frozen code objects', () => {
  const jit = new Jit();
  const collector = new CopyingCollector(jit, { nurseryBytes: 2 ** 16, oldBytes: 2 ** 18 });
  const objects = Array.from({ length: 20 }, () => collector.compile(helperSource));
  const saved = objects.slice(0, 10).map((object) => [object, object.freeze(), object.addressOf('helper')] as const);
  for (let i = 0; i < 3; i++) expect(collector.collect('major')).toMatchObject({ moved: 10, pinned: 10 });
  for (const [object, , place] of saved) expect(object.addressOf('helper')).toBe(place);
  for (const [object, bytes] of saved.slice(5)) object.thaw(bytes);
  collector.collect('major');
  expect(collector.collect('major')).toMatchObject({ moved: 15, pinned: 5 });
  for (const object of objects) expect(object.get('helper')(5)).toBe(15);
  for (const object of objects) object.free(); // frozen or not
  expect(collector.collect('major').liveObjects).toBe(0);
  collector.dispose();
});

test('code that is frozen while it runs stays, and can be thawed while it runs', () => {
  const { add, nextCode } = makeGround();
  const host = i32Host((x) => {
    const saved = object.freeze();
    expect(errorOf(() => object.relocate(nextCode()))).toBeInstanceOf(StateError);
    object.thaw(saved).relocate(nextCode());
    return x + 1;
  });
  const object: CodeObject = add(
    'declare i32 @host(i32) define i32 @f(i32 %x) { %r = call i32 @host(i32 %x) %s = add i32 %r, 1 ret i32 %s }',
    {
      imports: { host },
    },
  );
  expect(object.get('f')(40)).toBe(42);
});
