/**
 * A call of an allocator that ends in the middle has changed nothing, and can be made again. What ends it is an error where it calls something of
 * JS's own; it stands for a full stack and for V8's end of execution, which come where a function begins.
 */
import { BumpAllocator } from '../lib/space/bump';
import { FreeListAllocator } from '../lib/space/free-list';

const granules = 128;

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
  'allocate all that is left': (each) => each.allocate(80 * 16, 16),
  'release beside nothing free': (each) => each.release(9 * 64, 64),
  'release after a free block': (each) => each.release(7 * 64, 64),
  'release before a free block': (each) => each.release(2 * 64, 64),
  'release between free blocks': (each) => each.release(5 * 64, 64),
  'release several': (each) => each.release(7 * 64, 5 * 64),
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

/** What both call in the middle of a change. */
const inner = [
  [Math, 'max'],
  [Array.prototype, 'splice'],
] as unknown as ReadonlyArray<readonly [Record<string, unknown>, string]>;

/** Runs it with an error at the `count`th inner call; whether it got so far. */
function endsAt(count: number, run: () => unknown): boolean {
  let left = count;
  const originals = inner.map(([object, name]) => object[name] as (...values: unknown[]) => unknown);
  inner.forEach(([object, name], i) => {
    object[name] = function (this: unknown, ...values: unknown[]): unknown {
      if (--left < 0) throw new RangeError('ended');
      return originals[i]!.apply(this, values);
    };
  });
  try {
    run();
    return false;
  } catch (error) {
    if ((error as Error).message !== 'ended') throw error;
    return true;
  } finally {
    inner.forEach(([object, name], i) => (object[name] = originals[i]));
  }
}

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
    for (
      let allocator = prepare(AllocatorClass);
      endsAt(count, () => run(allocator));
      count++, allocator = prepare(AllocatorClass)
    ) {
      const repeated = prepare(AllocatorClass);
      endsAt(count, () => run(repeated));
      expect(run(repeated)).toBe(result);
      repeated.checkIntegrity();
      expect(takeBack(repeated)).toBe(after);
      expect(figures(allocator)).toEqual(before);
      allocator.checkIntegrity();
      expect(takeBack(allocator)).toBe(prepared);
    }
    expect(count).toBeGreaterThan(1);
  });

  test.each(Object.entries(operations))('mend forgets what was ended: %s', (__, run) => {
    for (let count = 0; count < 8; count++) {
      const allocator = prepare(AllocatorClass);
      endsAt(count, () => run(allocator));
      allocator.mend([{ base: 16, limit: 48 }]);
      allocator.checkIntegrity();
      expect(allocator.usedBytes).toBe(32);
      expect(takeBack(allocator)).toBe('.##'.padEnd(granules, '.'));
    }
  });
});
