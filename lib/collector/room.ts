/**
 * Finding room in a collector's generations, and collecting where there is none.
 *
 * In: sizes. Out: offsets in the arena's ranges. Always true: a collection is run only if without it there is no room, and the smaller one first.
 */
import { CodeRecord, type Code } from '../record/code-record';
import type { JitCore } from '../jit/core';
import { SpaceFullError } from '../base/errors';
import type { FixedParts } from './fixed-parts';
import type { Generations } from './generations';
import type { Nursery } from './nursery';
import type { OldGeneration } from './old-generation';
import type { CollectionKind } from './report';
import type { SemiSpace } from './semi-space';

/** Runs a collection; false while one is under way. */
export type Collect = (kind: CollectionKind) => boolean;

/** Where there is room, and how to make some. */
export class Room {
  readonly #nursery: Nursery;
  readonly #old: OldGeneration;
  readonly #parts: FixedParts;
  readonly #core: JitCore;
  readonly #collectNow: Collect;

  constructor(core: JitCore, { nursery, old, parts }: Generations, collect: Collect) {
    this.#core = core;
    this.#nursery = nursery;
    this.#old = old;
    this.#parts = parts;
    this.#collectNow = collect;
  }

  /** Sees to it that there is room for constants and data: as it is, or after collections. Throws SpaceFullError. */
  makeForParts(object: Code): void {
    this.#tryWithCollections(() => this.#parts.test(object));
  }

  /** Sees to it that `take` will find room: as it is, or after a minor and after a major collection. Throws SpaceFullError. */
  makeFor(object: Code, bytes: number, alignment: number, into: SemiSpace): void {
    const fits = (generation: SemiSpace): boolean => generation.fits(bytes, alignment);
    const isYoung = into === this.#nursery && bytes <= this.#nursery.bytes / 2;
    const hasRoom =
      fits(into) ||
      (isYoung && this.#collect('minor') && fits(into)) ||
      fits(this.#old) ||
      (this.#collect('major') && fits(into)) ||
      fits(this.#old);
    if (!hasRoom) throw this.#full(object, bytes);
  }

  /** Room for new code: where it is to go, else in the old generation. Throws SpaceFullError; `makeFor` leaves no reason for that. */
  take(object: Code, bytes: number, alignment: number, into: SemiSpace): [SemiSpace, number] {
    const found = roomIn(into, bytes, alignment) ?? roomIn(this.#old, bytes, alignment);
    if (found !== undefined) return found;
    throw this.#full(object, bytes);
  }

  #full(object: Code, bytes: number): SpaceFullError {
    const { largestFreeBytes } = this.#old.free;
    return new SpaceFullError(
      `the collector has no room for code object '${CodeRecord.nameOf(object)}': ${bytes} bytes requested, the largest free block has ${largestFreeBytes}`,
      { requestedBytes: bytes, largestFreeBytes },
    );
  }

  /** As `makeFor` for several at once: `take` and `undo` are tried, and again after collections. */
  makeTogether(take: () => void, undo: () => void): void {
    this.#tryWithCollections(() => takeAndUndo(take, undo));
  }

  /** As it is, after a minor and after a major collection. */
  #tryWithCollections(run: () => void): void {
    const tryOnce = (): void => this.#core.ledger.change(run);
    for (const kind of ['minor', 'major'] as const) {
      try {
        tryOnce();
        return;
      } catch (error) {
        if (!(error instanceof SpaceFullError) || !this.#collect(kind)) throw error;
      }
    }
    tryOnce();
  }

  #collect(kind: CollectionKind): boolean {
    return this.#collectNow(kind);
  }
}

function roomIn(generation: SemiSpace, bytes: number, alignment: number): [SemiSpace, number] | undefined {
  const offset = generation.allocate(bytes, alignment);
  return offset === undefined ? undefined : [generation, offset];
}

function takeAndUndo(take: () => void, undo: () => void): void {
  try {
    take();
  } finally {
    undo();
  }
}
