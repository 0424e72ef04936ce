/**
 * jit.relocate: many code objects in one call, all or none.
 */
import { type CodeObject, type Placement, PlacementError, StateError } from 'nomad-jit';
import { at, codeAt, errorOf, makeJit, snapshot } from './support/jits';
import { calling, counter, mix, mixModel, multiplying, threeSegments } from './support/programs';
import { randomIntegers, seed } from './support/random';

const factors = Array.from({ length: 100 }, (_, i) => i + 2);

function makeMany() {
  const jit = makeJit();
  const space = jit.createSpace();
  const objects = factors.map((factor, i) => jit.compile(multiplying('f', factor)).place(at(space, i, 256)));
  const callables = objects.map((object) => object.get('f'));
  const expectAnswers = () => callables.forEach((f, i) => expect(f(1000 + i)).toBe((1000 + i) * factors[i]!));
  return { jit, space, objects, expectAnswers };
}

test('each goes where it is told, in one call', () => {
  const { jit, space, objects, expectAnswers } = makeMany();
  const moves = objects.map((object, i) => [object, codeAt(space, 1000 - i)] as const);
  const report = jit.relocate(moves);
  expect(report.moved).toBe(objects.length);
  expect(objects.map(({ placement }) => placement!.code)).toEqual(objects.map((_, i) => (1000 - i) * 4096));
  expectAnswers();
});

test('any iterable does, and an empty one moves nothing', () => {
  const { jit, space, objects, expectAnswers } = makeMany();
  const moves = new Map(objects.map((object, i): [CodeObject, Placement] => [object, codeAt(space, 200 + i)]));
  expect(jit.relocate(moves).moved).toBe(100);
  expect(jit.relocate([])).toMatchObject({ moved: 0, bytes: 0, relocations: 0 });
  expectAnswers();
});

test('the report counts code objects, bytes copied and relocations', () => {
  const jit = makeJit();
  const space = jit.createSpace();
  const object = jit.compile(threeSegments).place(at(space, 1));
  const alone = jit.compile(mix, { moves: 'all' }).place(at(space, 20));
  const report = jit.relocate([
    [object, codeAt(space, 2)],
    [alone, codeAt(space, 30)],
  ]);
  expect(report).toEqual({
    moved: 2,
    bytes: object.sizes.code + alone.sizes.code,
    relocations: object.relocationCount,
    nanoseconds: expect.any(Number),
  });
  expect(report.nanoseconds).toBeGreaterThan(0);
  expect(report.nanoseconds).toBeLessThan(1e9);
});

test('two swap their places, a hundred rotate theirs', () => {
  const { jit, space, objects, expectAnswers } = makeMany();
  jit.relocate([
    [objects[0]!, codeAt(space, 1, 256)],
    [objects[1]!, codeAt(space, 0, 256)],
  ]);
  expectAnswers();
  jit.relocate(objects.map((object) => [object, { space, code: (object.placement!.code + 256) % 25600 }]));
  expectAnswers();
  jit.relocate(objects.map((object) => [object, { space, code: 25600 - 256 - object.placement!.code }]));
  expectAnswers();
  expect([...space.objects()].length).toBe(100);
});

test('large code objects swap although their places overlap partly', () => {
  const jit = makeJit();
  const space = jit.createSpace();
  const complement = mix.replace('ret i32 %x400', '%not = xor i32 %x400, -1\n  ret i32 %not');
  const [a, b] = [jit.compile(mix, { moves: 'all' }), jit.compile(complement, { moves: 'all' })];
  const bytes = Math.ceil(b.sizes.code / 16) * 16;
  a.place({ space, code: 0 });
  b.place({ space, code: bytes });
  for (let i = 0; i < 10; i++) {
    jit.relocate([
      [a, { space, code: bytes + 16 * (i + 1) }],
      [b, { space, code: 16 * i }],
    ]);
    expect([a.get('mix')(i), b.get('mix')(i)]).toEqual([mixModel(i), ~mixModel(i)]);
    jit.relocate([
      [a, { space, code: 16 * i }],
      [b, { space, code: bytes + 16 * i + 16 }],
    ]);
    expect([a.get('mix')(i), b.get('mix')(i)]).toEqual([mixModel(i), ~mixModel(i)]);
  }
});

test('sliding compaction: all down, then all up', () => {
  const { jit, space, objects, expectAnswers } = makeMany();
  let top = 0;
  const down = objects.map((object) => {
    const code = Math.ceil(top / 16) * 16;
    top = code + object.sizes.code;
    return [object, { space, code }] as const;
  });
  jit.relocate(down);
  expectAnswers();
  jit.relocate([...objects.entries()].map(([i, object]) => [object, codeAt(space, i, 256)]));
  expectAnswers();
});

test(`random permutations of a hundred places (seed ${seed})`, () => {
  const { jit, space, objects, expectAnswers } = makeMany();
  const random = randomIntegers();
  for (let round = 0; round < 30; round++) {
    const places = factors.map((_, i) => i);
    for (let i = places.length - 1; i > 0; i--) {
      const k = random(i + 1);
      [places[i], places[k]] = [places[k]!, places[i]!];
    }
    jit.relocate(objects.map((object, i) => [object, codeAt(space, places[i]!, 256)]));
    expectAnswers();
  }
});

test('data and constants of a batch swap too', () => {
  const jit = makeJit();
  const space = jit.createSpace();
  const [a, b] = [1, 2].map((index) => jit.compile(threeSegments).place(at(space, index)));
  a!.get('square')(1);
  jit.relocate([
    [a!, at(space, 2)],
    [b!, at(space, 1)],
  ]);
  expect([a!.readGlobal('calls'), b!.readGlobal('calls')]).toEqual([1n, 0n]);
  expect([a!.get('square')(4), b!.get('square')(3)]).toEqual([16, 9]);
});

test('the last of a hundred moves fails: none has happened (I7)', () => {
  const { jit, space, objects, expectAnswers } = makeMany();
  const resident = jit.compile(counter, { name: 'resident' }).place(at(space, 100, 256));
  const fixed = jit.compile(counter, { retain: 'none' }).place(at(space, 200, 256));
  const unplaced = jit.compile(counter);
  const freed = jit.compile(counter);
  freed.free();
  const moves = objects.map((object, i): [CodeObject, Placement] => [object, codeAt(space, 300 + i)]);
  const last: Array<[CodeObject, Placement, unknown]> = [
    [objects[0]!, codeAt(space, 900), PlacementError],
    [resident, { space, code: -16 }, PlacementError],
    [resident, { space, code: 8 }, PlacementError],
    [resident, codeAt(space, 350), PlacementError],
    [resident, codeAt(space, 200, 256), PlacementError],
    [fixed, codeAt(space, 900), StateError],
    [unplaced, codeAt(space, 900), StateError],
    [freed, codeAt(space, 900), StateError],
  ];
  const before = snapshot(jit, [...objects, resident, fixed, unplaced], [space]);
  for (const [object, to, errorClass] of last) {
    expect(errorOf(() => jit.relocate([...moves, [object, to]]))).toBeInstanceOf(errorClass);
    expect(snapshot(jit, [...objects, resident, fixed, unplaced], [space])).toEqual(before);
  }
  expectAnswers();
  jit.relocate(moves);
  expectAnswers();
});

test('callers and callees in one batch, in either order', () => {
  const jit = makeJit();
  const space = jit.createSpace();
  const callee = jit.compile(multiplying('g', 3)).place(at(space, 1));
  const caller = jit.compile(calling('f', 'g', 1), { imports: { g: callee.get('g') } }).place(codeAt(space, 2));
  const f = caller.get('f');
  for (let i = 0; i < 20; i++) {
    const moves: Array<[CodeObject, Placement]> = [
      [caller, codeAt(space, 10 + 7 * i)],
      [callee, codeAt(space, 3000 - 3 * i)],
    ];
    jit.relocate(i % 2 === 0 ? moves : moves.reverse());
    expect(f(i)).toBe(3 * i + 1);
  }
  jit.relocate([
    [caller, { space, code: callee.placement!.code }],
    [callee, { space, code: caller.placement!.code }],
  ]);
  expect(f(5)).toBe(16);
});

test('an iterator that frees and relocates on the way does no harm', () => {
  const { jit, space, objects, expectAnswers } = makeMany();
  const extra = jit.compile(counter).place(at(space, 400));
  function* moves(): Generator<[CodeObject, Placement]> {
    yield [objects[0]!, codeAt(space, 500)];
    jit.relocate([[objects[1]!, codeAt(space, 501)]]);
    yield [extra, codeAt(space, 502)];
    extra.free();
  }
  expect(errorOf(() => jit.relocate(moves()))).toBeInstanceOf(StateError);
  expect(objects[0]!.placement!.code).toBe(0);
  expectAnswers();
});
