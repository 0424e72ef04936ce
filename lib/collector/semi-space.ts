/**
 * Two halves of code space: code objects are in one of them, and a collection evacuates them to the other.
 *
 * In: sizes. Out: offsets in the arena's code range. Always true: new places come from the active half; what could not be moved is left in
 * the other one, and is an obstacle when that becomes active again.
 */
import type { JitCore } from '../jit/core';
import { granuleBytes } from '../base/segments';
import type { Handle } from '../base/native';
import { alignUp } from '../space/allocator';
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

/** The space of one generation. */
export abstract class SemiSpace {
  readonly index: GenerationIndex;
  /** Of one half. */
  readonly bytes: number;
  readonly #core: JitCore;
  readonly #halves: readonly [Half, Half];
  #active: 0 | 1 = 0;

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
  }

  /** Where new code objects go. */
  get activePlace(): Place {
    return placeOf(this.index, this.#active);
  }

  /** What a collection evacuates, after the flip. */
  get otherPlace(): Place {
    return placeOf(this.index, 1 - this.#active);
  }

  /** Where the active half begins in the arena's code range. */
  protected get base(): number {
    return this.#halves[this.#active].base;
  }

  /** The free space of the active half, in ascending order. */
  protected get gaps(): GapAllocator {
    return this.#halves[this.#active].gaps;
  }

  /** A place in the active half, or undefined. */
  allocate(bytes: number, alignment: number): number | undefined {
    const { base, gaps } = this.#halves[this.#active];
    const offset = gaps.allocate(bytes, alignment);
    return offset === undefined ? undefined : base + offset;
  }

  /** Whether `allocate` would find one. */
  fits(bytes: number, alignment: number): boolean {
    return this.gaps.fits(bytes, Math.max(alignment, granuleBytes));
  }

  /** The place of the half that has an offset, or undefined. */
  placeAt(offset: number): Place | undefined {
    const half = this.#halves.findIndex(({ base }) => offset >= base && offset < base + this.bytes);
    return half < 0 ? undefined : placeOf(this.index, half);
  }

  /** A collection leaves `handle`, which it should have moved, where it is. */
  abstract leave(handle: Handle): void;

  /** A change was left in the middle: what `managed` says of `handles` is used, and all else is free. */
  mend(managed: Managed, handles: Int32Array): void {
    this.resetGaps(managed, handles);
  }

  /** What of `handles` is in the active half, says `managed`, is used, and all else is free. */
  protected resetGaps(managed: Managed, handles: Int32Array): void {
    this.gaps.reset(this.#obstacles(managed, handles));
  }

  /** Makes the other half active. `managed` knows which of `handles` are still there. */
  protected activateOther(managed: Managed, handles: Int32Array): void {
    this.#active = this.#active === 0 ? 1 : 0;
    this.resetGaps(managed, handles);
  }

  /** The range of the half that is not active, as offsets in the arena's code range. */
  get inactive(): Extent {
    const { base } = this.#halves[this.#active === 0 ? 1 : 0];
    return { base, limit: base + this.bytes };
  }

  dispose(): void {
    for (const { region } of this.#halves) disposeRegion(this.#core, region);
  }

  #obstacles(managed: Managed, handles: Int32Array): Extent[] {
    const { place: places, offset, bytes } = managed;
    const place = this.activePlace;
    const base = this.base;
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
}
