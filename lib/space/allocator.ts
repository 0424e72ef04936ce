/**
 * What an allocator is: it hands out offsets in a range of memory that it never touches.
 *
 * In: sizes and alignments in bytes. Out: byte offsets from the range's base. Always true, of every allocator here:
 *
 *   A1  what is handed out lies in [0, capacityBytes), at a multiple of its alignment and of the granule
 *   A2  what is handed out and not released does not overlap
 *   A3  usedBytes + freeBytes = capacityBytes
 *   A4  a call that fails changes nothing
 */
import { granuleBytes } from '../base/segments';

/** The largest range: offsets in an arena are below 2 GiB. */
export const maximumCapacityBytes = 2 ** 31;

/** Bytes from base to limit (excluded). */
export interface Extent {
  readonly base: number;
  readonly limit: number;
}

/** Hands out offsets in the range [0, capacityBytes). All numbers are bytes. */
export interface Allocator {
  readonly capacityBytes: number;
  /** Handed out and not released, in whole granules. */
  readonly usedBytes: number;
  /** Everything else; with a BumpAllocator not all of it can be handed out now. */
  readonly freeBytes: number;
  /** The largest request that would succeed now, at an alignment of one granule. */
  readonly largestFreeBytes: number;
  /** An offset that is a multiple of `alignment`, or undefined if no free block is large enough. Throws RangeError for nonsense. */
  allocate(sizeBytes: number, alignment: number): number | undefined;
  /** Gives back what `allocate` handed out for `sizeBytes`. Throws RangeError if any of it is not handed out. */
  release(offset: number, sizeBytes: number): void;
  /** Begins again with exactly `used` handed out: ranges inside that don't overlap, in any order; whole granules count as used. Throws RangeError. */
  mend(used: readonly Extent[]): void;
  /** Throws an Error that names the invariant if the allocator has damaged itself. */
  checkIntegrity(): void;
}

/** Whole granules for `sizeBytes`. Throws RangeError unless it is a positive integer. */
export function wholeGranules(sizeBytes: number): number {
  if (!Number.isSafeInteger(sizeBytes) || sizeBytes <= 0)
    throw new RangeError(`a size must be a positive integer, not ${sizeBytes}`);
  return Math.ceil(sizeBytes / granuleBytes) * granuleBytes;
}

/** The first multiple of `alignment` from `offset` on. */
export function alignUp(offset: number, alignment: number): number {
  return Math.ceil(offset / alignment) * alignment;
}

/** Throws RangeError unless `alignment` is a power of two. */
export function checkAlignment(alignment: number): void {
  const isPower =
    Number.isSafeInteger(alignment) && alignment > 0 && alignment <= maximumCapacityBytes && (alignment & (alignment - 1)) === 0;
  if (!isPower) throw new RangeError(`an alignment must be a power of two, not ${alignment}`);
}

/** Returns the whole granules in `sizeBytes`. Throws RangeError unless it is an integer from 0 to 2 GiB. */
export function checkCapacity(sizeBytes: number): number {
  if (!Number.isSafeInteger(sizeBytes) || sizeBytes < 0 || sizeBytes > maximumCapacityBytes) {
    throw new RangeError(`an allocator's size must be an integer from 0 to ${maximumCapacityBytes}, not ${sizeBytes}`);
  }
  return sizeBytes - (sizeBytes % granuleBytes);
}

/** Ranges in the order of their addresses, as whole granules. Throws RangeError if one lies outside or two overlap. */
export function checkExtents(used: readonly Extent[], capacityBytes: number): Extent[] {
  const sorted = used.map(({ base, limit }) => ({ base, limit: alignUp(limit, granuleBytes) })).sort((a, b) => a.base - b.base);
  let end = 0;
  for (const { base, limit } of sorted) {
    const isRight =
      Number.isSafeInteger(base) && base % granuleBytes === 0 && base >= end && limit > base && limit <= capacityBytes;
    if (!isRight) throw new RangeError(`${base} to ${limit} is not a range within ${end} to ${capacityBytes}`);
    end = limit;
  }
  return sorted;
}

/** The error for releasing what is not handed out. */
export function notAllocated(offset: number, sizeBytes: number): RangeError {
  return new RangeError(`${sizeBytes} bytes at offset ${offset} are not allocated`);
}

/** Throws an Error naming `invariant` unless `holds`. */
export function assertInvariant(invariant: string, holds: unknown): void {
  if (holds !== true) throw new Error(`allocator damaged: ${invariant}`);
}
