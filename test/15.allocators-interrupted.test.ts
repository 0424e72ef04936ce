/**
 * A full stack anywhere in an allocator: the call that it ends has changed nothing, and can be made again.
 */
import { setFlagsFromString } from 'node:v8';
import { BumpAllocator } from '../lib/space/bump';
import { FreeListAllocator } from '../lib/space/free-list';
import { deepest, pads, overflows } from './support/full-stack';

// V8 looks at the stack where a function begins: optimised code, which has its callees inside, is all run or not at all.
beforeAll(() => setFlagsFromString('--no-opt'));
afterAll(() => setFlagsFromString('--opt'));

const granules = 64;

/** 12 blocks of 4 granules, of which the second, fourth, fifth and seventh are free again. */
function prepare(AllocatorClass: new (sizeBytes: number) => FreeListAllocator | BumpAllocator) {
  const allocator = new AllocatorClass(granules * 16);
  for (let i = 0; i < 12; i++) allocator.allocate(64, 16);
  for (const block of [1, 3, 4, 6]) allocator.release(block * 64, 64);
  return allocator;
}

type Allocator = ReturnType<typeof prepare>;

const operations: Record<string, (allocator: Allocator) => unknown> = {
  'allocate a whole block': (each) => each.allocate(64, 16),
  'allocate a part of a block': (each) => each.allocate(16, 16),
  'allocate in the middle of a block': (each) => each.allocate(32, 128),
  'release beside nothing free': (each) => each.release(9 * 64, 64),
  'release after a free block': (each) => each.release(7 * 64, 64),
  'release before a free block': (each) => each.release(2 * 64, 64),
  'release between free blocks': (each) => each.release(5 * 64, 64),
  'release a part': (each) => each.release(9 * 64 + 16, 32),
};

function figures({ usedBytes, freeBytes, largestFreeBytes }: Allocator): number[] {
  return [usedBytes, freeBytes, largestFreeBytes];
}

function isUsed(allocator: Allocator, granule: number): boolean {
  try {
    allocator.release(granule * 16, 16);
    return true;
  } catch {
    return false;
  }
}

/** Which granules are handed out; they are not any more then. */
function takeBack(allocator: Allocator): string {
  return Array.from({ length: granules }, (_, granule) => (isUsed(allocator, granule) ? '#' : '.')).join('');
}

/** What is at `prepare`, by hand. */
const prepared = '####....####........####....####################'.padEnd(granules, '.');

describe.each([
  ['FreeListAllocator', FreeListAllocator],
  ['BumpAllocator', BumpAllocator],
])('%s', (_, AllocatorClass) => {
  test.each(Object.entries(operations))('%s', (__, run) => {
    const whole = prepare(AllocatorClass);
    const before = figures(whole);
    const result = run(whole);
    const after = takeBack(whole);
    let count = 0;
    for (const pad of pads) {
      const limit = deepest();
      for (let depth = limit; ; depth--) {
        const allocator = prepare(AllocatorClass);
        if (!overflows(depth, pad, () => run(allocator))) break;
        allocator.checkIntegrity();
        expect(figures(allocator)).toEqual(before);
        if (count++ % 2 === 0) {
          expect(takeBack(allocator)).toBe(prepared);
        } else {
          expect(run(allocator)).toBe(result);
          allocator.checkIntegrity();
          expect(takeBack(allocator)).toBe(after);
        }
      }
    }
    expect(count).toBeGreaterThan(1);
  });

  test('mend forgets the call that was ended', () => {
    for (const pad of pads) {
      const limit = deepest();
      for (let depth = limit, isOver = true; isOver; depth--) {
        const allocator = prepare(AllocatorClass);
        isOver = overflows(depth, pad, () => allocator.allocate(64, 16));
        allocator.mend([{ base: 16, limit: 48 }]);
        allocator.checkIntegrity();
        expect(allocator.usedBytes).toBe(32);
        expect(takeBack(allocator)).toBe('.##'.padEnd(granules, '.'));
      }
    }
  });
});
