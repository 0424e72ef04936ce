/**
 * GapAllocator against hand-made cases and a model that is one flag for each granule.
 */
import { GapAllocator, type Extent } from '../lib/collector/gap-allocator';
import { randomIntegers, seed } from './support/random';

const granules = 64;
const capacity = granules * 16;

describe('by hand', () => {
  test('a new one is all free, and ends at its last byte', () => {
    const gaps = new GapAllocator(64);
    expect(gaps.freeExtents()).toEqual([{ base: 0, limit: 64 }]);
    expect([gaps.allocate(20, 1), gaps.allocate(33, 1), gaps.allocate(32, 1), gaps.allocate(1, 1)]).toEqual([
      0,
      undefined,
      32,
      undefined,
    ]);
    expect(gaps.freeExtents()).toEqual([]);
    expect(gaps.capacityBytes).toBe(64);
  });

  test('goes around obstacles, whose ends are inside of granules', () => {
    const gaps = new GapAllocator(160);
    gaps.reset([
      { base: 32, limit: 40 },
      { base: 64, limit: 81 },
    ]);
    expect(gaps.freeExtents()).toEqual([
      { base: 0, limit: 32 },
      { base: 48, limit: 64 },
      { base: 96, limit: 160 },
    ]);
    expect([16, 16, 16, 16].map((bytes) => gaps.allocate(bytes, 16))).toEqual([0, 16, 48, 96]);
  });

  test('what it skips for an alignment, or because it is too small, is free but not handed out', () => {
    const gaps = new GapAllocator(256);
    gaps.reset([{ base: 48, limit: 64 }]);
    expect(gaps.allocate(16, 32)).toBe(0);
    expect(gaps.allocate(48, 16)).toBe(64);
    expect(gaps.allocate(16, 64)).toBe(128);
    expect(gaps.allocate(16, 1)).toBe(144);
    expect(gaps.freeExtents()).toEqual([
      { base: 16, limit: 48 },
      { base: 112, limit: 128 },
      { base: 160, limit: 256 },
    ]);
  });

  test('a request that nothing can hold leaves it where it is', () => {
    const gaps = new GapAllocator(128);
    gaps.reset([{ base: 32, limit: 64 }]);
    expect([gaps.fits(65, 1), gaps.allocate(65, 1), gaps.allocate(65, 32)]).toEqual([false, undefined, undefined]);
    expect([gaps.fits(64, 128), gaps.allocate(64, 128)]).toEqual([false, undefined]);
    expect(gaps.allocate(16, 1)).toBe(0);
  });

  test('with an obstacle as large as the range there is nothing', () => {
    const gaps = new GapAllocator(64);
    gaps.reset([{ base: 0, limit: 64 }]);
    expect([gaps.freeExtents(), gaps.fits(1, 1), gaps.allocate(1, 1), gaps.allocate(1, 32)]).toEqual([
      [],
      false,
      undefined,
      undefined,
    ]);
    gaps.reset([]);
    expect(gaps.allocate(64, 1)).toBe(0);
  });
});

/** True: an obstacle is there, or it was handed out. */
interface Model {
  used: boolean[];
  /** Nothing below is handed out any more. */
  next: number;
}

function placeIn({ used, next }: Model, bytes: number, alignment: number): number | undefined {
  const step = Math.max(alignment, 16);
  for (let offset = Math.ceil(next / step) * step; offset + bytes <= capacity; offset += step)
    if (!used.slice(offset / 16, Math.ceil((offset + bytes) / 16)).includes(true)) return offset;
  return undefined;
}

function take(model: Model, offset: number, bytes: number): void {
  model.next = Math.ceil((offset + bytes) / 16) * 16;
  model.used.fill(true, offset / 16, model.next / 16);
}

function freeRuns({ used }: Model): Extent[] {
  const ends = [...used, true].flatMap((each, i) => (each !== (used[i - 1] ?? true) ? [i * 16] : []));
  return ends.flatMap((base, i) => (i % 2 === 0 ? [{ base, limit: ends[i + 1]! }] : []));
}

function obstaclesFor(random: (limit: number) => number): Extent[] {
  const obstacles: Extent[] = [];
  for (let granule = random(8); granule < granules; granule += random(12)) {
    const length = 1 + random(4);
    obstacles.push({ base: granule * 16, limit: Math.min(capacity, (granule + length) * 16 - random(16)) });
    granule += length;
  }
  return obstacles;
}

test(`does what the model says (SEED=${seed})`, () => {
  const random = randomIntegers();
  const gaps = new GapAllocator(capacity);
  const copyOf = ({ used, next }: Model): Model => ({ used: [...used], next });
  for (let run = 0; run < 60; run++) {
    const model: Model = { used: Array<boolean>(granules).fill(false), next: 0 };
    const obstacles = obstaclesFor(random);
    gaps.reset(obstacles);
    for (const { base, limit } of obstacles) take(model, base, limit - base);
    model.next = 0;
    let marked = { mark: gaps.mark(), model: copyOf(model) };
    for (let step = 0; step < 40; step++) {
      const [bytes, alignment] = [1 + random(90), 2 ** random(9)];
      const offset = placeIn(model, bytes, alignment);
      expect([step, bytes, alignment, gaps.fits(bytes, alignment)]).toEqual([step, bytes, alignment, offset !== undefined]);
      if (random(4) > 0) {
        expect([step, bytes, alignment, gaps.allocate(bytes, alignment)]).toEqual([step, bytes, alignment, offset]);
        if (offset !== undefined) take(model, offset, bytes);
      }
      if (random(8) === 0) marked = { mark: gaps.mark(), model: copyOf(model) };
      if (random(8) === 0) {
        gaps.rewind(marked.mark);
        Object.assign(model, copyOf(marked.model));
      }
      expect(gaps.freeExtents()).toEqual(freeRuns(model));
    }
  }
});
