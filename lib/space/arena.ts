/**
 * The arena of one Jit, and its regions.
 *
 * In: sizes. Out: regions, with a range in each of the arena's three ranges. Always true: regions don't overlap; what is in none of them is free.
 */
import { SpaceFullError } from '../base/errors';
import { perSegment, segmentNames, type OffsetRange, type PerSegment, type SegmentName } from '../base/segments';
import type { Handle, NativeJit } from '../base/native';
import type { Allocator } from './allocator';
import { BumpAllocator } from './bump';
import { FreeListAllocator } from './free-list';
import { Reservations } from './reservations';

/** How a region hands out its memory. */
export type AllocationPolicy = 'free-list' | 'bump';

/** Ranges of regions are whole pages ... */
const pageBytes = 4096;
/** ... and begin at multiples of the coarsest alignment that a segment may ask for. */
const regionAlignment = 65536;

/** A part of an arena. */
export class Region {
  readonly arena: Arena;
  readonly ranges: PerSegment<OffsetRange>;
  readonly allocators: PerSegment<Allocator>;
  /** The allocators' numbers in the arena's reservations. */
  readonly numbers: PerSegment<number>;
  /** Whether its owner alone places code objects there: users can look at its space, and nothing else. */
  readonly isOwned: boolean;
  /** What users see of it: its CodeSpace. Missing until it is made. */
  space: object | undefined;
  isDisposed = false;

  constructor(arena: Arena, ranges: PerSegment<OffsetRange>, policy: AllocationPolicy, isOwned: boolean) {
    const AllocatorClass = policy === 'bump' ? BumpAllocator : FreeListAllocator;
    this.arena = arena;
    this.ranges = ranges;
    this.isOwned = isOwned;
    this.allocators = perSegment((name) => new AllocatorClass(sizeOf(ranges[name])));
    this.numbers = perSegment((name) => arena.reservations.register(this.allocators[name]));
  }
}

/** What of an arena's ranges belongs to regions, and what code objects have reserved in those. */
export class Arena {
  readonly reservations = new Reservations();
  /** Regions whose owner is being made: if that is interrupted, they have no owner. */
  unfinished: Region[] = [];
  readonly #free: PerSegment<FreeListAllocator>;
  readonly #regions = new Set<Region>();

  constructor({ rangeBytes }: NativeJit) {
    this.#free = perSegment((_, index) => new FreeListAllocator(rangeBytes[index] ?? 0));
  }

  get regions(): Iterable<Region> {
    return this.#regions;
  }

  /** The largest range that a region could get. */
  largestFreeBytes(name: SegmentName): number {
    return this.#free[name].largestFreeBytes;
  }

  /** Takes a region; `sizes` are rounded up to whole pages. Throws SpaceFullError; then nothing has changed. */
  carve(sizes: PerSegment<number>, policy: AllocationPolicy, isOwned: boolean): Region {
    const region = new Region(this, this.#takeRanges(sizes), policy, isOwned);
    this.#regions.add(region);
    return region;
  }

  /** Takes a region back in which nothing is reserved. */
  giveBack(region: Region): void {
    region.isDisposed = true;
    this.#regions.delete(region);
    for (const name of segmentNames) this.reservations.unregister(region.numbers[name]);
    this.#returnRanges(region.ranges);
  }

  /** The region that has `offset` of one of the arena's ranges. */
  regionAt(name: SegmentName, offset: number): Region | undefined {
    for (const region of this.#regions) {
      const { base, limit } = region.ranges[name];
      if (offset >= base && offset < limit) return region;
    }
    return undefined;
  }

  /** A change was left in the middle: regions that have an owner and are not disposed stay, with what live code objects have there. */
  mend(isLive: (handle: Handle) => boolean): void {
    for (const region of this.#regions) if (region.isDisposed || region.space === undefined) this.#regions.delete(region);
    const regions = [...this.#regions];
    this.reservations.mend(
      regions.flatMap(({ numbers }) => segmentNames.map((name) => numbers[name])),
      isLive,
    );
    for (const name of segmentNames)
      this.#free[name].mend(regions.map(({ ranges }) => ranges[name]).filter((range) => sizeOf(range) > 0));
  }

  /** The Jit is disposed. */
  clear(): void {
    for (const region of this.#regions) region.isDisposed = true;
    this.#regions.clear();
  }

  /** All of them, or none. */
  #takeRanges(sizes: PerSegment<number>): PerSegment<OffsetRange> {
    const ranges = { code: { base: 0, limit: 0 }, constants: { base: 0, limit: 0 }, data: { base: 0, limit: 0 } };
    for (const name of segmentNames) {
      const bytes = Math.ceil(sizes[name] / pageBytes) * pageBytes;
      if (bytes === 0) continue;
      const base = this.#free[name].allocate(bytes, regionAlignment);
      if (base === undefined) {
        this.#returnRanges(ranges);
        throw full(`the arena has no room for a space's ${name}`, bytes, this.largestFreeBytes(name));
      }
      ranges[name] = { base, limit: base + bytes };
    }
    return ranges;
  }

  #returnRanges(ranges: PerSegment<OffsetRange>): void {
    for (const name of segmentNames) {
      if (sizeOf(ranges[name]) > 0) this.#free[name].release(ranges[name].base, sizeOf(ranges[name]));
    }
  }
}

/** Bytes of a range. */
export function sizeOf({ base, limit }: OffsetRange): number {
  return limit - base;
}

/** The error for a request that no free block can hold. */
export function full(what: string, requestedBytes: number, largestFreeBytes: number): SpaceFullError {
  const message = `${what}: ${requestedBytes} bytes requested, the largest free block has ${largestFreeBytes}`;
  return new SpaceFullError(message, { requestedBytes, largestFreeBytes });
}
