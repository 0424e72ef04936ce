/**
 * Spaces: allocate, release, load, dispose.
 */
import { type CodeObject, CodeSpace, PlacementError, SpaceFullError, StateError } from 'nomad-jit';
import { at, errorOf, expectWorking, makeJit, snapshot } from './support/jits';
import { add, returning, threeSegments } from './support/programs';
import { expectSameFields } from './support/same';

const page = 4096;
const small = { codeBytes: page, constantBytes: page, dataBytes: page };

/** `bytes` of code, about. */
// Beside the bytes that are skipped there are a frame and its unwind records.
function codeOf(bytes: number): string {
  return `define void @f() {\n  call void asm sideeffect ".skip ${bytes - 80}, 0x90", ""()\n  ret void\n}`;
}

test('sizes are rounded up to pages; an empty space is all free', () => {
  const space = makeJit().createSpace({ codeBytes: 1, constantBytes: page + 1, dataBytes: 0 });
  expect(space).toBeInstanceOf(CodeSpace);
  expect(space.sizes).toEqual({ code: page, constants: 2 * page, data: 0 });
  expect([space.usedBytes, space.freeBytes, space.largestFreeBytes, space.fragmentation]).toEqual([0, page, page, 0]);
  expect([...space.objects()]).toEqual([]);
});

test('allocate reserves every segment in whole granules and places nothing', () => {
  const jit = makeJit();
  const space = jit.createSpace();
  const object = jit.compile(threeSegments);
  const placement = space.allocate(object);
  expect(placement.space).toBe(space);
  expect(object.state).toBe('unplaced');
  const granules = (bytes: number) => Math.ceil(bytes / 16) * 16;
  const { code, constants, data } = space.occupancy();
  expect([code.usedBytes, constants.usedBytes, data.usedBytes]).toEqual([
    granules(object.sizes.code),
    granules(object.sizes.constants),
    granules(object.sizes.data),
  ]);
  expect(object.place(placement).get('square')(3)).toBe(9);
});

test('allocate honours coarse alignments', () => {
  const jit = makeJit();
  const space = jit.createSpace();
  space.allocate(jit.compile(add));
  const object = jit.compile(`@a = global i32 7, align 4096\n@b = constant i32 9, align 1024\n${returning('f', 1)}`);
  const other = jit.compile('@x = global i32 1\n@y = constant i32 1');
  other.place(space.allocate(other));
  object.place(space.allocate(object));
  expect([object.addressOf('a') % 4096n, object.addressOf('b') % 1024n]).toEqual([0n, 0n]);
});

test('an alignment of 65536 bytes is honoured', () => {
  const jit = makeJit();
  jit.createSpace({ codeBytes: page, constantBytes: page, dataBytes: page });
  const space = jit.createSpace();
  const source = '@x = global i32 7, align 65536';
  const object = jit.compile(source);
  object.place(space.allocate(object));
  expect(object.addressOf('x') % 65536n).toBe(0n);
  expect(jit.load(source).addressOf('x') % 65536n).toBe(0n);
});

test.each([1 << 17, 1 << 20])('an alignment of %i bytes is refused when it is compiled', (alignment) => {
  const error = errorOf(() => makeJit().compile(`@x = global i32 7, align ${alignment}`));
  expect([error.code, error.message]).toEqual(['ERR_UNSUPPORTED', expect.stringContaining(`alignment ${alignment} of 'x'`)]);
});

test('an object that is placed needs a place for its code alone; with moves: all for everything', () => {
  const jit = makeJit();
  const space = jit.createSpace();
  const codeOnly = jit.compile(threeSegments);
  const all = jit.compile(threeSegments, { moves: 'all' });
  for (const object of [codeOnly, all]) object.place(space.allocate(object));
  expect(Object.keys(space.allocate(codeOnly)).sort()).toEqual(['code', 'space']);
  expect(Object.keys(space.allocate(all)).sort()).toEqual(['code', 'data', 'space']);
});

test('allocate, relocate, release: the old place is free again, data that stayed are not', () => {
  const jit = makeJit();
  const space = jit.createSpace();
  const object = jit.compile(threeSegments);
  const first = space.allocate(object);
  object.place(first);
  const used = space.occupancy();
  const second = space.allocate(object);
  object.relocate(second);
  space.release(first, object);
  expect(space.occupancy()).toMatchObject({
    code: { usedBytes: used.code.usedBytes },
    constants: { usedBytes: used.constants.usedBytes },
    data: { usedBytes: used.data.usedBytes },
  });
  expect(object.placement).toMatchObject({ code: second.code, constants: first.constants, data: first.data });
  object.free();
  expect(space.usedBytes).toBe(0);
});

test('free gives back all that was reserved, also what was never used; release afterwards does nothing', () => {
  const jit = makeJit();
  const space = jit.createSpace();
  const object = jit.compile(threeSegments);
  const placements = Array.from({ length: 5 }, () => space.allocate(object));
  object.place(placements[2]!);
  object.free();
  for (const placement of placements) space.release(placement, object);
  expect(Object.values(space.occupancy()).map(({ usedBytes }) => usedBytes)).toEqual([0, 0, 0]);
});

test('release twice, or of what was never reserved, does nothing', () => {
  const jit = makeJit();
  const space = jit.createSpace();
  const [a, b] = [jit.compile(add), jit.compile(add)];
  const [placeA, placeB] = [space.allocate(a), space.allocate(b)];
  space.release(placeA, a);
  space.release(placeA, a);
  space.release(placeB, a);
  space.release(at(space, 50), a);
  expect(space.usedBytes).toBe(Math.ceil(b.sizes.code / 16) * 16);
});

test('a full space throws SpaceFullError with the figures, and changes nothing', () => {
  const jit = makeJit();
  const space = jit.createSpace(small);
  const objects = Array.from({ length: 2 }, () => jit.compile(codeOf(1500)));
  for (const object of objects) object.place(space.allocate(object));
  const third = jit.compile(codeOf(1500), { name: 'third' });
  const before = snapshot(jit, [...objects, third], [space]);
  const error = errorOf(() => space.allocate(third));
  expect(error).toBeInstanceOf(SpaceFullError);
  expect(error.code).toBe('ERR_SPACE_FULL');
  expect([error.requestedBytes, error.largestFreeBytes]).toEqual([third.sizes.code, space.largestFreeBytes]);
  expect(error.message).toMatch(/code.*'third'/);
  expect(snapshot(jit, [...objects, third], [space])).toEqual(before);
});

test('a space that is full of data reserves no code either', () => {
  const jit = makeJit();
  const space = jit.createSpace(small);
  const object = jit.compile(`@large = global [5000 x i8] zeroinitializer\n${add}`);
  expect(errorOf(() => space.allocate(object))).toMatchObject({
    code: 'ERR_SPACE_FULL',
    requestedBytes: 5000,
    largestFreeBytes: page,
  });
  expect(Object.values(space.occupancy()).map(({ usedBytes }) => usedBytes)).toEqual([0, 0, 0]);
});

test('fragmentation is 1 - largest free / free', () => {
  const jit = makeJit();
  const space = jit.createSpace(small);
  const objects = Array.from({ length: 4 }, () => jit.compile(codeOf(1024)));
  for (const object of objects) object.place(space.allocate(object));
  expect(space.fragmentation).toBe(0);
  objects[0]!.free();
  objects[2]!.free();
  expect(space.fragmentation).toBeCloseTo(1 - space.largestFreeBytes / space.freeBytes, 10);
  expect(space.fragmentation).toBeGreaterThan(0.4);
  objects[1]!.free();
  objects[3]!.free();
  expect(space.fragmentation).toBe(0);
});

test('a bump space hands out ascending places and starts again when all is released', () => {
  const jit = makeJit();
  const space = jit.createSpace({ ...small, allocator: 'bump' });
  const objects = Array.from({ length: 3 }, () => jit.compile(add));
  const codes = objects.map((object) => object.place(space.allocate(object)).placement!.code);
  expect(codes).toEqual([...codes].sort((a, b) => a - b));
  for (const object of objects) object.free();
  expect([space.usedBytes, space.largestFreeBytes]).toEqual([0, page]);
});

test('objects() are those with a segment here, in address order', () => {
  const jit = makeJit();
  const [here, there] = [jit.createSpace(), jit.createSpace()];
  const objects = [5, 1, 3].map((index) => jit.compile(add).place(at(here, index)));
  const elsewhere = jit.compile(add).place(at(there, 2));
  const straddling = jit
    .compile(threeSegments)
    .place(at(here, 9))
    .relocate({ space: there, code: 9 * 4096 });
  const ids = (list: Iterable<CodeObject>) => [...list].map(({ id }) => id);
  expect(ids(here.objects()).filter((id) => id !== straddling.id)).toEqual(ids([objects[1]!, objects[2]!, objects[0]!]));
  expect(ids(here.objects())).toContain(straddling.id);
  expect(ids(there.objects())).toEqual(ids([elsewhere, straddling]));
  expectSameFields(straddling.placement, { space: there, code: 9 * 4096 });
});

test("allocate and release refuse another Jit's code object and another space's placement", () => {
  const jit = makeJit();
  const [space, other] = [jit.createSpace(), jit.createSpace()];
  const foreign = makeJit().compile(add);
  const own = jit.compile(add);
  expect(errorOf(() => space.allocate(foreign))).toBeInstanceOf(PlacementError);
  expect(errorOf(() => space.release(other.allocate(own), own))).toBeInstanceOf(PlacementError);
  for (const nonsense of [{}, null, undefined, 7])
    expect(errorOf(() => space.allocate(nonsense as never))).toBeInstanceOf(TypeError);
});

test('dispose: only when empty, any number of times; its ranges can be had again', () => {
  const jit = makeJit({ arenaBytes: 1 << 24 });
  for (let i = 0; i < 200; i++) {
    const space = jit.createSpace();
    const object = jit.compile(add);
    const placement = space.allocate(object);
    expect(errorOf(() => space.dispose())).toBeInstanceOf(StateError);
    object.place(placement);
    expect(errorOf(() => space.dispose()).message).toMatch(/1 code object/);
    object.free();
    space.dispose();
    space.dispose();
    expect(space.isDisposed).toBe(true);
  }
  expectWorking(jit);
});

test('a space with a code object that no allocate put there is not disposed', () => {
  const jit = makeJit();
  const space = jit.createSpace();
  const object = jit.compile(add).place(at(space, 3));
  expect(errorOf(() => space.dispose())).toBeInstanceOf(StateError);
  expect(object.get('add')(1, 1)).toBe(2);
});

test('a reservation that is taken back leaves the earlier and the later ones to be freed', () => {
  const jit = makeJit();
  const space = jit.createSpace();
  const object = jit.compile('define i32 @f() { ret i32 1 }');
  object.place(space.allocate(object));
  const { usedBytes } = space;
  const [second, third] = [space.allocate(object), space.allocate(object)];
  space.release(second, object); // a move that was planned, and given up
  expect(space.usedBytes).toBe(2 * usedBytes);
  expect(space.allocate(object).code).toBe(second.code);
  space.release(third, object);
  object.free();
  expect(space.usedBytes).toBe(0);
});

test('load places in a space of its own, and frees what does not fit', () => {
  const jit = makeJit({ arenaBytes: 1 << 20 });
  const object = jit.load(add);
  expect([object.state, object.get('add')(1, 2)]).toEqual(['placed', 3]);
  const before = snapshot(jit, [object]);
  expect(errorOf(() => jit.load('@large = global [150000 x i8] zeroinitializer'))).toBeInstanceOf(SpaceFullError);
  expect(snapshot(jit, [object])).toEqual(before);
});

test('a CodeSpace and a CodeObject come from a Jit only', () => {
  const make = [CodeSpace, (makeJit().compile(add) as object).constructor] as unknown as Array<new () => unknown>;
  for (const Class of make) expect(errorOf(() => new Class())).toBeInstanceOf(TypeError);
});
