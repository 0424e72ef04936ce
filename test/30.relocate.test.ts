/**
 * relocate: one code object, wherever it goes, does and holds what it did and held.
 */
import { type CodeObject, type CodeSpace, type Placement, PlacementError } from 'nomad-jit';
import { at, codeAt, errorOf, makeJit } from './support/jits';
import { counter, mix, mixModel, multiplying, threeSegments } from './support/programs';
import { randomIntegers, seed } from './support/random';
import { expectSameFields, expectSame } from './support/same';

const spaceBytes = 1 << 22;

/** A random place for the code of `object`, the ends of the space included. */
function randomCode(object: CodeObject, space: CodeSpace, random: (limit: number) => number): Placement {
  const last = Math.floor((space.sizes.code - object.sizes.code) / object.alignments.code);
  const index = [0, last, random(last + 1), random(last + 1), random(last + 1)][random(5)]!;
  return { space, code: index * object.alignments.code };
}

test(`a callable works after each of 1000 random moves (seed ${seed})`, () => {
  const jit = makeJit();
  const random = randomIntegers();
  const spaces = [jit.createSpace({ codeBytes: 65536 }), jit.createSpace({ codeBytes: 256 << 20 })];
  const object = jit.load(
    mix.replace('define i32 @mix', 'define internal i32 @mix') +
      `
@calls = global i32 0
define i32 @run(i32 %x) {
  %old = load i32, ptr @calls
  %new = add i32 %old, 1
  store i32 %new, ptr @calls
  %y = call i32 @mix(i32 %x)
  ret i32 %y
}`,
  );
  const run = object.get('run');
  for (let i = 1; i <= 1000; i++) {
    const placement = randomCode(object, spaces[random(2)]!, random);
    object.relocate(placement);
    const x = random(2 ** 32) | 0;
    expect([run(x), object.readGlobal('calls')]).toEqual([mixModel(x), i]);
    expectSameFields(object.placement, placement);
  }
});

test(`eight code objects at random: a move succeeds if and only if a model of intervals says so (seed ${seed})`, () => {
  const jit = makeJit();
  const random = randomIntegers();
  const space = jit.createSpace({ codeBytes: 4096 });
  const objects = Array.from({ length: 8 }, (_, i) => jit.compile(multiplying('f', i + 2)).place(at(space, i, 512)));
  const range = (object: CodeObject, code: number) =>
    [Math.floor(code / 16), Math.ceil((code + object.sizes.code) / 16)] as const;
  let refused = 0;
  for (let i = 0; i < 2000; i++) {
    const object = objects[random(8)]!;
    const placement = randomCode(object, space, random);
    const [base, limit] = range(object, placement.code);
    const isFree = objects.every((other) => {
      const [otherBase, otherLimit] = range(other, other.placement!.code);
      return other === object || limit <= otherBase || base >= otherLimit;
    });
    if (isFree) object.relocate(placement);
    else expect(errorOf(() => object.relocate(placement))).toBeInstanceOf(PlacementError);
    refused += isFree ? 0 : 1;
    objects.forEach((each, k) => expect(each.get('f')(i)).toBe(Math.imul(i, k + 2)));
    if (i % 100 === 0) expect([...space.objects()].map(({ id }) => id)).toEqual(idsByAddress(objects));
  }
  expect(refused).toBeGreaterThan(20);
});

function idsByAddress(objects: CodeObject[]): number[] {
  return [...objects].sort((a, b) => a.placement!.code - b.placement!.code).map(({ id }) => id);
}

test('what code has written in its data survives every move of code and of data (I4)', () => {
  const jit = makeJit();
  const space = jit.createSpace();
  const object = jit.compile(counter).place(at(space, 0));
  const bump = object.get('bump');
  for (let i = 1; i <= 50; i++) {
    expect(bump()).toBe(i);
    object.relocate({ space, code: i * 64, data: i * 128 });
    expect(object.readGlobal('count')).toBe(i);
  }
  object.writeGlobal('count', -5);
  object.relocate({ space, code: 0, data: 0 });
  expect(bump()).toBe(-4);
});

test("moves: 'code' moves code alone: named constants and data keep their addresses (I11)", () => {
  const jit = makeJit();
  const space = jit.createSpace();
  const object = jit.compile(threeSegments).place(at(space, 1));
  const addresses = () => ['squares', 'calls', 'square'].map((symbol) => object.addressOf(symbol));
  const [squares, calls, square] = addresses();
  object.relocate(codeAt(space, 5));
  expect(addresses()).toEqual([squares, calls, square! + 4n * 4096n]);
  expect(object.get('square')(4)).toBe(16);
});

test("moves: 'all' moves constants with the code, and data to where they are told to go", () => {
  const jit = makeJit();
  const space = jit.createSpace();
  const object = jit.compile(threeSegments, { moves: 'all' }).place(at(space, 1));
  const addresses = () => ['squares', 'calls', 'square'].map((symbol) => object.addressOf(symbol));
  const before = addresses();
  object.get('square')(1);
  object.relocate({ space, code: 8192, data: 65536 });
  expect(addresses()).toEqual([before[0]! + 4096n, before[1]! + 61440n, before[2]! + 4096n]);
  expect([object.get('square')(4), object.readGlobal('calls')]).toEqual([16, 2n]);
});

test('constants and data move alone, while the code stays', () => {
  const jit = makeJit();
  const space = jit.createSpace();
  const object = jit.compile(threeSegments).place(at(space, 1));
  const square = object.addressOf('square');
  for (let i = 2; i < 20; i++) {
    object.relocate({ space, code: 4096, constants: i * 4096, data: (40 - i) * 4096 });
    expect([object.addressOf('square'), object.get('square')(3), object.readGlobal('calls')]).toEqual([square, 9, BigInt(i - 1)]);
  }
});

test('a move to where it is, is possible and changes nothing', () => {
  const jit = makeJit();
  const space = jit.createSpace();
  const object = jit.compile(threeSegments).place(at(space, 1));
  const address = object.addressOf('square');
  for (let i = 0; i < 3; i++) object.relocate(at(space, 1));
  expect([object.addressOf('square'), object.get('square')(2)]).toEqual([address, 4]);
});

test.each([16, 32, 48, 1024, 4080])('code slides by %i bytes up and down over itself', (step) => {
  const jit = makeJit();
  const space = jit.createSpace({ codeBytes: spaceBytes });
  const object = jit.compile(mix, { moves: 'all' });
  expect(object.sizes.code).toBeGreaterThan(step);
  object.place({ space, code: 0 });
  const run = object.get('mix');
  const expectMoved = (i: number) => {
    object.relocate({ space, code: i * step });
    expect(run(i)).toBe(mixModel(i));
  };
  for (let i = 1; i <= 20; i++) expectMoved(i);
  for (let i = 19; i >= 0; i--) expectMoved(i);
});

test('data and constants slide over themselves', () => {
  const jit = makeJit();
  const space = jit.createSpace();
  const numbers = Array.from({ length: 64 }, (_, i) => `i32 ${i * 3}`).join(', ');
  const object = jit.compile(`@numbers = global [64 x i32] [${numbers}]\n@same = constant [64 x i32] [${numbers}]
define i32 @sum(i32 %i) {
  %a = getelementptr i32, ptr @numbers, i32 %i
  %b = getelementptr i32, ptr @same, i32 %i
  %x = load i32, ptr %a
  %y = load i32, ptr %b
  %z = add i32 %x, %y
  ret i32 %z
}`);
  object.place(at(space, 0));
  for (const offset of [16, 64, 32, 0, 240, 16]) {
    object.relocate({ space, code: 0, constants: offset, data: 256 - offset });
    for (let i = 0; i < 64; i++) expect(object.get('sum')(i)).toBe(i * 6);
  }
});

test('the old place of moved code is free at once', () => {
  const jit = makeJit();
  const space = jit.createSpace();
  const [a, b] = [multiplying('f', 2), multiplying('f', 3)].map((source, i) => jit.compile(source).place(at(space, i)));
  a!.relocate(codeAt(space, 7));
  b!.relocate(codeAt(space, 0));
  expect([a!.get('f')(5), b!.get('f')(5)]).toEqual([10, 15]);
});

test('callable.entry is one address, of the stub, before and after moves and free (I10)', () => {
  const jit = makeJit();
  const space = jit.createSpace();
  const object = jit.compile(threeSegments);
  const square = object.get('square');
  const { entry } = square;
  object.place(at(space, 1));
  for (let i = 2; i < 10; i++) {
    object.relocate(codeAt(space, i));
    expect([square.entry, object.get('square').entry]).toEqual([entry, entry]);
  }
  expect(object.addressOf('square')).not.toBe(entry);
  object.free();
  expect(square.entry).toBe(entry);
});

test('a callable tells of itself, and cannot be made to tell otherwise', () => {
  const object = makeJit().load(threeSegments);
  const square = object.get('square');
  expectSame([square.codeObject, square.symbol, square.type, typeof square.entry], [object, 'square', 'i32 (i32)', 'bigint']);
  expect([typeof square, square.length, square instanceof Function]).toEqual(['function', 1, true]);
  for (const key of ['codeObject', 'symbol', 'type', 'entry'])
    expect(() => Object.assign(square, { [key]: 1 })).toThrow(TypeError);
  expect(square.call(undefined, 3)).toBe(9);
  expect(square.apply(null, [2])).toBe(4);
  expect(square.bind(null, 4)()).toBe(16);
});
