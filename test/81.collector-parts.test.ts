/**
 * The small parts of a collector, each by itself: its options, its events, its plan of moves, its turn before host functions.
 */
import { setImmediate as turn } from 'node:timers/promises';
import { CopyingCollector, type Collection } from 'nomad-jit';
import { Evacuation, noneEvacuated, sumOf } from '../lib/collector/evacuation';
import { Managed } from '../lib/collector/managed';
import { collectorSizes, pauseOf } from '../lib/collector/policy';
import { Reports } from '../lib/collector/reports';
import { coreOf } from '../lib/jit/parts';
import { Zeal } from '../lib/zeal/zeal';
import { errorOf, makeJit } from './support/jits';

const page = 4096;

describe('options', () => {
  test.each([
    [undefined, 7],
    [5, 5],
    [0.25, 0.25],
    [Infinity, Infinity],
  ])('maxPause %p', (value, expected) => {
    expect(pauseOf(value, 7)).toBe(expected);
  });

  test.each([
    [0, RangeError],
    [-1, RangeError],
    [NaN, RangeError],
    ['5', TypeError],
    [5n, TypeError],
    [null, TypeError],
  ])('maxPause %p is refused', (value, ErrorClass) => {
    expect(errorOf(() => pauseOf(value, 7))).toBeInstanceOf(ErrorClass);
  });

  test('sizes are whole pages, from one page on', () => {
    const core = coreOf(makeJit())!;
    const sizes = (nursery: unknown, old: unknown): number[] => {
      const { nurseryBytes, oldBytes } = collectorSizes(core, nursery, old);
      return [nurseryBytes, oldBytes];
    };
    expect(sizes(1, page)).toEqual([page, page]);
    expect(sizes(page + 1, 2 * page)).toEqual([2 * page, 2 * page]);
    for (const bad of [0, -1, 1.5, 2 ** 31 + 1]) {
      expect(errorOf(() => sizes(bad, 1))).toBeInstanceOf(RangeError);
      expect(errorOf(() => sizes(1, bad))).toBeInstanceOf(RangeError);
    }
    expect(errorOf(() => sizes('1', 1))).toBeInstanceOf(TypeError);
  });

  test.each([2 ** 20, 2 ** 22, 2 ** 25, 2 ** 30])(
    'in an arena of %i bytes, all halves take at most half of what is left',
    (arenaBytes) => {
      const core = coreOf(makeJit({ arenaBytes }))!;
      const free = core.arena.largestFreeBytes('code');
      const { nurseryBytes, oldBytes, fixed } = collectorSizes(core, undefined, undefined);
      expect(2 * nurseryBytes + 2 * oldBytes).toBeLessThanOrEqual(free / 2 + 4 * page);
      expect(2 * nurseryBytes + 2 * oldBytes).toBeGreaterThan(Math.min(free / 4, 2 ** 25));
      if (arenaBytes === 2 ** 30) expect([nurseryBytes, oldBytes]).toEqual([2 ** 18, 2 ** 24]);
      for (const name of ['constants', 'data'] as const) {
        expect(fixed[name] % page).toBe(0);
        expect(Math.abs(fixed[name] - core.arena.largestFreeBytes(name) / 4)).toBeLessThan(page);
      }
    },
  );

  test('promoteAfter from 0 to 255', () => {
    const jit = makeJit();
    for (const promoteAfter of [0, 255]) new CopyingCollector(jit, { promoteAfter }).dispose();
    for (const promoteAfter of [-1, 256, 1.5])
      expect(errorOf(() => new CopyingCollector(jit, { promoteAfter }))).toBeInstanceOf(RangeError);
  });
});

describe('events', () => {
  const reportOf = (moved: number): Collection => ({ moved }) as Collection;

  test('are told in order after the operation, and once', () => {
    const told: unknown[] = [];
    const reports = new Reports(({ moved }) => told.push(moved));
    const result = reports.after(() => {
      reports.add(reportOf(1));
      reports.add(reportOf(2));
      expect(told).toEqual([]);
      return 'done';
    });
    expect([result, told]).toEqual(['done', [1, 2]]);
    reports.tell();
    expect(told).toEqual([1, 2]);
  });

  test('are told where the operation throws', () => {
    const told: unknown[] = [];
    const reports = new Reports(({ moved }) => told.push(moved));
    const error = new Error('of the operation');
    const run = (): never => {
      reports.add(reportOf(1));
      throw error;
    };
    expect(errorOf(() => reports.after(run))).toBe(error);
    expect(told).toEqual([1]);
  });
});

describe('zeal', () => {
  test('several have their turns; one that was stopped has none, whatever the order', () => {
    for (const order of [
      [0, 1, 2],
      [2, 1, 0],
      [1, 2, 0],
      [1, 0, 2],
    ]) {
      const hooks: { beforeHost?: () => void } = {};
      let runs: number[] = [];
      const all = [0, 1, 2].map((i) => new Zeal({ hooks } as never, () => runs.push(i)));
      const left = new Set([0, 1, 2]);
      for (const each of order) {
        runs = [];
        hooks.beforeHost?.();
        expect(runs).toEqual([...left]);
        all[each]!.stop();
        left.delete(each);
      }
      runs = [];
      hooks.beforeHost?.();
      expect(runs).toEqual([]);
    }
  });

  test('the last that stops takes its listener away', () => {
    const hooks: { beforeHost?: () => void } = {};
    new Zeal({ hooks } as never, () => undefined).stop();
    expect(hooks.beforeHost).toBeUndefined();
  });
});

describe('a plan of moves', () => {
  /** A generation that hands out ascending places until it is full. */
  function space(otherPlace: number, activePlace: number, places: number[]) {
    const left: number[] = [];
    return { otherPlace, activePlace, left, allocate: () => places.shift(), leave: (handle: number) => left.push(handle) };
  }

  function world() {
    const managed = new Managed();
    const batches: number[][] = [];
    const moveBatch = (moves: Int32Array, count: number, report: Float64Array): void => {
      batches.push([...moves.subarray(0, 4 * count)]);
      report.set([count, 100 * count, 7]);
    };
    const data = new Map([[5, { data: 900, isMovable: true }]]);
    const released: number[] = [];
    const parts = {
      get: (handle: number) => data.get(handle),
      takeData: () => 950,
      releaseData: (offset: number) => released.push(offset),
    };
    const evacuation = new Evacuation({ native: { moveBatch } } as never, managed, parts as never);
    const add = (handle: number, place: number, bytes = 64): void => {
      managed.admit(handle);
      [managed.place[handle], managed.bytes[handle], managed.offset[handle]] = [place, bytes, 10 * handle];
      managed.hasParts[handle] = data.has(handle) ? 1 : 0;
    };
    return { managed, batches, data, released, evacuation, add };
  }

  test('has what is in the half that is evacuated, and not pinned; promoted is what changes its generation', () => {
    const { managed, batches, released, data, evacuation, add } = world();
    for (const [handle, place, bytes] of [
      [1, 1, 64], // stays young
      [2, 2, 64], // in the other half
      [3, 1, 64], // pinned
      [4, 1, 0], // no code
      [5, 1, 64], // with data, promoted
      [6, 1, 64], // where it is to go there is no room
      [7, 1, 64], // nor here
    ] as const)
      add(handle, place, bytes);
    const [young, old] = [space(1, 2, [1000, 1100]), space(3, 4, [2000])];
    evacuation.begin(7);
    evacuation.plan(
      Int32Array.of(1, 2, 3, 4, 5, 6, 7),
      young as never,
      new Set([3]),
      (handle) => (handle > 4 ? old : young) as never,
    );
    expect(young.left).toEqual([3, 7]);
    expect(evacuation.run()).toEqual({ moved: 3, promoted: 1, bytes: 300, relocations: 7 });
    expect(batches).toEqual([[1, 1000, -1, -1, 5, 2000, -1, 950, 6, 1100, -1, -1]]);
    expect([1, 2, 3, 5, 6, 7].map((handle) => managed.offset[handle])).toEqual([1000, 20, 30, 2000, 1100, 70]);
    expect([1, 2, 3, 5, 6, 7].map((handle) => managed.place[handle])).toEqual([2, 2, 1, 4, 2, 1]);
    expect([1, 2, 3, 5, 6, 7].map((handle) => managed.age[handle])).toEqual([1, 0, 0, 1, 1, 0]);
    expect([released, data.get(5)?.data]).toEqual([[900], 950]);
  });

  test('of nothing asks native code for nothing', () => {
    const { batches, evacuation } = world();
    evacuation.begin(0);
    expect(evacuation.run()).toEqual(noneEvacuated);
    expect(batches).toEqual([]);
  });

  test('that was refused gives back what it took of the old generation, and for data', () => {
    const { released, evacuation, add } = world();
    for (const handle of [1, 5]) add(handle, 1, 48);
    const [young, old] = [space(1, 2, [1000]), space(3, 4, [2000])];
    const back: number[][] = [];
    evacuation.begin(2);
    evacuation.plan(Int32Array.of(1, 5), young as never, new Set(), (handle) => (handle === 5 ? old : young) as never);
    evacuation.giveBack({ ...old, release: (...range: number[]) => back.push(range) } as never);
    expect([back, released]).toEqual([[[2000, 48]], [950]]);
  });

  test('may be as long as it likes; an age ends at 255', () => {
    const { managed, batches, evacuation, add } = world();
    const count = 3000;
    for (let handle = 0; handle < count; handle++) if (handle !== 5) add(handle, 1);
    const places = Array.from({ length: count }, (_, i) => i * 64);
    managed.age[1] = 254;
    managed.age[2] = 255;
    for (let round = 0; round < 2; round++) {
      const [from, to] = round === 0 ? [1, 2] : [2, 1];
      evacuation.begin(count);
      const half = space(from, to, [...places]);
      evacuation.plan(Int32Array.from(places.keys()), half as never, new Set(), () => half as never);
      expect(evacuation.run().moved).toBe(count - 1);
    }
    expect(batches.map((batch) => batch.length)).toEqual([4 * (count - 1), 4 * (count - 1)]);
    expect([0, 1, 2].map((handle) => managed.age[handle])).toEqual([2, 255, 255]);
  });

  test('sums are of each count', () => {
    const sum = sumOf(
      { moved: 1, promoted: 2, bytes: 3, relocations: 4 },
      { moved: 10, promoted: 20, bytes: 30, relocations: 40 },
    );
    expect(sum).toEqual({ moved: 11, promoted: 22, bytes: 33, relocations: 44 });
  });
});

test("what a listener throws is the process's, in a job of its own", async () => {
  const reports = new Reports(() => {
    throw new Error('of a listener');
  });
  const jobs: Array<() => void> = [];
  const spy = jest.spyOn(globalThis, 'queueMicrotask').mockImplementation((job) => void jobs.push(job));
  try {
    reports.add({} as Collection);
    reports.add({} as Collection);
    reports.tell();
  } finally {
    spy.mockRestore();
  }
  await turn();
  expect(jobs.map((job) => errorOf(job).message)).toEqual(['of a listener', 'of a listener']);
});
