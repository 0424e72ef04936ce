/**
 * CopyingCollector: full spaces, adoption, bad options, and the end of a collector.
 */
import {
  CopyingCollector,
  hostFunction,
  Jit,
  PinnedError,
  PlacementError,
  SpaceFullError,
  StateError,
  type CodeObject,
} from 'nomad-jit';
import { collect, collectAll, compileHolding, expectSound, makeCollector, verify } from './support/collectors';
import { at, collectGarbage, errorOf, makeJit } from './support/jits';
import { counter, returning, threeSegments } from './support/programs';

const tick = (): Promise<void> => new Promise((resolve) => setImmediate(resolve));

function upTo(count: number): number[] {
  return Array.from({ length: count }, (_, i) => i);
}

describe('full spaces', () => {
  test('a full nursery is collected, and code that nobody holds makes room for ever', async () => {
    const { jit, collector } = makeCollector({ nurseryBytes: 4096, oldBytes: 8192 });
    const kinds: string[] = [];
    collector.on('collection', ({ kind }) => {
      kinds.push(kind);
      verify(jit);
    });
    const held = collector.compile(returning('f', -1));
    for (let i = 0; i < 1500; i++) {
      expect(collector.compile(returning('f', i)).get('f')()).toBe(i);
      if (i % 30 === 0) await tick();
    }
    expect(kinds.length).toBeGreaterThan(10);
    expect(held.get('f')()).toBe(-1);
  });

  test('what is held fills both generations, and is all there when SpaceFullError comes; then freeing makes room', async () => {
    const both = makeCollector({ nurseryBytes: 4096, oldBytes: 8192, promoteAfter: 1 });
    const kinds = new Set<string>();
    both.collector.on('collection', ({ kind }) => kinds.add(kind));
    const held: CodeObject[] = [];
    const fill = (): unknown =>
      errorOf(() => {
        for (;;) held.push(both.collector.compile(returning('f', held.length + 1)));
      });
    const error = fill() as SpaceFullError;
    expect(error).toBeInstanceOf(SpaceFullError);
    expect(error.requestedBytes).toBe(held[0]!.sizes.code);
    expect(error.largestFreeBytes).toBeLessThan(error.requestedBytes);
    expect([...kinds].sort()).toEqual(['major', 'minor']);
    const size = Math.ceil(held[0]!.sizes.code / 16) * 16;
    expect(held.length).toBe(Math.floor(4096 / size) + Math.floor(8192 / size));
    expect(held.map((object) => object.get('f')())).toEqual(upTo(held.length).map((i) => i + 1));
    expect(both.jit.stats().objects).toEqual({ live: held.length, placed: held.length });
    held.splice(7, 9);
    await collectGarbage();
    for (let i = 0; i < 9; i++) held.push(both.collector.compile(returning('f', 1)));
    expectSound(both.jit, held);
    expect(fill()).toBeInstanceOf(SpaceFullError);
    expect(both.jit.stats().objects.live).toBe(held.length);
  });

  test('code larger than the nursery goes to the old generation, and what fits nowhere is refused', () => {
    const both = makeCollector({ nurseryBytes: 4096, oldBytes: 65536 });
    const large = (calls: number): string =>
      `declare void @g()\ndefine i32 @f() {\n${'  call void @g()\n'.repeat(calls)}  ret i32 ${calls}\n}`;
    const g = hostFunction('void ()', () => undefined);
    const object = both.collector.compile(large(1000), { imports: { g } });
    expect(object.sizes.code).toBeGreaterThan(4096);
    expect(collect(both, 'minor', [object])).toMatchObject({ moved: 0, liveObjects: 1 });
    expect(collect(both, 'major', [object])).toMatchObject({ moved: 1, promoted: 0 });
    expect(object.get('f')()).toBe(1000);
    expect(errorOf(() => both.collector.compile(large(20_000), { imports: { g } }))).toBeInstanceOf(SpaceFullError);
    expect(both.jit.stats().objects).toEqual({ live: 1, placed: 1 });
    expectSound(both.jit, [object]);
  });

  test('a full range of data is collected too', async () => {
    const jit = makeJit({ arenaBytes: 2 ** 20, optLevel: 0 });
    const collector = new CopyingCollector(jit);
    const source = '@d = global [5000 x i8] zeroinitializer\ndefine ptr @f() {\n ret ptr @d\n}';
    for (let i = 0; i < 200; i++) {
      collector.compile(source);
      await tick();
    }
    verify(jit);
    const held: CodeObject[] = [];
    const error = errorOf(() => {
      for (;;) held.push(collector.compile(source));
    });
    expect(error).toBeInstanceOf(SpaceFullError);
    expect(error.message).toMatch(/data/);
    expect(held.length).toBeGreaterThan(1);
    expectSound(jit, held);
  });

  test('alignments hold through collections, and their gaps are free again', () => {
    const both = makeCollector({ nurseryBytes: 8192, oldBytes: 16384, promoteAfter: 2 });
    const source = (i: number): string => returning('f', i).replace('()', `() align ${16 << (i % 6)}`);
    const held = upTo(12).map((i) => both.collector.compile(source(i)));
    for (const kind of ['minor', 'minor', 'major', 'major'] as const) {
      collect(both, kind, held);
      expect(held.map((object, i) => object.addressOf('f') % BigInt(16 << (i % 6)))).toEqual(held.map(() => 0n));
      expect(held.map((object) => object.get('f')())).toEqual(upTo(12));
    }
  });
});

describe('adopt', () => {
  test('places what is not placed, moves what is, and gives its old place back', async () => {
    const both = makeCollector();
    const space = both.jit.createSpace();
    const held = [
      both.jit.compile(threeSegments),
      both.jit.load(returning('f', 2)),
      both.jit.compile(threeSegments, { moves: 'all' }),
    ];
    held[2]!.place(space.allocate(held[2]!)).get('square')(3);
    expect(held.map((object) => both.collector.adopt(object) === object)).toEqual([true, true, true]);
    expect(held.map((object) => both.collector.adopt(object) === object)).toEqual([true, true, true]);
    expect(space.usedBytes).toBe(0);
    for (const kind of ['minor', 'major', 'minor', 'major'] as const)
      expect(await collectAll(both, kind, held)).toMatchObject({ liveObjects: 3 });
    expect([held[0]!.get('square')(4), held[1]!.get('f')(), held[2]!.get('square')(2)]).toEqual([16, 2, 4]);
    expect([held[0]!.readGlobal('calls'), held[2]!.readGlobal('calls')]).toEqual([1n, 2n]);
    held.length = 0;
    await collectAll(both, 'major', held);
    space.dispose();
  });

  test('refuses what can not move, what is freed, and what is not its own', () => {
    const { jit, collector } = makeCollector();
    const fixed = jit.compile(returning('f', 1), { retain: 'none' });
    const freed = jit.compile(returning('f', 1));
    freed.free();
    const foreign = makeJit().compile(returning('f', 1));
    expect(errorOf(() => collector.adopt(fixed))).toBeInstanceOf(StateError);
    expect(errorOf(() => collector.compile(returning('f', 1), { retain: 'none' }))).toBeInstanceOf(StateError);
    expect(errorOf(() => collector.adopt(freed))).toBeInstanceOf(StateError);
    for (const what of ['adopt', 'addRoot', 'explainPin'] as const)
      expect(errorOf(() => collector[what](foreign))).toBeInstanceOf(PlacementError);
    expect(errorOf(() => collector.adopt({} as never))).toBeInstanceOf(TypeError);
    expect(collector.collect()).toMatchObject({ liveObjects: 0, freed: 0 });
    expect(jit.stats().objects).toEqual({ live: 1, placed: 0 });
  });

  test('refuses what is pinned, which stays where it is and is adopted later', () => {
    const both = makeCollector();
    const other = new CopyingCollector(both.jit);
    const space = both.jit.createSpace();
    const object = compileHolding({ compile: both.jit.compile.bind(both.jit) } as unknown as CopyingCollector, (x, self) => {
      expect(errorOf(() => other.adopt(self))).toBeInstanceOf(PinnedError);
      expect(other.collect()).toMatchObject({ liveObjects: 0, freed: 0, moved: 0 });
      return x;
    });
    object.place(at(space, 1));
    expect(object.get('hold')(1)).toBe(2);
    expect(object.placement).toMatchObject({ code: 4096 });
    other.adopt(object);
    expect(other.collect()).toMatchObject({ moved: 1, liveObjects: 1 });
  });

  test('a constructor that throws leaves its code object placed and managed', () => {
    const both = makeCollector();
    const stop = hostFunction('void ()', () => {
      both.collector.collect();
      throw new Error('stop');
    });
    const source = `declare void @stop()
@llvm.global_ctors = appending global [1 x { i32, ptr, ptr }] [{ i32, ptr, ptr } { i32 1, ptr @begin, ptr null }]
define internal void @begin() {
  call void @stop()
  ret void
}
define i32 @f() {
  ret i32 1
}`;
    const object = both.jit.compile(source, { imports: { stop } });
    expect(errorOf(() => both.collector.adopt(object)).message).toBe('stop');
    expect(object.state).toBe('placed');
    const counts = upTo(2).map(() => collect(both, 'major', [object]));
    expect(counts.map(({ liveObjects, pinned }) => [liveObjects, pinned])).toEqual([
      [1, 0],
      [1, 0],
    ]);
    expect(counts.some(({ moved }) => moved === 1)).toBe(true);
    expect(object.get('f')()).toBe(1);
    expect(errorOf(() => both.collector.compile(source, { imports: { stop } })).message).toBe('stop');
    expect(both.jit.stats().objects.live).toBe(1);
  });

  test('what is moved away by hand is moved back by the next collection', () => {
    const both = makeCollector({ promoteAfter: 1 });
    const held = upTo(9).map((i) => both.collector.compile(returning('f', i)));
    const space = both.jit.createSpace();
    for (const kind of ['minor', 'major'] as const) {
      both.jit.relocate(held.map((object, i) => [object, at(space, i)]));
      collect(both, kind, held);
      expect(held.filter(({ placement }) => placement?.space === space).length).toBe(0);
      expect(held.map((object) => object.get('f')())).toEqual(upTo(9));
    }
  });
});

describe('options and the end', () => {
  test('bad options are TypeError or RangeError, and take nothing of the arena', () => {
    const jit = makeJit();
    const most = 480 * 2 ** 20;
    const free = (): number => jit.createSpace({ codeBytes: most, constantBytes: 0, dataBytes: 0 }).sizes.code;
    for (const options of [{ nurseryBytes: '1' }, { oldBytes: {} }, { promoteAfter: null }, { zeal: 1 }, 3])
      expect(errorOf(() => new CopyingCollector(jit, options as object))).toBeInstanceOf(TypeError);
    for (const options of [
      { nurseryBytes: 0 },
      { nurseryBytes: -1 },
      { oldBytes: 1.5 },
      { promoteAfter: 256 },
      { promoteAfter: -1 },
    ])
      expect(errorOf(() => new CopyingCollector(jit, options))).toBeInstanceOf(RangeError);
    for (const options of [{ nurseryBytes: 2 ** 31 }, { oldBytes: 2 ** 29 }, { oldBytes: 300 * 2 ** 20 }, { nurseryBytes: most }])
      expect(errorOf(() => new CopyingCollector(jit, options))).toBeInstanceOf(SpaceFullError);
    expect(errorOf(() => new CopyingCollector({} as never))).toBeInstanceOf(TypeError);
    expect(free()).toBe(most);
    const { collector } = makeCollector();
    expect(errorOf(() => collector.collect('all' as never))).toBeInstanceOf(RangeError);
  });

  test('a disposed collector does nothing more; what it had goes on, dies, and leaves the arena as it was', async () => {
    const jit = makeJit();
    const options = { nurseryBytes: 4096, oldBytes: 200 * 2 ** 20 };
    for (let round = 0; round < 3; round++) {
      const collector = new CopyingCollector(jit, options);
      const held = { object: collector.compile(returning('f', round)) as CodeObject | undefined };
      collector.addRoot(held.object!);
      (() => {
        for (let i = 0; i < 5; i++) collector.compile(threeSegments);
      })();
      await collectGarbage();
      collector.dispose();
      collector.dispose();
      for (const run of [
        () => collector.collect(),
        () => collector.compile(returning('f', 1)),
        () => collector.adopt(held.object!),
      ])
        expect(errorOf(run)).toBeInstanceOf(StateError);
      await collectGarbage();
      expect([held.object!.get('f')(), jit.stats().objects.live]).toEqual([round, 1]);
      held.object = undefined;
      await collectGarbage();
      expect(jit.stats().objects).toEqual({ live: 0, placed: 0 });
      verify(jit);
    }
  });

  test('zeal moves code at every host function call, of several collectors, until it is disposed', () => {
    const jit = makeJit();
    const collectors = [new CopyingCollector(jit, { zeal: true }), new CopyingCollector(jit, { zeal: true })];
    const counts = [0, 0];
    collectors.forEach((collector, i) => collector.on('collection', () => counts[i]!++));
    const note = hostFunction('i32 (i32)', (x: number) => x + 1);
    const source =
      'declare i32 @note(i32)\ndefine i32 @f(i32 %x) {\n %y = call i32 @note(i32 %x)\n %z = call i32 @note(i32 %y)\n ret i32 %z\n}';
    const objects = collectors.map((collector) => collector.compile(source, { imports: { note } }));
    const calls = objects.map((object) => object.get('f'));
    expect(calls.map((call) => call(1))).toEqual([3, 3]);
    expect(counts).toEqual([4, 4]);
    collectors[0]!.dispose();
    expect(calls.map((call) => call(5))).toEqual([7, 7]);
    expect(counts).toEqual([4, 8]);
    collectors[1]!.dispose();
    expect(calls.map((call) => call(5))).toEqual([7, 7]);
    expect(counts).toEqual([4, 8]);
  });
});

test('a Jit that is disposed, and collectors of it', () => {
  const jit = new Jit();
  const collector = new CopyingCollector(jit);
  const object = collector.compile(counter);
  jit.dispose();
  for (const run of [
    () => collector.collect(),
    () => collector.compile(counter),
    () => collector.adopt(object),
    () => new CopyingCollector(jit),
  ])
    expect(errorOf(run)).toBeInstanceOf(StateError);
  collector.dispose();
  expect(() => makeJit()).not.toThrow();
});
