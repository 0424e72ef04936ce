/**
 * The ends of all that is limited: arena, spaces, entry stubs, address space. An error each, and nothing changed (I7, I14).
 */
import { ArenaError, type CodeObject, type JitStats, SpaceFullError } from 'nomad-jit';
import { childResult, runChild } from './support/child';
import { at, errorOf, expectWorking, makeJit, snapshot } from './support/jits';
import { add, returning, threeSegments } from './support/programs';

const smallest = { arenaBytes: 1 << 20 };

test.each([1 << 20, (1 << 20) + 1, 2 ** 31 - 65536, 3 << 20])(
  'an arena of %i bytes works from its first to its last byte',
  (arenaBytes) => {
    const jit = makeJit({ arenaBytes });
    const { reservedBytes } = jit.stats();
    const space = jit.createSpace({
      codeBytes: reservedBytes.code,
      constantBytes: reservedBytes.constants,
      dataBytes: reservedBytes.data,
    });
    expect(space.sizes).toEqual(reservedBytes);
    const [first, last] = [jit.compile(threeSegments), jit.compile(threeSegments)];
    first.place({ space, code: 0, constants: 0, data: 0 });
    const end = (name: 'code' | 'constants' | 'data') =>
      Math.floor((reservedBytes[name] - last.sizes[name]) / last.alignments[name]) * last.alignments[name];
    last.place({ space, code: end('code'), constants: end('constants'), data: end('data') });
    for (const object of [first, last]) expect(object.get('square')(4)).toBe(16);
    jit.relocate([
      [first, last.placement!],
      [last, first.placement!],
    ]);
    for (const object of [first, last]) expect(object.get('square')(3)).toBe(9);
    first.relocate({ space, code: 4096 });
    expect(first.get('square')(2)).toBe(4);
  },
);

test('the smallest arena, filled until it is full, then emptied, ten times', () => {
  const jit = makeJit(smallest);
  const fills = Array.from({ length: 10 }, () => {
    const objects: CodeObject[] = [];
    const error = errorOf(() => {
      for (;;) objects.push(jit.load(`@filler = global [20000 x i8] zeroinitializer\n${returning('f', objects.length)}`));
    });
    expect(error).toBeInstanceOf(SpaceFullError);
    expect(error).toMatchObject({ requestedBytes: expect.any(Number), largestFreeBytes: expect.any(Number) });
    objects.forEach((object, i) => expect(object.get('f')()).toBe(i));
    for (const object of objects) object.free();
    return objects.length;
  });
  expect(new Set(fills).size).toBe(1);
  expect(fills[0]).toBeGreaterThan(3);
  expect(jit.stats().objects.live).toBe(0);
});

test('a space that is full in the middle of an allocation for many: those before have theirs, the rest nothing', () => {
  const jit = makeJit(smallest);
  const space = jit.createSpace({ codeBytes: 4096, constantBytes: 4096, dataBytes: 4096 });
  const objects = Array.from({ length: 300 }, () => jit.compile(threeSegments));
  const placed: CodeObject[] = [];
  const error = errorOf(() => {
    for (const object of objects) placed.push(object.place(space.allocate(object)));
  });
  expect(error).toBeInstanceOf(SpaceFullError);
  expect(error.largestFreeBytes).toBeLessThan(error.requestedBytes!);
  expect(placed.length).toBeGreaterThan(10);
  expect(objects.filter(({ state }) => state === 'placed')).toHaveLength(placed.length);
  for (const object of placed) expect(object.get('square')(4)).toBe(16);
  const before = snapshot(jit, placed, [space]);
  expect(errorOf(() => space.allocate(objects.at(-1)!))).toBeInstanceOf(SpaceFullError);
  expect(snapshot(jit, placed, [space])).toEqual(before);
  placed[0]!.free();
  const next = objects.at(-1)!;
  expect(next.place(space.allocate(next)).get('square')(3)).toBe(9);
});

test('spaces too large for the arena are refused with the figures; others can be had afterwards', () => {
  const jit = makeJit(smallest);
  const before = jit.stats();
  for (const options of [
    { codeBytes: 1 << 20 },
    { constantBytes: 1 << 20 },
    { dataBytes: 1 << 20 },
    { codeBytes: 2 ** 31 - 65536 },
  ]) {
    const error = errorOf(() => jit.createSpace(options));
    expect(error).toBeInstanceOf(SpaceFullError);
    expect([error.requestedBytes]).toEqual(Object.values(options));
    expect(error.largestFreeBytes).toBeGreaterThan(0);
    expect(jit.stats()).toEqual(before);
  }
  jit.createSpace({ codeBytes: before.reservedBytes.code, constantBytes: 0, dataBytes: 0 }).dispose();
  jit.createSpace({ codeBytes: 4096, constantBytes: 0, dataBytes: before.reservedBytes.data });
  expectWorking(jit);
});

test('spaces until the arena has no more, all disposed, then one of all of it', () => {
  const jit = makeJit({ arenaBytes: 1 << 24 });
  const { reservedBytes } = jit.stats();
  const spaces: Array<ReturnType<typeof jit.createSpace>> = [];
  expect(
    errorOf(() => {
      for (;;) spaces.push(jit.createSpace({ codeBytes: 65536, constantBytes: 4096, dataBytes: 4096 }));
    }),
  ).toBeInstanceOf(SpaceFullError);
  expect(spaces.length).toBeGreaterThan(30);
  for (const space of spaces) space.dispose();
  const whole = jit.createSpace({
    codeBytes: reservedBytes.code,
    constantBytes: reservedBytes.constants,
    dataBytes: reservedBytes.data,
  });
  expect(whole.sizes).toEqual(reservedBytes);
});

test('entry stubs run out with SpaceFullError, which changes nothing, and can be had again', () => {
  const jit = makeJit(smallest);
  const space = jit.createSpace();
  const source = Array.from({ length: 1000 }, (_, i) => `define i32 @f${i}() minsize { ret i32 ${i} }`).join('\n');
  const objects: CodeObject[] = [];
  let last = '';
  const error = errorOf(() => {
    for (;;) {
      const object = jit.compile(source, { optLevel: 0 });
      objects.push(object);
      for (let i = 0; i < 1000; i++) object.get((last = `f${i}`));
    }
  });
  expect(error).toBeInstanceOf(SpaceFullError);
  const stats: JitStats = jit.stats();
  const object = objects.at(-1)!;
  expect(errorOf(() => object.get(last))).toBeInstanceOf(SpaceFullError);
  expect(jit.stats()).toEqual(stats);
  expect(stats.entryStubs).toBeGreaterThanOrEqual(8000);
  const first = objects[0]!;
  first.place(at(space, 0));
  expect(first.get('f7')()).toBe(7);
  first.free();
  expect(jit.stats().entryStubs).toBe(stats.entryStubs - 1000);
  expect(object.get(last).type).toBe('i32 ()');
});

test('a link that needs more entry stubs than there are fails and takes none', () => {
  const jit = makeJit(smallest);
  const count = 9000;
  const functions = Array.from({ length: count }, (_, i) => `define i32 @f${i}() minsize { ret i32 ${i} }`).join('\n');
  const table = `@table = global [${count} x ptr] [${Array.from({ length: count }, (_, i) => `ptr @f${i}`).join(', ')}]`;
  const error = errorOf(() => jit.compile(`${functions}\n${table}`, { optLevel: 0 }));
  expect(['ERR_SPACE_FULL', 'ERR_LINK']).toContain(error.code);
  expect(jit.stats()).toMatchObject({ entryStubs: 0, objects: { live: 0, placed: 0 } });
  expectWorking(jit);
});

test('signatures until there is no room for call thunks: SpaceFullError, and known signatures go on', () => {
  const jit = makeJit(smallest);
  const sum = jit.load(add).get('add');
  sum(1, 2);
  const kinds = ['i32', 'i64', 'double', 'float', 'ptr'];
  const error = errorOf(() => {
    for (let i = 0; i < 3000; i++) {
      const parameters = Array.from({ length: 7 }, (_, k) => kinds[Math.floor(i / 5 ** k) % 5]);
      const object = jit.load(`define void @f(${parameters.join(', ')}) { ret void }`, { optLevel: 0 });
      object.get('f')(...parameters.map((kind) => (kind === 'ptr' ? null : 1)));
      object.free();
    }
  });
  expect(error).toBeInstanceOf(SpaceFullError);
  expect(error.message).toMatch(/thunk/);
  expect(sum(20, 22)).toBe(42);
  expectWorking(jit);
});

test('the system refuses the address space: ArenaError, and a smaller arena works', async () => {
  const script = `
    const results = [];
    const held = [];
    try { for (let i = 0; i < 1000; i++) held.push(new nomad.Jit({ arenaBytes: 2 ** 31 - 65536 })); }
    catch (error) { results.push(error instanceof nomad.ArenaError, error.code, error.message); }
    results.push(held.length);
    for (const jit of held) jit.dispose();
    results.push(new nomad.Jit({ arenaBytes: 1 << 20 }).load(programs.add).get('add')(20, 22));
    console.log(JSON.stringify(results));`;
  const [isArenaError, code, message, count, sum] = await childResult<unknown[]>(script, {
    before: 'ulimit -v 16000000',
    nodeOptions: ['--max-old-space-size=100'],
  });
  expect([isArenaError, code, sum]).toEqual([true, 'ERR_ARENA', 42]);
  expect(message).toMatch(/memory/i);
  expect(count).toBeGreaterThan(0);
  expect(ArenaError.prototype.name).toBe('ArenaError');
});

test('no room for the shared memory file: ArenaError, and no crash', async () => {
  const script = `try { new nomad.Jit(); console.log('"made"'); } catch (error) { console.log(JSON.stringify(error.code)); }`;
  const limited = await runChild(script, { before: 'ulimit -f 1' });
  expect([limited.code, limited.stdout.trim()]).toEqual([0, '"ERR_ARENA"']);
  const files = await runChild(
    `nomad.Jit.llvmVersion; const fs = require('fs'); try { for (;;) fs.openSync('/dev/null'); } catch {}\n${script}`,
    { before: 'ulimit -n 60' },
  );
  expect([files.code, files.stdout.trim()]).toEqual([0, '"ERR_ARENA"']);
});
