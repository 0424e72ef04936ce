/**
 * FreeListAllocator and BumpAllocator: hand-made cases.
 */
import { granuleBytes } from '../lib/base/segments';
import { BumpAllocator } from '../lib/space/bump';
import { FreeListAllocator } from '../lib/space/free-list';
import { expectRefused, figures } from './support/allocators';

/** An allocator of `count` blocks of one granule each, all handed out. */
function filled(count: number): FreeListAllocator {
  const list = new FreeListAllocator(count * granuleBytes);
  for (let i = 0; i < count; i++) list.allocate(granuleBytes, 1);
  expect(figures(list)).toEqual([list.capacityBytes, 0, 0]);
  return list;
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
