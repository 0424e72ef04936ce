/**
 * CopyingCollector: what lives, what moves, and what its reports say. Each collection is checked by support/collectors.ts.
 */
import { CopyingCollector, hostFunction, StateError, type CodeObject, type Collection, type HostFunction } from 'nomad-jit';
import {
  collect,
  collectAll,
  compileHolding,
  expectSound,
  extentOf,
  makeCollector,
  nativeOf,
  verify,
  waiting,
} from './support/collectors';
import { collectGarbage, errorOf } from './support/jits';
import { calling, multiplying, returning, threeSegments } from './support/programs';

/** `count` code objects; number i has `f(i)` that returns i. */
function compileMany(collector: CopyingCollector, count: number, first = 0): CodeObject[] {
  return Array.from({ length: count }, (_, i) => collector.compile(returning('f', first + i)));
}

function results(objects: readonly CodeObject[]): unknown[] {
  return objects.map((object) => object.get('f')());
}

function upTo(count: number): number[] {
  return Array.from({ length: count }, (_, i) => i);
}

describe('what moves', () => {
  test('a minor collection moves the nursery, a major one everything', () => {
    const both = makeCollector();
    const held = compileMany(both.collector, 40);
    const before = held.map((object) => extentOf(object).base);
    const minor = collect(both, 'minor', held);
    expect([minor.moved, minor.promoted, minor.pinned, minor.freed]).toEqual([40, 0, 0, 0]);
    const after = held.map((object) => extentOf(object).base);
    expect(after.filter((address, i) => address === before[i])).toEqual([]);
    expect(minor.movedBytes).toBe(held.reduce((sum, { sizes }) => sum + sizes.code, 0));
    expect(collect(both, 'major', held)).toMatchObject({ moved: 40, promoted: 40 });
    expect(collect(both, 'minor', held)).toMatchObject({ moved: 0, promoted: 0 });
    expect(collect(both, 'major', held)).toMatchObject({ moved: 40, promoted: 0 });
    expect(results(held)).toEqual(upTo(40));
  });

  test.each([1, 2, 5])('promoteAfter %i: what has survived as many collections is in the old generation', (promoteAfter) => {
    const both = makeCollector({ promoteAfter });
    const held = compileMany(both.collector, 7);
    const promoted = upTo(promoteAfter + 2).map(() => collect(both, 'minor', held).promoted);
    expect(promoted).toEqual(upTo(promoteAfter + 2).map((i) => (i === promoteAfter - 1 ? 7 : 0)));
    const younger = compileMany(both.collector, 3, 7);
    expect(collect(both, 'minor', [...held, ...younger]).moved).toBe(3);
    expect(results(held)).toEqual(upTo(7));
  });

  test('one native batch for each collection, however much there is', () => {
    const both = makeCollector({ promoteAfter: 1 });
    const old = compileMany(both.collector, 150);
    collect(both, 'minor', old);
    const held = [...old, ...compileMany(both.collector, 150)];
    const batches = jest.spyOn(nativeOf(both.jit), 'moveBatch');
    const { relocations, moved, movedBytes } = collect(both, 'major', held);
    expect(batches).toHaveBeenCalledTimes(1);
    expect([moved, relocations]).toEqual([300, 0]);
    expect(movedBytes).toBe(held.reduce((sum, { sizes }) => sum + sizes.code, 0));
    expect(results(held)).toEqual([...upTo(150), ...upTo(150)]);
  });

  test('an empty collector collects nothing', () => {
    const both = makeCollector();
    const nothing = { moved: 0, promoted: 0, freed: 0, pinned: 0, movedBytes: 0, freedBytes: 0, liveObjects: 0, liveBytes: 0 };
    expect(collect(both, 'minor', [])).toMatchObject(nothing);
    expect(collect(both, 'major', [])).toMatchObject({ ...nothing, fragmentationBefore: 0, fragmentationAfter: 0 });
  });

  test('callers and callees move apart and together; callers lead to where callees are', () => {
    const both = makeCollector({ promoteAfter: 1 });
    const callee = both.collector.compile(multiplying('g', 3));
    collect(both, 'minor', [callee]);
    const caller = both.collector.compile(calling('f', 'g', 1), { imports: { g: callee.get('g') } });
    const f = caller.get('f');
    for (const kind of ['minor', 'major', 'minor', 'major'] as const) {
      expect(collect(both, kind, [callee, caller]).liveObjects).toBe(2);
      expect(f(5)).toBe(16);
    }
    expect(callee.readGlobal('g_calls')).toBe(4);
  });

  test.each(['code', 'all'] as const)("constants and data stay right with moves: '%s'", (moves) => {
    const both = makeCollector({ promoteAfter: 2 });
    const held = upTo(10).map(() => both.collector.compile(threeSegments, { moves }));
    let data = held.map((object) => object.addressOf('calls'));
    for (let round = 1; round <= 6; round++) {
      for (const [i, object] of held.entries()) expect(object.get('square')(i % 5)).toBe((i % 5) ** 2);
      const { moved } = collect(both, round % 2 === 0 ? 'major' : 'minor', held);
      expect(held.map((object) => object.readGlobal('calls'))).toEqual(held.map(() => BigInt(round)));
      const after = held.map((object) => object.addressOf('calls'));
      const staying = after.filter((address, i) => address === data[i]).length;
      expect(staying).toBe(moves === 'code' || moved === 0 ? 10 : 0);
      data = after;
    }
  });
});

describe('what lives', () => {
  test('code objects, callables and roots keep alive; the rest goes', async () => {
    const both = makeCollector();
    const kept: { objects: CodeObject[]; callables: Array<() => number> } = { objects: [], callables: [] };
    (() => {
      for (const [i, object] of compileMany(both.collector, 40).entries()) {
        if (i % 4 === 0) kept.objects.push(object);
        if (i % 4 === 1) kept.callables.push(object.get<() => number>('f'));
        if (i % 4 === 2) both.collector.addRoot(object);
      }
    })();
    await collectGarbage();
    const report = both.collector.collect();
    verify(both.jit);
    expect([report.liveObjects, report.freed, report.moved]).toEqual([30, 10, 30]);
    expect(results(kept.objects)).toEqual(kept.objects.map((_, i) => 4 * i));
    expect(kept.callables.map((call) => call())).toEqual(kept.callables.map((_, i) => 4 * i + 1));
    expect(both.jit.stats().objects).toEqual({ live: 30, placed: 30 });
  });

  test('a root that is removed goes', async () => {
    const both = makeCollector();
    const root = { object: both.collector.compile(returning('f', 5)) as CodeObject | undefined };
    both.collector.addRoot(root.object!);
    both.collector.addRoot(root.object!);
    await collectAll(both, 'major', [root.object!]);
    both.collector.removeRoot(root.object!);
    root.object = undefined;
    const report = await collectAll(both, 'major', []);
    expect(report.freed).toBe(1);
  });

  test('a chain of references lives by its last member, and dies with it', async () => {
    const both = makeCollector({ promoteAfter: 1 });
    const last = { call: undefined as ((x: number) => number) | undefined };
    (() => {
      let callee = both.collector.compile(multiplying('f0', 2));
      for (let i = 1; i < 30; i++) {
        callee = both.collector.compile(calling(`f${i}`, `f${i - 1}`, 1), {
          imports: { [`f${i - 1}`]: callee.get(`f${i - 1}`) },
        });
        if (i % 10 === 0) both.collector.collect('minor');
      }
      last.call = callee.get('f29');
    })();
    for (const kind of ['minor', 'major', 'major'] as const) {
      await collectGarbage();
      expect(both.collector.collect(kind).liveObjects).toBe(30);
      verify(both.jit);
      expect(last.call(4)).toBe(37);
    }
    last.call = undefined;
    expect((await collectAll(both, 'major', [])).freed).toBe(30);
  });

  test('a minor collection frees what is dead in the old generation too', async () => {
    const both = makeCollector({ promoteAfter: 1 });
    const held = compileMany(both.collector, 20);
    collect(both, 'major', held);
    held.splice(0, 10);
    const report = await collectAll(both, 'minor', held);
    expect([report.freed, report.moved]).toEqual([10, 0]);
  });

  test('what is freed by hand is gone, and is in the next report', () => {
    const both = makeCollector();
    const held = compileMany(both.collector, 10);
    collect(both, 'major', held);
    const freed = held.splice(0, 4);
    const freedBytes = freed.reduce((sum, { sizes }) => sum + sizes.code, 0);
    for (const object of freed) object.free();
    expect(collect(both, 'major', held)).toMatchObject({ freed: 4, freedBytes, moved: 6, liveObjects: 6 });
    expect(collect(both, 'major', held)).toMatchObject({ freed: 0, freedBytes: 0 });
    expect(freed.map(({ state }) => state)).toEqual(['freed', 'freed', 'freed', 'freed']);
  });

  test('what waits on the stack lives, though JS has forgotten it', async () => {
    const both = makeCollector();
    const seen: number[] = [];
    const wait = hostFunction('i32 (i32)', (x: number) => {
      globalThis.gc!();
      seen.push(both.collector.collect().liveObjects);
      verify(both.jit);
      return x;
    });
    expect(both.collector.compile(waiting('f'), { imports: { wait } }).get('f')(41)).toBe(42);
    expect(seen).toEqual([1]);
    await collectAll(both, 'major', []);
  });
});

describe('under running code', () => {
  /** Code that calls `whileWaiting`, nested `depth` deep through host functions. */
  function nest(collector: CopyingCollector, depth: number, whileWaiting: () => void): Array<(x: number) => number> {
    const calls: Array<(x: number) => number> = [];
    for (let i = 0; i < depth; i++) {
      const inner = calls.at(-1);
      const wait = hostFunction('i32 (i32)', (x: number) => {
        if (inner === undefined) whileWaiting();
        return inner === undefined ? x : inner(x);
      });
      calls.push(collector.compile(waiting('f'), { imports: { wait } }).get<(x: number) => number>('f'));
    }
    return calls;
  }

  test('a collection in a host function moves the code that waits, which returns into its new place', () => {
    const both = makeCollector({ zeal: false });
    const reports: Collection[] = [];
    const calls = nest(both.collector, 20, () => {
      for (const kind of ['minor', 'major', 'minor', 'major'] as const) reports.push(both.collector.collect(kind));
      verify(both.jit);
    });
    expect(calls.at(-1)!(100)).toBe(120);
    expect(reports.map(({ moved, pinned, liveObjects }) => moved + pinned <= 20 && liveObjects === 20)).toEqual([
      true,
      true,
      true,
      true,
    ]);
    expect(reports[0]!.moved).toBeGreaterThan(0);
  });

  test('pinned code stays, its neighbours move away, and their space is used again', () => {
    const both = makeCollector({ nurseryBytes: 4096, oldBytes: 65536, promoteAfter: 9, zeal: false });
    const { jit, collector } = both;
    const left = compileMany(collector, 4);
    const steps: string[] = [];
    const pinned = compileHolding(collector, (x, self) => {
      const at = extentOf(self);
      const first = collect(both, 'minor', [...held, self]);
      expect([first.pinned, first.moved]).toEqual([1, held.length]);
      expect(extentOf(self)).toEqual(at);
      expect(collector.explainPin(self).some(({ value, kind }) => kind !== 'return' && value === at.base + 1n)).toBe(true);
      expect(collector.explainPin(held[0]!)).toEqual([]);
      const second = collect(both, 'minor', [...held, self]);
      expect([second.pinned, second.moved]).toEqual([1, held.length]);
      const around = held.map((object) => extentOf(object).base);
      expect(around.some((base) => base < at.base)).toBe(true);
      expect(around.some((base) => base > at.base && base < at.base + 4096n)).toBe(true);
      expect(extentOf(self)).toEqual(at);
      steps.push('done');
      return x;
    });
    const right = compileMany(collector, 20, 4);
    const held = [...left, ...right];
    const at = extentOf(pinned).base;
    expect(pinned.get('hold')(1)).toBe(2);
    expect(steps).toEqual(['done']);
    expect(extentOf(pinned).base).toBe(at);
    for (const kind of ['minor', 'minor', 'major'] as const) expect(collect(both, kind, [...held, pinned]).pinned).toBe(0);
    expect(extentOf(pinned).base).not.toBe(at);
    expect(results(held)).toEqual(upTo(24));
    expect(jit.stats().objects.live).toBe(25);
  });

  test('new code may be compiled and dropped while pinned code waits, and never meets it', () => {
    const { jit, collector } = makeCollector({ nurseryBytes: 4096, oldBytes: 8192 });
    const pinned = compileHolding(collector, (x, self) => {
      const { base, limit } = extentOf(self);
      for (let i = 0; i < 400; i++) {
        const object = collector.compile(returning('f', i));
        const extent = extentOf(object);
        expect(extent.limit <= base || extent.base >= limit).toBe(true);
        expect(object.get('f')()).toBe(i);
        object.free();
        if (i % 40 === 0) collector.collect(i % 80 === 0 ? 'minor' : 'major');
        verify(jit);
      }
      expect(extentOf(self).base).toBe(base);
      return x;
    });
    expect(pinned.get('hold')(6)).toBe(7);
  });

  test('a collection during a collection is a StateError, and the first one goes on', async () => {
    const both = makeCollector();
    const errors: unknown[] = [];
    const note = hostFunction('void ()', () => void errors.push(errorOf(() => both.collector.collect())));
    const source = `declare void @note()
@llvm.global_dtors = appending global [1 x { i32, ptr, ptr }] [{ i32, ptr, ptr } { i32 1, ptr @end, ptr null }]
define internal void @end() {
  call void @note()
  ret void
}
define i32 @f() {
  ret i32 1
}`;
    const release = () => both.collector.compile(source, { imports: { note } }).id;
    release();
    expect((await collectAll(both, 'major', [])).freed).toBe(1);
    expect(errors).toEqual([expect.any(StateError)]);
  });

  test('an exception that leaves code after a collection leaves everything working', () => {
    const both = makeCollector();
    const wait = hostFunction('i32 (i32)', (x: number) => {
      both.collector.collect(x % 2 === 0 ? 'minor' : 'major');
      throw new Error(`stop ${x}`);
    });
    const held = upTo(6).map(() => both.collector.compile(waiting('f'), { imports: { wait } }));
    for (const [i, object] of held.entries()) expect(errorOf(() => object.get('f')(i)).message).toBe(`stop ${i}`);
    expectSound(both.jit, held);
  });
});

describe('reports and events', () => {
  test('each collection is an event, with the report that collect returns', () => {
    const { collector } = makeCollector();
    const heard: Collection[] = [];
    collector.on('collection', (report) => heard.push(report));
    const returned = [collector.collect('minor'), collector.collect(), collector.collect('major')];
    expect(heard).toEqual(returned);
    expect(returned.map(({ kind }) => kind)).toEqual(['minor', 'major', 'major']);
  });

  test('a listener may compile and collect', () => {
    const both = makeCollector();
    const held: CodeObject[] = [];
    both.collector.once('collection', () => {
      held.push(...compileMany(both.collector, 3));
      both.collector.collect('minor');
    });
    expect(collect(both, 'major', held).liveObjects).toBe(0);
    expect(collect(both, 'major', held).liveObjects).toBe(3);
  });

  test('moved, pinned and freed add up to what there was, and live bytes to the sizes', async () => {
    const both = makeCollector({ promoteAfter: 1 });
    const held = compileMany(both.collector, 50);
    const pinned = compileHolding(both.collector, (x) => {
      const { moved, pinned: stayed, liveObjects, liveBytes, movedBytes } = both.collector.collect('major');
      expect([moved, stayed, moved + stayed]).toEqual([50, 1, liveObjects]);
      expect(liveBytes - movedBytes).toBe(pinned.sizes.code);
      return x;
    });
    pinned.get('hold')(1);
    held.splice(10, 20);
    const report = await collectAll(both, 'major', [...held, pinned]);
    expect(report.freed).toBe(20);
    expect(report.pauseMilliseconds).toBeGreaterThanOrEqual(0);
  });

  test('a major collection leaves the free space of the old generation in one piece', async () => {
    const both = makeCollector({ promoteAfter: 1 });
    const held = compileMany(both.collector, 200);
    collect(both, 'major', held);
    for (let i = 0; i < 100; i++) held.splice(i, 1)[0]!.free();
    const { fragmentationBefore, fragmentationAfter } = await collectAll(both, 'major', held);
    expect(fragmentationBefore).toBeGreaterThan(0);
    expect(fragmentationAfter).toBe(0);
  });
});

test('code that JS forgets while it waits can go on calling its host functions', () => {
  const both = makeCollector();
  let calls = 0;
  const source =
    'declare void @note()\ndefine i32 @f() {\n call void @note()\n call void @note()\n call void @note()\n ret i32 7\n}';
  const make = () => {
    const note = hostFunction('void ()', () => {
      calls++;
      globalThis.gc!();
      both.collector.collect();
    });
    return both.collector.compile(source, { imports: { note } }).get('f');
  };
  expect([make()(), calls]).toEqual([7, 3]);
});

test('circles through host functions die', async () => {
  const both = makeCollector();
  (() => {
    const calls: Array<(x: number) => number> = [];
    const wait = hostFunction('i32 (i32)', (x: number) => (x === 0 ? 0 : calls[0]!(x - 1)));
    const imports: Record<string, HostFunction> = { wait };
    calls.push(both.collector.compile(waiting('f'), { imports }).get<(x: number) => number>('f'));
    expect(calls[0]!(3)).toBe(4);
  })();
  await collectAll(both, 'major', []);
});
