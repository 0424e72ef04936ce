/**
 * What tests ask of allocators.
 *
 * In: an allocator. Out: its figures. Always true: what is refused has changed none of them.
 */
import type { Allocator } from '../../lib/space/allocator';

/** Bytes: used, free, and the most that are free in one piece. */
export function figures({ usedBytes, freeBytes, largestFreeBytes }: Allocator): number[] {
  return [usedBytes, freeBytes, largestFreeBytes];
}

/** Expects `release` to fail and to change nothing. */
export function expectRefused(allocator: Allocator, offset: number, sizeBytes: number): void {
  const before = figures(allocator);
  expect(() => allocator.release(offset, sizeBytes)).toThrow(RangeError);
  expect(figures(allocator)).toEqual(before);
  allocator.checkIntegrity();
}
