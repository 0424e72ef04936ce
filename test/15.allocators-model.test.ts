/**
 * FreeListAllocator and BumpAllocator against a model that is one flag per granule.
 */
import fc from 'fast-check';
import { granuleBytes } from '../lib/base/segments';
import type { Allocator } from '../lib/space/allocator';
import { BumpAllocator } from '../lib/space/bump';
import { FreeListAllocator } from '../lib/space/free-list';
import { expectRefused, figures } from './support/allocators';
import { randomIntegers, seed } from './support/random';

const granules = 64;

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
