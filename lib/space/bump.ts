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
  /** While a call changes the bit map: where, and to what. */
  #pending: (Extent & { readonly isUsed: boolean }) | undefined;

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
    const limit = offset + bytes;
    if (limit > this.capacityBytes) return undefined;
    this.#pending = { base: offset, limit, isUsed: true };
    this.#mark(offset, limit, true);
    this.#top = limit;
    this.#usedBytes += bytes;
    this.#pending = undefined;
    return offset;
  }

  /** See Allocator; a part of what was handed out may be released alone. */
  release(offset: number, sizeBytes: number): void {
    this.#settle();
    const bytes = wholeGranules(sizeBytes);
    const limit = offset + bytes;
    const isGranule = Number.isSafeInteger(offset) && offset % granuleBytes === 0;
    if (!isGranule || !this.#granules.has(offset / granuleBytes, limit / granuleBytes)) throw notAllocated(offset, sizeBytes);
    this.#pending = { base: offset, limit, isUsed: false };
    this.#mark(offset, limit, false);
    this.#usedBytes -= bytes;
    if (this.#usedBytes === 0) this.#top = 0;
    this.#pending = undefined;
  }

  /** Begins again with exactly `used` handed out: ranges inside that don't overlap. */
  mend(used: readonly Extent[]): void {
    const extents = checkExtents(used, this.capacityBytes);
    this.#pending = undefined;
    this.#granules.clear();
    this.#top = 0;
    this.#usedBytes = 0;
    for (const { base, limit } of extents) {
      this.#mark(base, limit, true);
      this.#top = limit;
      this.#usedBytes += limit - base;
    }
  }

  /** Releases everything at once. */
  reset(): void {
    this.mend([]);
  }

  /** A full stack, or V8's end of execution, has left a call in the middle: it has changed nothing then (A4). */
  #settle(): void {
    if (this.#pending === undefined) return;
    const { base, limit, isUsed } = this.#pending;
    this.#mark(base, limit, !isUsed);
    this.#pending = undefined;
  }

  #mark(base: number, limit: number, isUsed: boolean): void {
    this.#granules.set(base / granuleBytes, limit / granuleBytes, isUsed);
  }

  /** Checks B1 to B3. */
  checkIntegrity(): void {
    this.#settle();
    const belowTop = this.#granules.count(this.#top / granuleBytes);
    assertInvariant('B1', this.#granules.count(this.capacityBytes / granuleBytes) === belowTop);
    assertInvariant('B2', belowTop * granuleBytes === this.#usedBytes);
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

  /** Sets all bits of the run, or clears them. */
  set(first: number, limit: number, isSet: boolean): void {
    for (let word = Math.floor(first / wordBits); word < Math.ceil(limit / wordBits); word++) {
      const before = this.#words[word] ?? 0;
      const mask = maskOf(word, first, limit);
      this.#words[word] = isSet ? before | mask : before & ~mask;
    }
  }

  /** Clears all bits. */
  clear(): void {
    this.#words.fill(0);
  }

  /** Whether all bits of the run are set. */
  has(first: number, limit: number): boolean {
    for (let word = Math.floor(first / wordBits); word < Math.ceil(limit / wordBits); word++) {
      const mask = maskOf(word, first, limit);
      if (((this.#words[word] ?? 0) & mask) !== mask) return false;
    }
    return true;
  }

  /** How many of the first bits, below `limit`, are set. */
  count(limit: number): number {
    let sum = 0;
    for (let word = 0; word < Math.ceil(limit / wordBits); word++) {
      sum += countBits((this.#words[word] ?? 0) & maskOf(word, 0, limit));
    }
    return sum;
  }
}
