/**
 * CopyingCollector: no byte of its spaces is lost, whatever dies, moves, does not fit or is refused.
 */
import { CopyingCollector, PlacementError, type CodeObject, type Collection, type Jit } from 'nomad-jit';
import { collect, makeCollector, nativeOf, verify } from './support/collectors';
import { errorOf, makeJit } from './support/jits';
import { returning, threeSegments } from './support/programs';

const tick = (): Promise<void> => new Promise((resolve) => setImmediate(resolve));

function upTo(count: number): number[] {
  return Array.from({ length: count }, (_, i) => i);
}

/** `i32 f()` of a little more than `bytes` bytes of code. */
function long(bytes: number, value: number): string {
  return `define i32 @f() {\n  call void asm sideeffect ".skip ${bytes}, 0x90", ""()\n  ret i32 ${value}\n}`;
}

const results = (objects: readonly CodeObject[]): unknown[] => objects.map((object): unknown => object.get('f')());

describe('constants and data', () => {
  test('of what dies make room again', async () => {
    const jit = makeJit({ arenaBytes: 2 ** 20, optLevel: 0 });
    const collector = new CopyingCollector(jit);
    const source = '@c = constant [5000 x i8] zeroinitializer\ndefine ptr @f() {\n ret ptr @c\n}';
    for (let i = 0; i < 100; i++) {
      expect(collector.compile(source).state).toBe('placed');
      await tick();
    }
    verify(jit);
  });

  test('that move leave no old places: they go to and fro between two', () => {
    const { collector } = makeCollector();
    const source = '@d = global [1000000 x i8] zeroinitializer\ndefine ptr @f() {\n ret ptr @d\n}';
    const object = collector.compile(source, { moves: 'all' });
    const places = upTo(200).map((i) => {
      collector.collect(i % 2 === 0 ? 'major' : 'minor');
      return object.addressOf('d');
    });
    expect(new Set(places).size).toBe(2);
  });

  test('constants are given back where the data beside them find no room', () => {
    const jit = makeJit({ arenaBytes: 2 ** 20, optLevel: 0 });
    const collector = new CopyingCollector(jit);
    const source = (bytes: number): string =>
      `@c = constant [10000 x i8] zeroinitializer\n@d = global [${bytes} x i8] zeroinitializer
define ptr @f() {\n store ptr @c, ptr @d\n ret ptr @d\n}`;
    for (let i = 0; i < 20; i++)
      expect(errorOf(() => collector.compile(source(200_000), { granularity: 'function' })).message).toMatch(/the data of/);
    const parts = collector.compile(source(100), { granularity: 'function' });
    expect(typeof parts.get('f')()).toBe('bigint');
  });
});

describe('gaps', () => {
  test('that an alignment leaves behind are handed out after the collection', () => {
    const both = makeCollector({ promoteAfter: 1, oldBytes: 4096 });
    const coarse = returning('f', 1).replace('()', '() align 2048');
    const held = [both.collector.compile(returning('f', 0)), both.collector.compile(coarse)];
    collect(both, 'major', held);
    expect(held[1]!.addressOf('f') - held[0]!.addressOf('f')).toBe(2048n);
    const more = upTo(28).map((i) => both.collector.compile(long(40, i + 2)));
    const bytes = more.reduce((sum, { sizes }) => sum + sizes.code, 0);
    expect(bytes).toBeGreaterThan(2048); // more than what comes after the gap
    expect(collect(both, 'minor', [...held, ...more]).promoted).toBe(28);
    expect(results([...held, ...more])).toEqual(upTo(30));
  });

  test('that are too small for one code object still go to the smaller ones after it', () => {
    const both = makeCollector({ promoteAfter: 1, nurseryBytes: 16_384, oldBytes: 4096 });
    const held = [both.collector.compile(long(3000, 0))];
    expect(collect(both, 'major', held).promoted).toBe(1);
    held.push(both.collector.compile(long(2000, 1)), ...upTo(10).map((i) => both.collector.compile(returning('f', i + 2))));
    expect(collect(both, 'major', held)).toMatchObject({ moved: 12, promoted: 10 });
    expect(results(held)).toEqual(upTo(12));
  });

  test('code that no nursery would be made for goes to the old generation, without a collection', () => {
    const { collector } = makeCollector({ nurseryBytes: 8192, oldBytes: 65_536 });
    const kinds: string[] = [];
    collector.on('collection', ({ kind }) => kinds.push(kind));
    const held = [3900, 3900, 5000, 5000].map((bytes, i) => collector.compile(long(bytes, i)));
    expect(kinds).toEqual([]);
    expect(collector.collect('minor')).toMatchObject({ moved: 2 });
    expect(results(held)).toEqual(upTo(4));
  });
});

/** Until `mockRestore` native code refuses every batch, with an error of ours: after any other one everything is made anew. */
function refuseMoves(jit: Jit): jest.SpyInstance {
  return jest.spyOn(nativeOf(jit), 'moveBatch').mockImplementation(() => {
    throw new PlacementError('refused');
  });
}

describe('a refused collection', () => {
  test.each(['minor', 'major'] as const)('%s: everything stays where it is, and nothing is lost for the next one', (kind) => {
    const both = makeCollector({ promoteAfter: 2, nurseryBytes: 4096, oldBytes: 4096 });
    const { jit, collector } = both;
    const old = upTo(10).map((i) => collector.compile(returning('f', i)));
    for (let i = 0; i < 2; i++) collect(both, 'minor', old);
    const held = [
      ...old,
      ...upTo(10).map((i) => collector.compile(threeSegments.replace('@square(', '@f('), { moves: i % 2 ? 'all' : 'code' })),
    ];
    collect(both, 'minor', held);
    const places = (): bigint[] =>
      held.flatMap((object) => [object.addressOf('f'), ...[...object.globals.keys()].map((name) => object.addressOf(name))]);
    const before = places();
    const moveBatch = refuseMoves(jit);
    for (let i = 0; i < 61; i++) expect(errorOf(() => collector.collect(kind)).message).toBe('refused');
    expect(places()).toEqual(before);
    moveBatch.mockRestore();
    expect(collect(both, kind, held)).toMatchObject({ moved: kind === 'minor' ? 10 : 20, promoted: 10 });
    expect(results(old)).toEqual(upTo(10));
    expect(held.slice(10).map((object): unknown => object.get('f')(3))).toEqual(Array(10).fill(9));
  });

  test('the room that data were to move to is free again', () => {
    const both = makeCollector();
    const source = '@d = global [1000000 x i8] zeroinitializer\ndefine ptr @f() {\n ret ptr @d\n}';
    const object = both.collector.compile(source, { moves: 'all' });
    const moveBatch = refuseMoves(both.jit);
    for (let i = 0; i < 100; i++) expect(errorOf(() => both.collector.collect()).message).toBe('refused');
    moveBatch.mockRestore();
    const before = object.addressOf('d');
    collect(both, 'major', [object]);
    expect(object.addressOf('d')).not.toBe(before); // without room they stay
  });

  test('what is compiled after it goes where there is room', () => {
    const both = makeCollector({ promoteAfter: 1, nurseryBytes: 4096, oldBytes: 4096 });
    const held = upTo(20).map((i) => both.collector.compile(returning('f', i)));
    const moveBatch = refuseMoves(both.jit);
    for (const kind of ['minor', 'major', 'minor'] as const)
      expect(errorOf(() => both.collector.collect(kind)).message).toBe('refused');
    moveBatch.mockRestore();
    for (let i = 20; i < 45; i++) held.push(both.collector.compile(returning('f', i)));
    expect(collect(both, 'minor', held).promoted).toBe(45);
    expect(results(held)).toEqual(upTo(45));
  });
});

test('a minor collection reports the pins of the nursery only', () => {
  const { collector } = makeCollector({ promoteAfter: 1 });
  const [old, young] = [0, 1].map((i) => {
    collector.collect('minor');
    return collector.compile(returning('f', i));
  });
  const pinned = (report: Collection): number => report.pinned;
  old!.freeze();
  expect([pinned(collector.collect('minor')), pinned(collector.collect('major'))]).toEqual([0, 1]);
  young!.freeze();
  expect([pinned(collector.collect('minor')), pinned(collector.collect('major'))]).toEqual([0, 2]);
});
