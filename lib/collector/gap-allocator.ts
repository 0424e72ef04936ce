/**
 * Bump allocation through the gaps between what stays.
 *
 * In: sizes. Out: ascending offsets. Always true: nothing is given back one by one; a range that was evacuated but for pinned code objects
 * is begun again with those as obstacles, and what is skipped because it is too small is free but not handed out.
 */
import { granuleBytes } from '../base/segments';
import { alignUp } from '../space/allocator';

/** Bytes from base to limit (excluded). */
export interface Extent {
  readonly base: number;
  readonly limit: number;
}

/** Where an allocator was. */
export interface GapMark {
  readonly gap: number;
  readonly next: number;
  readonly skipped: number;
}

/** Allocates in ascending order around obstacles. */
export class GapAllocator {
  readonly capacityBytes: number;
  #gaps: Extent[];
  #gap = 0;
  /** Where the next one begins, at the earliest, and the end of its gap. */
  #next: number;
  #limit: number;
  #skipped: Extent[] = [];

  constructor(capacityBytes: number) {
    this.capacityBytes = capacityBytes;
    this.#gaps = [{ base: 0, limit: capacityBytes }];
    this.#next = 0;
    this.#limit = capacityBytes;
  }

  /** Forgets what was handed out; `obstacles` ascend and don't overlap. */
  reset(obstacles: readonly Extent[]): void {
    this.#gaps = gapsBetween(obstacles, this.capacityBytes);
    this.#enter(0);
    this.#skipped = [];
  }

  /** For `rewind`, as long as there is no `reset`. */
  mark(): GapMark {
    return { gap: this.#gap, next: this.#next, skipped: this.#skipped.length };
  }

  /** Forgets what was handed out since `mark`. */
  rewind({ gap, next, skipped }: GapMark): void {
    this.#enter(gap);
    this.#next = next;
    this.#skipped.length = skipped;
  }

  #enter(gap: number): void {
    this.#gap = gap;
    this.#next = this.#gaps[gap]?.base ?? this.capacityBytes;
    this.#limit = this.#gaps[gap]?.limit ?? 0;
  }

  /** An offset, or undefined if no gap ahead is large enough: then it stays where it is. */
  allocate(bytes: number, alignment: number): number | undefined {
    if (!this.fits(bytes, alignment)) return undefined;
    while (!this.#fitsHere(bytes, alignment)) {
      this.#skipTo(this.#limit);
      this.#enter(this.#gap + 1);
    }
    const offset = alignUp(this.#next, Math.max(alignment, granuleBytes));
    this.#skipTo(offset);
    this.#next = (offset + bytes + granuleBytes - 1) & -granuleBytes;
    return offset;
  }

  /** Whether `allocate` would find one. */
  fits(bytes: number, alignment: number): boolean {
    return this.#fitsHere(bytes, alignment) || this.#fitsAhead(bytes, alignment);
  }

  /** What can still be handed out, and what was skipped, in address order. */
  freeExtents(): Extent[] {
    const current = this.#next < this.#limit ? [{ base: this.#next, limit: this.#limit }] : [];
    return [...this.#skipped, ...current, ...this.#gaps.slice(this.#gap + 1)];
  }

  #fitsHere(bytes: number, alignment: number): boolean {
    return alignUp(this.#next, Math.max(alignment, granuleBytes)) + bytes <= this.#limit;
  }

  #fitsAhead(bytes: number, alignment: number): boolean {
    return this.#gaps.slice(this.#gap + 1).some(({ base, limit }) => alignUp(base, alignment) + bytes <= limit);
  }

  #skipTo(limit: number): void {
    if (this.#next < limit) this.#skipped.push({ base: this.#next, limit });
  }
}

function gapsBetween(obstacles: readonly Extent[], capacityBytes: number): Extent[] {
  const gaps: Extent[] = [];
  let base = 0;
  for (const obstacle of obstacles) {
    const limit = obstacle.base & -granuleBytes;
    if (base < limit) gaps.push({ base, limit });
    base = alignUp(obstacle.limit, granuleBytes);
  }
  if (base < capacityBytes) gaps.push({ base, limit: capacityBytes });
  return gaps;
}
