/**
 * FreeListAllocator and BumpAllocator against hand-made cases and a model that is one flag per granule.
 */
import fc from 'fast-check';
import { granuleBytes } from '../lib/base/segments';
import type { Allocator } from '../lib/space/allocator';
import { BumpAllocator } from '../lib/space/bump';
import { FreeListAllocator } from '../lib/space/free-list';
import { randomIntegers, seed } from './support/random';

const granules = 64;

/** An allocator of `count` blocks of one granule each, all handed out. */
function filled(count: number): FreeListAllocator {
  const list = new FreeListAllocator(count * granuleBytes);
  for (let i = 0; i < count; i++) list.allocate(granuleBytes, 1);
  expect(figures(list)).toEqual([list.capacityBytes, 0, 0]);
  return list;
}

function figures({ usedBytes, freeBytes, largestFreeBytes }: Allocator): number[] {
  return [usedBytes, freeBytes, largestFreeBytes];
}

/** The typed array in which what `make` makes keeps its state. */
function wordsOf<T>(make: () => T): [Int32Array, T] {
  const arrays: Int32Array[] = [];
  const RealArray = globalThis.Int32Array;
  globalThis.Int32Array = class extends RealArray {
    constructor(length: number) {
      super(length);
      arrays.push(this);
    }
  } as typeof RealArray;
  try {
    const made = make();
    return [arrays[0]!, made];
  } finally {
    globalThis.Int32Array = RealArray;
  }
}

/** Expects `release` to fail and to change nothing. */
function expectRefused(allocator: Allocator, offset: number, sizeBytes: number): void {
  const before = figures(allocator);
  expect(() => allocator.release(offset, sizeBytes)).toThrow(RangeError);
  expect(figures(allocator)).toEqual(before);
  allocator.checkIntegrity();
}

describe('FreeListAllocator', () => {
  test('a released block without free neighbours stays alone', () => {
    const list = filled(3);
    list.release(16, 16);
    expect(figures(list)).toEqual([32, 16, 16]);
    list.checkIntegrity();
  });

  test('a released block merges with the free block before it', () => {
    const list = filled(3);
    list.release(0, 16);
    list.release(16, 16);
    expect(list.largestFreeBytes).toBe(32);
    expect(list.allocate(32, 1)).toBe(0);
  });

  test('a released block merges with the free block after it', () => {
    const list = filled(3);
    list.release(32, 16);
    list.release(16, 16);
    expect(list.largestFreeBytes).toBe(32);
    expect(list.allocate(32, 1)).toBe(16);
  });

  test('a released block merges with both neighbours', () => {
    const list = filled(3);
    list.release(0, 16);
    list.release(32, 16);
    expect(list.largestFreeBytes).toBe(16);
    list.release(16, 16);
    expect(figures(list)).toEqual([0, 48, 48]);
    list.checkIntegrity();
  });

  test('takes the smallest block that suffices, of equal ones the lowest', () => {
    const list = filled(12);
    list.release(0, 64); // 4 granules at 0
    list.release(80, 32); // 2 at 80
    list.release(144, 32); // 2 at 144
    expect(list.allocate(32, 1)).toBe(80);
    expect(list.allocate(17, 1)).toBe(144);
    expect(list.allocate(16, 1)).toBe(0);
  });

  test('rounds sizes up to the granule', () => {
    const list = new FreeListAllocator(1024);
    expect(list.allocate(1, 1)).toBe(0);
    expect(list.allocate(17, 1)).toBe(16);
    expect(list.usedBytes).toBe(48);
    list.release(16, 17);
    expect(list.usedBytes).toBe(16);
  });

  test('aligns, and leaves the gap before an aligned block free', () => {
    const list = new FreeListAllocator(1024);
    list.allocate(16, 16);
    expect(list.allocate(16, 64)).toBe(64);
    expect(list.allocate(48, 16)).toBe(16);
    list.checkIntegrity();
  });

  test('skips a block that is large enough but badly aligned', () => {
    const list = filled(12);
    list.release(16, 32); // large enough, but not at a multiple of 64
    list.release(128, 48);
    expect(list.allocate(32, 64)).toBe(128);
  });

  test('finds the only aligned block behind more misfits than it tries', () => {
    const list = filled(2000);
    for (let i = 1; i < 1900; i += 4) list.release(i * 16, 16);
    list.release(1920 * 16, 16);
    expect(list.allocate(16, 64)).toBe(1920 * 16);
    expect(list.allocate(16, 64)).toBeUndefined();
    list.checkIntegrity();
  });

  test('returns undefined and changes nothing when nothing suffices', () => {
    const list = filled(4);
    list.release(0, 16);
    list.release(32, 16);
    expect(list.allocate(32, 1)).toBeUndefined();
    expect(figures(list)).toEqual([32, 32, 16]);
  });

  test('refuses to release twice, a free part, outside, and off the granule', () => {
    const list = filled(4);
    list.release(16, 16);
    expectRefused(list, 16, 16);
    expectRefused(list, 0, 32);
    expectRefused(list, 48, 32);
    expectRefused(list, -16, 16);
    expectRefused(list, 8, 16);
    expectRefused(list, NaN, 16);
    expectRefused(list, 0, 0);
  });

  test('an empty range has nothing to hand out', () => {
    const list = new FreeListAllocator(15);
    expect(list.allocate(1, 1)).toBeUndefined();
    expect(figures(list)).toEqual([0, 0, 0]);
  });

  test('of blocks that all suffice, it takes a certain one rather than search on', () => {
    const list = filled(2000);
    for (let i = 0; i < 100; i++) list.release((20 * i + 1) * 16, 48); // a multiple of 64 with 16 bytes after it, or none
    list.release(1990 * 16, 16 * 8);
    expect(list.allocate(48, 64)).toBe(1992 * 16);
  });

  test('fits tells what allocate would find', () => {
    const list = filled(12);
    list.release(16, 48);
    const wanted = [16, 32, 33, 48, 49].flatMap((bytes) => [1, 16, 32, 64, 128].map((alignment) => [bytes, alignment] as const));
    for (const [bytes, alignment] of wanted) {
      const copy = FreeListAllocator.withFree(12 * 16, [{ base: 16, limit: 64 }]);
      expect(list.fits(bytes, alignment)).toBe(copy.allocate(bytes, alignment) !== undefined);
    }
    expect([list.fits(48, 16), list.fits(49, 16), list.fits(32, 32), list.fits(33, 32)]).toEqual([true, false, true, false]);
  });

  test('withFree has nothing free but what it is told', () => {
    const list = FreeListAllocator.withFree(1024, [
      { base: 16, limit: 48 },
      { base: 512, limit: 1024 },
    ]);
    list.checkIntegrity();
    expect(figures(list)).toEqual([480, 544, 512]);
    expect([list.allocate(512, 1), list.allocate(32, 1), list.allocate(1, 1)]).toEqual([512, 16, undefined]);
    expect(figures(FreeListAllocator.withFree(0, []))).toEqual([0, 0, 0]);
  });

  test.each([
    ['F1', [{ base: 64, limit: 32 }]],
    ['F1', [{ base: -16, limit: 32 }]],
    ['F1', [{ base: 32, limit: 32 }]],
    ['F1', [{ base: 8, limit: 32 }]],
    ['F1', [{ base: 16, limit: 40 }]],
    ['F1', [{ base: 512, limit: 1040 }]],
    [
      'F2',
      [
        { base: 0, limit: 64 },
        { base: 32, limit: 96 },
      ],
    ],
    [
      'F2',
      [
        { base: 0, limit: 64 },
        { base: 64, limit: 96 },
      ],
    ],
  ])('an integrity check names %s: %j', (name, free) => {
    expect(() => FreeListAllocator.withFree(1024, free).checkIntegrity()).toThrow(name);
  });

  test('stays whole with 100,000 allocations and thousands of holes', () => {
    const list = filled(100_000);
    for (let i = 0; i < 100_000; i += 2) list.release(i * 16, 16);
    expect(figures(list)).toEqual([800_000, 800_000, 16]);
    list.checkIntegrity();
    for (let i = 1; i < 100_000; i += 2) list.release(i * 16, 16);
    expect(figures(list)).toEqual([0, 1_600_000, 1_600_000]);
    list.checkIntegrity();
  });
});

describe('BumpAllocator', () => {
  test('hands out ascending offsets and does not use a hole again', () => {
    const bump = new BumpAllocator(64);
    expect([bump.allocate(16, 1), bump.allocate(20, 1)]).toEqual([0, 16]);
    bump.release(0, 16);
    expect(figures(bump)).toEqual([32, 32, 16]);
    expect(bump.allocate(32, 1)).toBeUndefined();
    expect(bump.allocate(16, 1)).toBe(48);
  });

  test('starts again when everything is released', () => {
    const bump = new BumpAllocator(1024);
    bump.allocate(512, 64);
    bump.allocate(512, 64);
    bump.release(0, 512);
    bump.release(512, 512);
    expect(figures(bump)).toEqual([0, 1024, 1024]);
    expect(bump.allocate(1024, 1)).toBe(0);
    bump.checkIntegrity();
  });

  test('reset releases everything', () => {
    const bump = new BumpAllocator(1024);
    bump.allocate(1000, 1);
    bump.reset();
    expect(figures(bump)).toEqual([0, 1024, 1024]);
    expectRefused(bump, 0, 16);
  });

  test('refuses to release twice, an alignment gap, outside, and off the granule', () => {
    const bump = new BumpAllocator(2048);
    bump.allocate(16, 16);
    bump.allocate(1024, 64);
    expectRefused(bump, 16, 16);
    expectRefused(bump, 0, 32);
    expectRefused(bump, 1088, 16);
    expectRefused(bump, -16, 16);
    expectRefused(bump, 8, 16);
    bump.release(0, 16);
    expectRefused(bump, 0, 16);
  });

  test('hands out the last byte, and no byte more', () => {
    const bump = new BumpAllocator(16 * 33);
    expect(bump.allocate(16 * 34, 1)).toBeUndefined();
    expect(bump.allocate(16 * 33, 1)).toBe(0);
    expect(bump.allocate(1, 1)).toBeUndefined();
    expectRefused(bump, 0, 16 * 34);
    bump.release(16 * 31, 32);
    expect(figures(bump)).toEqual([16 * 31, 32, 0]);
  });

  test('an integrity check sees a bit too many, or too few', () => {
    const [words, bump] = wordsOf(() => new BumpAllocator(16 * 100));
    bump.allocate(16 * 40, 1);
    bump.checkIntegrity();
    words[1]! ^= 1;
    expect(() => bump.checkIntegrity()).toThrow('B2');
    words[1]! ^= 1 | (1 << 9);
    expect(() => bump.checkIntegrity()).toThrow('B1');
    words[1]! ^= 1 << 9;
    bump.checkIntegrity();
  });
});

test.each([FreeListAllocator, BumpAllocator])('%p refuses nonsense', (AllocatorClass) => {
  const allocator = new AllocatorClass(1024);
  for (const sizeBytes of [0, -1, 1.5, NaN, Infinity]) expect(() => allocator.allocate(sizeBytes, 16)).toThrow(RangeError);
  for (const alignment of [0, -16, 3, 1.5, NaN]) expect(() => allocator.allocate(16, alignment)).toThrow(RangeError);
  for (const sizeBytes of [-1, 1.5, 2 ** 31 + 1]) expect(() => new AllocatorClass(sizeBytes)).toThrow(RangeError);
  for (const sizeBytes of [0, 1.5]) expectRefused(allocator, 0, sizeBytes);
  expect(figures(allocator)).toEqual([0, 1024, 1024]);
});

test.each([FreeListAllocator, BumpAllocator])('%p takes the coarsest alignment and the largest size', (AllocatorClass) => {
  expect(new AllocatorClass(2 ** 31).freeBytes).toBe(2 ** 31);
  expect(new AllocatorClass(0).freeBytes).toBe(0);
  expect(new AllocatorClass(1024).allocate(16, 2 ** 31)).toBe(0);
  expect(() => new AllocatorClass(1024).allocate(16, 2 ** 32)).toThrow(RangeError);
});

test.each([FreeListAllocator, BumpAllocator])('%p takes no text for an offset', (AllocatorClass) => {
  const allocator = new AllocatorClass(1024);
  allocator.allocate(512, 1);
  for (const offset of ['0', '16', '', 0.5, -16, 2 ** 60, Infinity, NaN]) expectRefused(allocator, offset as number, 16);
});

describe.each([FreeListAllocator, BumpAllocator])('mend of %p', (AllocatorClass) => {
  test.each([
    ['a part of a granule at the beginning', [{ base: 8, limit: 32 }]],
    ['nothing', [{ base: 16, limit: 16 }]],
    ['less than nothing', [{ base: 32, limit: 16 }]],
    ['what begins before the range', [{ base: -16, limit: 16 }]],
    ['what ends after the range', [{ base: 1008, limit: 1025 }]],
    [
      'what overlaps',
      [
        { base: 64, limit: 128 },
        { base: 16, limit: 65 },
      ],
    ],
    ['no number', [{ base: NaN, limit: 16 }]],
    ['text', [{ base: '0' as unknown as number, limit: 16 }]],
  ])('refuses %s, and changes nothing', (_, used) => {
    const allocator = new AllocatorClass(1024);
    allocator.allocate(100, 1);
    const before = figures(allocator);
    expect(() => allocator.mend(used)).toThrow(RangeError);
    expect(figures(allocator)).toEqual(before);
    allocator.release(0, 100);
  });

  test(`hands out exactly what it is told (SEED=${seed})`, () => {
    const random = randomIntegers();
    for (let run = 0; run < 200; run++) {
      const allocator = new AllocatorClass(granules * granuleBytes);
      allocator.allocate(granuleBytes * (1 + random(granules)), 16);
      const model: Model = Array.from({ length: granules }, () => false);
      const used = randomExtents(random);
      for (const { base, limit } of used) mark(model, base, limit - base, true);
      allocator.mend([...used].sort((a, b) => ((a.base * 37) % 101) - ((b.base * 37) % 101)));
      allocator.checkIntegrity();
      const usedBytes = model.filter(Boolean).length * granuleBytes;
      const runs = freeRuns(model);
      const largest = AllocatorClass === FreeListAllocator ? Math.max(0, ...runs.map(([, bytes]) => bytes)) : tailOf(model);
      expect(figures(allocator)).toEqual([usedBytes, granules * granuleBytes - usedBytes, largest]);
      for (const [i, isUsed] of model.entries())
        if (isUsed) allocator.release(i * granuleBytes, granuleBytes);
        else expectRefused(allocator, i * granuleBytes, granuleBytes);
      expect(figures(allocator)).toEqual([0, granules * granuleBytes, granules * granuleBytes]);
    }
  });
});

/** Ranges that ascend; some touch, and their ends may be inside a granule. */
function randomExtents(random: (limit: number) => number): Array<{ base: number; limit: number }> {
  const extents = [];
  for (let base = random(3); base < granules;) {
    const limit = Math.min(granules, base + 1 + random(8));
    extents.push({ base: base * granuleBytes, limit: limit * granuleBytes - random(16) });
    base = limit + random(4);
  }
  return extents;
}

/** Free bytes at the end. */
function tailOf(model: Model): number {
  return (granules - 1 - model.lastIndexOf(true)) * granuleBytes;
}

/** One flag per granule: true is handed out. */
type Model = boolean[];

function isFree(model: Model, offset: number, sizeBytes: number): boolean {
  return model.slice(offset / granuleBytes, Math.ceil((offset + sizeBytes) / granuleBytes)).every((used) => !used);
}

function mark(model: Model, offset: number, sizeBytes: number, used: boolean): void {
  model.fill(used, offset / granuleBytes, Math.ceil((offset + sizeBytes) / granuleBytes));
}

/** The maximal free runs as [offset, bytes]. */
function freeRuns(model: Model): Array<[number, number]> {
  const runs: Array<[number, number]> = [];
  for (let i = 0; i < model.length; i++) {
    if (model[i] === true) continue;
    const last = runs.at(-1);
    if (last !== undefined && last[0] + last[1] === i * granuleBytes) last[1] += granuleBytes;
    else runs.push([i * granuleBytes, granuleBytes]);
  }
  return runs;
}

/** Where best fit puts a request. */
function bestFit(model: Model, sizeBytes: number, alignment: number): number | undefined {
  const aligned = (offset: number): number => Math.ceil(offset / alignment) * alignment;
  const fits = freeRuns(model).filter(([offset, bytes]) => aligned(offset) + Math.ceil(sizeBytes / 16) * 16 <= offset + bytes);
  const best = fits.sort((a, b) => a[1] - b[1] || a[0] - b[0])[0];
  return best && aligned(best[0]);
}

const steps = fc.array(
  fc.record({
    kind: fc.constantFrom('allocate', 'allocate', 'release', 'nonsense'),
    sizeBytes: fc.integer({ min: 1, max: 200 }),
    pick: fc.nat(),
    shift: fc.nat(4),
  }),
  { maxLength: 120 },
);

type Steps = typeof steps extends fc.Arbitrary<infer T> ? T : never;

/** Runs `script` on both; `expected` is the offset that the allocator must choose. */
function follow(
  allocator: Allocator,
  script: Steps,
  expected: (model: Model, sizeBytes: number, alignment: number) => number | undefined,
): void {
  const model: Model = Array.from({ length: granules }, () => false);
  const live: Array<[number, number]> = [];
  for (const { kind, sizeBytes, pick, shift } of script) {
    const at = pick % Math.max(live.length, 1);
    if (kind === 'allocate') {
      const offset = allocator.allocate(sizeBytes, 16 << shift);
      expect(offset).toBe(expected(model, sizeBytes, 16 << shift));
      if (offset === undefined) continue;
      expect(isFree(model, offset, sizeBytes)).toBe(true);
      mark(model, offset, sizeBytes, true);
      live.push([offset, sizeBytes]);
    } else if (kind === 'release' && live.length > 0) {
      const [[offset, bytes]] = live.splice(at, 1) as [[number, number]];
      allocator.release(offset, bytes);
      mark(model, offset, bytes, false);
    } else {
      const offset = (pick % granules) * granuleBytes;
      const isUsed =
        model.slice(offset / 16, offset / 16 + Math.ceil(sizeBytes / 16)).every(Boolean) && offset + sizeBytes <= granules * 16;
      if (!isUsed) expectRefused(allocator, offset, sizeBytes);
    }
    allocator.checkIntegrity();
    expect(allocator.usedBytes).toBe(model.filter(Boolean).length * granuleBytes);
    expect(allocator.freeBytes).toBe(allocator.capacityBytes - allocator.usedBytes);
  }
  for (const [offset, bytes] of live) allocator.release(offset, bytes);
  expect(figures(allocator)).toEqual([0, granules * granuleBytes, granules * granuleBytes]);
  allocator.checkIntegrity();
}

describe(`against the model (SEED=${seed})`, () => {
  test('FreeListAllocator is best fit, and everything merges back to one block', () => {
    fc.assert(
      fc.property(steps, (script) => follow(new FreeListAllocator(granules * granuleBytes), script, bestFit)),
      { seed, numRuns: 500 },
    );
  });

  test('BumpAllocator only climbs, and starts again when empty', () => {
    fc.assert(
      fc.property(steps, (script) => {
        let top = 0;
        follow(new BumpAllocator(granules * granuleBytes), script, (model, sizeBytes, alignment) => {
          if (!model.some(Boolean)) top = 0;
          const offset = Math.ceil(top / alignment) * alignment;
          const limit = offset + Math.ceil(sizeBytes / 16) * 16;
          if (limit > granules * granuleBytes) return undefined;
          top = limit;
          return offset;
        });
      }),
      { seed, numRuns: 500 },
    );
  });
});
