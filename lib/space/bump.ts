/**
 * Bump allocation: one addition, and nothing is used again before everything is released. For nurseries.
 *
 * In and out: see allocator.ts. Always true, besides A1 to A4:
 *
 *   B1  nothing at or above `top` is handed out
 *   B2  the bit map has one bit for each granule handed out, and usedBytes counts them
 *   B3  when nothing is handed out, top is 0
 */
import { granuleBytes } from '../base/segments';
import {
  alignUp,
  assertInvariant,
  checkAlignment,
  checkCapacity,
  checkExtents,
  notAllocated,
  wholeGranules,
  type Allocator,
  type Extent,
} from './allocator';

/** An Allocator that hands out ascending offsets and starts again at 0 when everything has been released. */
export class BumpAllocator implements Allocator {
  /** Bytes in the range. */
  readonly capacityBytes: number;
  readonly #granules: BitMap;
  #top = 0;
  #usedBytes = 0;
  /** While a call changes the bit map: which granules, and whether they were handed out before. */
  #pending: { readonly first: number; readonly limit: number; readonly isUsed: boolean } | undefined;

  /** `sizeBytes`: an integer up to 2 GiB; what does not fill a granule is left out. Throws RangeError. */
  constructor(sizeBytes: number) {
    this.capacityBytes = checkCapacity(sizeBytes);
    this.#granules = new BitMap(this.capacityBytes / granuleBytes);
  }

  /** Bytes handed out and not released, in whole granules. */
  get usedBytes(): number {
    return this.#usedBytes;
  }

  /** Bytes not handed out; those below the top come back when everything is released. */
  get freeBytes(): number {
    return this.capacityBytes - this.#usedBytes;
  }

  /** Bytes from the top to the end. */
  get largestFreeBytes(): number {
    return this.capacityBytes - this.#top;
  }

  /** See Allocator. */
  allocate(sizeBytes: number, alignment: number): number | undefined {
    this.#settle();
    const bytes = wholeGranules(sizeBytes);
    checkAlignment(alignment);
    const offset = alignUp(this.#top, Math.max(alignment, granuleBytes));
    if (offset + bytes > this.capacityBytes) return undefined;
    this.#pending = { first: offset / granuleBytes, limit: (offset + bytes) / granuleBytes, isUsed: false };
    this.#granules.set(offset / granuleBytes, (offset + bytes) / granuleBytes);
    this.#top = offset + bytes;
    this.#usedBytes += bytes;
    this.#pending = undefined;
    return offset;
  }

  /** See Allocator; a part of what was handed out may be released alone. */
  release(offset: number, sizeBytes: number): void {
    this.#settle();
    const bytes = wholeGranules(sizeBytes);
    const isInside = Number.isSafeInteger(offset) && offset >= 0 && offset % granuleBytes === 0 && offset + bytes <= this.#top;
    if (!isInside || !this.#granules.has(offset / granuleBytes, (offset + bytes) / granuleBytes))
      throw notAllocated(offset, sizeBytes);
    this.#pending = { first: offset / granuleBytes, limit: (offset + bytes) / granuleBytes, isUsed: true };
    this.#granules.clear(offset / granuleBytes, (offset + bytes) / granuleBytes);
    this.#usedBytes -= bytes;
    if (this.#usedBytes === 0) this.#top = 0;
    this.#pending = undefined;
  }

  /** Begins again with exactly `used` handed out: ranges inside that don't overlap. */
  mend(used: readonly Extent[]): void {
    const extents = checkExtents(used, this.capacityBytes);
    this.#pending = undefined;
    this.#granules.clear(0, this.capacityBytes / granuleBytes);
    this.#top = 0;
    this.#usedBytes = 0;
    for (const { base, limit } of extents) {
      this.#granules.set(base / granuleBytes, limit / granuleBytes);
      this.#top = limit;
      this.#usedBytes += limit - base;
    }
  }

  /** A full stack, or V8's end of execution, has left a call in the middle: it has changed nothing then (A4). */
  #settle(): void {
    if (this.#pending === undefined) return;
    const { first, limit, isUsed } = this.#pending;
    if (isUsed) this.#granules.set(first, limit);
    else this.#granules.clear(first, limit);
    this.#pending = undefined;
  }

  /** Releases everything at once. */
  reset(): void {
    this.#settle();
    this.#granules.clear(0, this.#top / granuleBytes);
    this.#top = 0;
    this.#usedBytes = 0;
  }

  /** Checks B1 to B3. */
  checkIntegrity(): void {
    this.#settle();
    assertInvariant(
      'B1',
      this.#top <= this.capacityBytes && this.#granules.count(this.#top / granuleBytes, this.capacityBytes / granuleBytes) === 0,
    );
    assertInvariant('B2', this.#granules.count(0, this.#top / granuleBytes) * granuleBytes === this.#usedBytes);
    assertInvariant('B3', this.#usedBytes > 0 || this.#top === 0);
  }
}

const wordBits = 32;

/** The bits of word `word` that the run [first, limit) covers. */
function maskOf(word: number, first: number, limit: number): number {
  const low = Math.max(first - word * wordBits, 0);
  const width = Math.min(limit - word * wordBits, wordBits) - low;
  return width === wordBits ? -1 : ((1 << width) - 1) << low;
}

function countBits(word: number): number {
  let count = 0;
  for (let rest = word; rest !== 0; rest &= rest - 1) count++;
  return count;
}

/** Bits with operations on runs [first, limit), 32 bits at a time. */
class BitMap {
  readonly #words: Int32Array;

  constructor(bits: number) {
    this.#words = new Int32Array(Math.ceil(bits / wordBits));
  }

  set(first: number, limit: number): void {
    for (let word = Math.floor(first / wordBits); word * wordBits < limit; word++) {
      this.#words[word] = (this.#words[word] ?? 0) | maskOf(word, first, limit);
    }
  }

  clear(first: number, limit: number): void {
    for (let word = Math.floor(first / wordBits); word * wordBits < limit; word++) {
      this.#words[word] = (this.#words[word] ?? 0) & ~maskOf(word, first, limit);
    }
  }

  /** Whether all bits of the run are set. */
  has(first: number, limit: number): boolean {
    for (let word = Math.floor(first / wordBits); word * wordBits < limit; word++) {
      const mask = maskOf(word, first, limit);
      if (((this.#words[word] ?? 0) & mask) !== mask) return false;
    }
    return true;
  }

  /** How many bits of the run are set. */
  count(first: number, limit: number): number {
    let sum = 0;
    for (let word = Math.floor(first / wordBits); word * wordBits < limit; word++) {
      sum += countBits((this.#words[word] ?? 0) & maskOf(word, first, limit));
    }
    return sum;
  }
}
