/**
 * Where code objects are that have survived some collections.
 *
 * In: sizes. Out: offsets. Always true: between collections what dies in it is reused, by a free list; while it is evacuated, new places come
 * from the gaps of the half that was empty, and what is given back is free after the next collection.
 */
import type { Handle } from '../base/native';
import { granuleBytes } from '../base/segments';
import type { JitCore } from '../jit/core';
import { FreeListAllocator } from '../space/free-list';
import { HandleList } from './handle-list';
import type { Managed } from './managed';
import { SemiSpace } from './semi-space';
import type { GapMark } from './gap-allocator';

/** The old generation. */
export class OldGeneration extends SemiSpace {
  /** Of the active half; undefined while the other one is evacuated. */
  #freeList: FreeListAllocator | undefined;
  /** What is released now is found when everything is evacuated. */
  #isEnding = false;
  /** Bytes, when the last evacuation was over. */
  #freeAtFirst: number;
  /** In the half that is not active: what the last evacuation could not move. */
  readonly #left = new HandleList();

  /** Throws SpaceFullError if the arena has no room for it. */
  constructor(core: JitCore, bytes: number) {
    super(core, 1, bytes);
    this.#freeList = new FreeListAllocator(bytes);
    this.#freeAtFirst = bytes;
  }

  override allocate(bytes: number, alignment: number): number | undefined {
    if (this.#freeList === undefined) return super.allocate(bytes, alignment);
    const offset = this.#freeList.allocate(bytes, Math.max(alignment, granuleBytes));
    return offset === undefined ? undefined : this.base + offset;
  }

  override fits(bytes: number, alignment: number): boolean {
    return this.#freeList?.fits(bytes, Math.max(alignment, granuleBytes)) ?? super.fits(bytes, alignment);
  }

  /** Gives back what `allocate` gave, if it can be had again before the next evacuation. */
  release(offset: number, bytes: number): void {
    const { base } = this;
    if (!this.#isEnding && this.#freeList !== undefined && offset >= base && offset < base + this.bytes)
      this.#freeList.release(offset - base, bytes);
  }

  /** A `flip` will follow: until then what is released need not be had again. */
  prepareFlip(): void {
    this.#isEnding = true;
  }

  /** No flip follows. What was released in between is free after the next evacuation. */
  cancelFlip(): void {
    this.#isEnding = false;
  }

  /** Makes the other half active, from which what was left there is missing. Then evacuation begins; `settle` ends it. */
  flip(managed: Managed): void {
    const left = this.#left.keep(managed.place, this.otherPlace, this.otherPlace).slice();
    this.#left.reset([]);
    this.#freeList = undefined;
    this.activateOther(managed, left);
  }

  /** Nothing has moved after all. `handles` are all that may be in either half. */
  flipBack(managed: Managed, handles: Int32Array): void {
    this.activateOther(managed, handles);
    this.#findLeft(managed, handles);
  }

  leave(handle: Handle): void {
    this.#left.add(handle);
  }

  /** While it is evacuated: what `rewind` needs to give back all that is allocated from now on. */
  mark(): GapMark {
    return this.gaps.mark();
  }

  /** Gives back what has been allocated since `mark`. */
  rewind(mark: GapMark): void {
    this.gaps.rewind(mark);
  }

  /** The evacuation is over. */
  settle(): void {
    this.#isEnding = false;
    this.#freeList = FreeListAllocator.withFree(this.bytes, this.gaps.freeExtents());
    this.#freeAtFirst = this.#freeList.freeBytes;
  }

  /** Whether half is used of what the last evacuation has left free: time for the next, if that is to take its time. */
  get isFilling(): boolean {
    return this.#freeList !== undefined && this.#freeList.freeBytes < this.#freeAtFirst / 2;
  }

  /** The evacuation ends before everything that could move has. `handles` are all that may be in either half. */
  abandon(managed: Managed, handles: Int32Array): void {
    this.#findLeft(managed, handles);
    if (this.#freeList === undefined) this.settle();
    else this.cancelFlip();
  }

  override mend(managed: Managed, handles: Int32Array): void {
    super.mend(managed, handles);
    this.#findLeft(managed, handles);
    this.settle();
  }

  /** Free bytes of the active half, and the largest block of them. */
  get free(): { freeBytes: number; largestFreeBytes: number } {
    if (this.#freeList !== undefined) return this.#freeList;
    const sizes = this.gaps.freeExtents().map(({ base, limit }) => limit - base);
    return { freeBytes: sizes.reduce((a, b) => a + b, 0), largestFreeBytes: Math.max(0, ...sizes) };
  }

  /** Of the free bytes, the part outside of the largest block: 0 to 1. */
  get fragmentation(): number {
    const { freeBytes, largestFreeBytes } = this.free;
    return freeBytes === 0 ? 0 : 1 - largestFreeBytes / freeBytes;
  }

  #findLeft({ place, bytes }: Managed, handles: Int32Array): void {
    const { otherPlace } = this;
    this.#left.reset(Array.from(handles.filter((handle) => place[handle] === otherPlace && bytes[handle] !== 0)));
  }
}
