/**
 * Two halves of code space: code objects are in one of them, and a collection evacuates them to the other.
 *
 * In: sizes. Out: offsets in the arena's code range. Always true: new places come from the active half; what could not be moved is left in
 * the other one, and is an obstacle when that becomes active again.
 *
 * The nursery is filled in ascending order. The old generation reuses what dies in it, so between collections it has a free list.
 */
import type { JitCore } from '../jit/core';
import { granuleBytes } from '../base/segments';
import { alignUp } from '../space/allocator';
import { FreeListAllocator } from '../space/free-list';
import type { Region } from '../space/arena';
import { makeOwnedRegion } from '../space/code-space';
import { disposeRegion } from '../space/reserve';
import { GapAllocator, type Extent } from './gap-allocator';
import { placeOf, type GenerationIndex, type Managed, type Place } from './managed';

/** One half: its region, and where that begins in the arena's code range. */
interface Half {
  readonly region: Region;
  readonly base: number;
  readonly gaps: GapAllocator;
}

/** One generation. */
export class Generation {
  readonly #core: JitCore;
  readonly index: GenerationIndex;
  readonly bytes: number;
  readonly #halves: readonly [Half, Half];
  #active: 0 | 1 = 0;
  /** Of the active half of the old generation, except while it is evacuated. */
  #freeList: FreeListAllocator | undefined;
  /** What is released now is found when everything is evacuated. */
  #isEnding = false;

  /** Throws SpaceFullError if the arena has no room for it. */
  constructor(core: JitCore, index: GenerationIndex, bytes: number) {
    this.#core = core;
    this.index = index;
    this.bytes = bytes;
    const half = (): Half => {
      const region = makeOwnedRegion(core, { code: bytes, constants: 0, data: 0 });
      return { region, base: region.ranges.code.base, gaps: new GapAllocator(bytes) };
    };
    const first = half();
    try {
      this.#halves = [first, half()];
    } catch (error) {
      disposeRegion(core, first.region);
      throw error;
    }
    if (index === 1) this.#freeList = new FreeListAllocator(bytes);
  }

  /** Where new code objects go. */
  get activePlace(): Place {
    return placeOf(this.index, this.#active);
  }

  /** Where `evacuate` left some. */
  get otherPlace(): Place {
    return placeOf(this.index, 1 - this.#active);
  }

  /** A place in the active half, or undefined. */
  allocate(bytes: number, alignment: number): number | undefined {
    const { base, gaps } = this.#halves[this.#active];
    const offset =
      this.#freeList === undefined
        ? gaps.allocate(bytes, alignment)
        : this.#freeList.allocate(bytes, Math.max(alignment, granuleBytes));
    return offset === undefined ? undefined : base + offset;
  }

  /** Whether `allocate` would find one. */
  fits(bytes: number, alignment: number): boolean {
    return (this.#freeList ?? this.#halves[this.#active].gaps).fits(bytes, Math.max(alignment, granuleBytes));
  }

  /** The place of the half that has an offset, or undefined. */
  placeAt(offset: number): Place | undefined {
    const half = this.#halves.findIndex(({ base }) => offset >= base && offset < base + this.bytes);
    return half < 0 ? undefined : placeOf(this.index, half);
  }

  /** A change was left in the middle: what `managed` says of `handles` is used, and all else is free. */
  mend(managed: Managed, handles: Int32Array): void {
    const { gaps, base } = this.#halves[this.#active];
    gaps.reset(obstacles(managed, handles, this.activePlace, base));
    if (this.index === 1) this.settle();
  }

  /** Gives back what `allocate` gave, if it can be had again before the next evacuation. */
  release(offset: number, bytes: number): void {
    const { base } = this.#halves[this.#active];
    if (!this.#isEnding && this.#freeList !== undefined && offset >= base && offset < base + this.bytes)
      this.#freeList.release(offset - base, bytes);
  }

  /** A `flip` will follow: until then what is released need not be had again. */
  prepareFlip(): void {
    this.#isEnding = true;
  }

  /** Makes the other half active. `managed` knows what is still there. */
  flip(managed: Managed, handles: Int32Array): void {
    this.#active = this.#active === 0 ? 1 : 0;
    this.#freeList = undefined;
    const half = this.#halves[this.#active];
    half.gaps.reset(obstacles(managed, handles, this.activePlace, half.base));
  }

  /** The evacuation is over. */
  settle(): void {
    if (this.index === 0) return;
    this.#isEnding = false;
    this.#freeList = FreeListAllocator.withFree(this.bytes, this.#halves[this.#active].gaps.freeExtents());
  }

  /** Free bytes of the active half, and the largest block of them. */
  get free(): { freeBytes: number; largestFreeBytes: number } {
    if (this.#freeList !== undefined) return this.#freeList;
    const sizes = this.#halves[this.#active].gaps.freeExtents().map(({ base, limit }) => limit - base);
    return { freeBytes: sizes.reduce((a, b) => a + b, 0), largestFreeBytes: Math.max(0, ...sizes) };
  }

  /** Of the free bytes, the part outside of the largest block: 0 to 1. */
  get fragmentation(): number {
    const { freeBytes, largestFreeBytes } = this.free;
    return freeBytes === 0 ? 0 : 1 - largestFreeBytes / freeBytes;
  }

  /** The range of the half that is not active, as offsets in the arena's code range. */
  get inactive(): Extent {
    const { base } = this.#halves[this.#active === 0 ? 1 : 0];
    return { base, limit: base + this.bytes };
  }

  dispose(): void {
    for (const { region } of this.#halves) disposeRegion(this.#core, region);
  }
}

function obstacles(managed: Managed, handles: Int32Array, place: Place, base: number): Extent[] {
  const { place: places, offset, bytes } = managed;
  const found: Extent[] = [];
  const { length } = handles;
  for (let i = 0; i < length; i++) {
    const handle = handles[i] ?? 0;
    if (places[handle] !== place || bytes[handle] === 0) continue;
    const start = (offset[handle] ?? 0) - base;
    found.push({ base: start, limit: alignUp(start + (bytes[handle] ?? 0), granuleBytes) });
  }
  return found.sort((a, b) => a.base - b.base);
}
