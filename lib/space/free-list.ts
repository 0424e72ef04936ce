/**
 * Best fit over an address-ordered, coalescing free list.
 *
 * In and out: see allocator.ts. Always true, besides A1 to A4:
 *
 *   F1  free blocks are whole granules, inside the range, not empty
 *   F2  free blocks ascend by address, and between any two of them something is allocated (all neighbours have coalesced)
 *   F3  the two orders hold the same blocks
 *   F4  freeBytes is the sum of the free blocks
 *
 * Only free blocks are recorded: an allocation costs no memory here.
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
import { SortedList } from './sorted-list';

/** The free bytes from base to limit (excluded). */
interface FreeBlock {
  base: number;
  limit: number;
}

/** With coarse alignments, try this many best fits before taking a block that is certainly large enough. */
const alignmentTries = 64;

const byAddress = (a: FreeBlock, b: FreeBlock): number => a.base - b.base;
const bySize = (a: FreeBlock, b: FreeBlock): number => a.limit - a.base - (b.limit - b.base) || a.base - b.base;

/** An Allocator that takes the smallest free block that suffices, of equal ones the lowest; about log n per call. */
export class FreeListAllocator implements Allocator {
  /** Bytes in the range. */
  readonly capacityBytes: number;
  #byAddress = new SortedList<FreeBlock>(byAddress);
  #bySize = new SortedList<FreeBlock>(bySize);
  #freeBytes: number;
  /** While a call changes the lists: what it is about, whether that was free before, and what was free beside it. */
  #pending: (Extent & { readonly isFree: boolean; readonly beside: readonly Extent[] }) | undefined;

  /** `sizeBytes`: an integer up to 2 GiB; what does not fill a granule is left out. Throws RangeError. */
  constructor(sizeBytes: number) {
    this.capacityBytes = checkCapacity(sizeBytes);
    this.#freeBytes = this.capacityBytes;
    if (this.capacityBytes > 0) this.#insert({ base: 0, limit: this.capacityBytes });
  }

  /** An allocator in which all but `free` is handed out; the extents ascend, are whole granules, and don't touch. */
  static withFree(sizeBytes: number, free: ReadonlyArray<Readonly<FreeBlock>>): FreeListAllocator {
    const allocator = new FreeListAllocator(sizeBytes);
    allocator.#fill(free.map(({ base, limit }) => ({ base, limit })));
    return allocator;
  }

  /** Begins again with exactly `used` handed out: ranges inside that don't overlap, in any order. */
  mend(used: readonly Extent[]): void {
    this.#fill(gapsBetween(checkExtents(used, this.capacityBytes), this.capacityBytes));
  }

  #fill(free: readonly FreeBlock[]): void {
    this.#byAddress = new SortedList<FreeBlock>(byAddress);
    this.#bySize = new SortedList<FreeBlock>(bySize);
    for (const block of free) this.#insert(block);
    this.#freeBytes = free.reduce((sum, { base, limit }) => sum + limit - base, 0);
    this.#pending = undefined;
  }

  /** A full stack, or V8's end of execution, has left a call in the middle: it has changed nothing then (A4). */
  #settle(): void {
    if (this.#pending === undefined) return;
    const { base, limit, isFree, beside } = this.#pending;
    const known = [...this.#byAddress, ...this.#bySize, ...beside];
    const outside = known.flatMap((each) => [
      { base: each.base, limit: Math.min(each.limit, base) },
      { base: Math.max(each.base, limit), limit: each.limit },
    ]);
    this.#fill(united(isFree ? [...outside, { base, limit }] : outside));
  }

  /** Bytes handed out, in whole granules. */
  get usedBytes(): number {
    this.#settle();
    return this.capacityBytes - this.#freeBytes;
  }

  /** Bytes in free blocks. */
  get freeBytes(): number {
    this.#settle();
    return this.#freeBytes;
  }

  /** Bytes in the largest free block. */
  get largestFreeBytes(): number {
    this.#settle();
    const largest = this.#bySize.last;
    return largest === undefined ? 0 : largest.limit - largest.base;
  }

  /** See Allocator. */
  allocate(sizeBytes: number, alignment: number): number | undefined {
    this.#settle();
    const bytes = wholeGranules(sizeBytes);
    checkAlignment(alignment);
    const step = Math.max(alignment, granuleBytes);
    const block = this.#smallest(bytes, step);
    if (block === undefined) return undefined;
    const offset = alignUp(block.base, step);
    this.#pending = { base: block.base, limit: block.limit, isFree: true, beside: [] };
    this.#carve(block, offset, offset + bytes);
    this.#freeBytes -= bytes;
    this.#pending = undefined;
    return offset;
  }

  /** Whether `allocate` would find a block. */
  fits(sizeBytes: number, alignment: number): boolean {
    this.#settle();
    return this.#smallest(wholeGranules(sizeBytes), Math.max(alignment, granuleBytes)) !== undefined;
  }

  /** See Allocator; a part of what was handed out may be released alone. */
  release(offset: number, sizeBytes: number): void {
    this.#settle();
    const bytes = wholeGranules(sizeBytes);
    const limit = offset + bytes;
    if (!Number.isSafeInteger(offset) || offset % granuleBytes !== 0) throw notAllocated(offset, sizeBytes);
    const probe = { base: offset, limit };
    const before = this.#byAddress.below(probe);
    const after = this.#byAddress.ceiling(probe);
    const isUsed = offset >= (before?.limit ?? 0) && limit <= (after?.base ?? this.capacityBytes);
    if (!isUsed) throw notAllocated(offset, sizeBytes);
    const beside = [before, after].flatMap((block) => (block === undefined ? [] : [{ ...block }]));
    this.#pending = { base: offset, limit, isFree: false, beside };
    this.#coalesce(before, { base: offset, limit }, after);
    this.#freeBytes += bytes;
    this.#pending = undefined;
  }

  /** Checks F1 to F4. */
  checkIntegrity(): void {
    this.#settle();
    let previousLimit = -1;
    let sum = 0;
    for (const { base, limit } of this.#byAddress) {
      assertInvariant(
        'F1',
        base >= 0 && base < limit && limit <= this.capacityBytes && base % granuleBytes === 0 && limit % granuleBytes === 0,
      );
      assertInvariant('F2', base > previousLimit);
      previousLimit = limit;
      sum += limit - base;
    }
    const addresses = new Set(this.#byAddress);
    const sizes = [...this.#bySize];
    assertInvariant('F3', sizes.length === addresses.size && sizes.every((block) => addresses.has(block)));
    assertInvariant(
      'F3',
      sizes.every((block, i) => i === 0 || bySize(sizes[i - 1] ?? block, block) < 0),
    );
    assertInvariant('F4', sum === this.#freeBytes);
  }

  /** The smallest block that suffices from its first aligned offset on. With many that don't, a larger one that certainly does; finds one if there is one. */
  #smallest(bytes: number, alignment: number): FreeBlock | undefined {
    const probe = { base: 0, limit: bytes };
    const suffices = ({ base, limit }: FreeBlock): boolean => alignUp(base, alignment) + bytes <= limit;
    return (
      this.#bySize.find(probe, suffices, alignmentTries) ??
      this.#bySize.ceiling({ base: 0, limit: bytes + alignment - granuleBytes }) ??
      this.#bySize.find(probe, suffices, Infinity)
    );
  }

  /** Takes [base, limit) out of `block`. */
  #carve(block: FreeBlock, base: number, limit: number): void {
    this.#bySize.delete(block);
    const end = block.limit;
    if (block.base < base) {
      block.limit = base;
      this.#bySize.add(block);
      if (limit < end) this.#insert({ base: limit, limit: end });
    } else if (limit < end) {
      block.base = limit; // its place in the address order stays the same
      this.#bySize.add(block);
    } else {
      this.#byAddress.delete(block);
    }
  }

  /** Frees `block`, which lies between its free neighbours, and merges it with those that it touches. */
  #coalesce(before: FreeBlock | undefined, block: FreeBlock, after: FreeBlock | undefined): void {
    const joinsBefore = before?.limit === block.base;
    const joinsAfter = after?.base === block.limit;
    if (joinsBefore && joinsAfter) {
      this.#byAddress.delete(after);
      this.#bySize.delete(after);
      this.#resize(before, before.base, after.limit);
    } else if (joinsBefore) this.#resize(before, before.base, block.limit);
    else if (joinsAfter) this.#resize(after, block.base, after.limit);
    else this.#insert(block);
  }

  /** Changes a block within the gap between its neighbours, so that the address order stays the same. */
  #resize(block: FreeBlock, base: number, limit: number): void {
    this.#bySize.delete(block);
    block.base = base;
    block.limit = limit;
    this.#bySize.add(block);
  }

  #insert(block: FreeBlock): void {
    this.#byAddress.add(block);
    this.#bySize.add(block);
  }
}

/** What lies between ascending ranges, from 0 to `capacity`. */
function gapsBetween(used: readonly Extent[], capacity: number): FreeBlock[] {
  const gaps: FreeBlock[] = [];
  let base = 0;
  for (const each of used) {
    if (base < each.base) gaps.push({ base, limit: each.base });
    base = each.limit;
  }
  if (base < capacity) gaps.push({ base, limit: capacity });
  return gaps;
}

/** The same bytes as blocks that ascend and don't touch; empty ones are left out. */
function united(blocks: readonly Extent[]): FreeBlock[] {
  const result: FreeBlock[] = [];
  for (const { base, limit } of blocks.filter((each) => each.base < each.limit).sort((a, b) => a.base - b.base)) {
    const last = result.at(-1);
    if (last === undefined || base > last.limit) result.push({ base, limit });
    else last.limit = Math.max(last.limit, limit);
  }
  return result;
}
