/**
 * Finding room in a collector's generations, and collecting where there is none.
 *
 * In: sizes. Out: offsets in the arena's ranges. Always true: a collection is run only if without it there is no room, and the smaller one first.
 */
import type { CodeObject } from '../code-object';
import { SpaceFullError } from '../errors';
import type { Handle } from '../native';
import type { FixedParts, Parts } from './fixed-parts';
import type { Generation } from './generation';
import type { CollectionKind } from './report';

/** Runs a collection; false while one is under way. */
export type Collect = (kind: CollectionKind) => boolean;

/** Where there is room, and how to make some. */
export class Room {
  readonly #nursery: Generation;
  readonly #old: Generation;
  readonly #parts: FixedParts;
  readonly #collectNow: Collect;
  #mayCollect = true;

  constructor({ nursery, old, parts }: { nursery: Generation; old: Generation; parts: FixedParts }, collect: Collect) {
    this.#nursery = nursery;
    this.#old = old;
    this.#parts = parts;
    this.#collectNow = collect;
  }

  /** Room for constants and data; after a major collection, if there is none before. */
  partsFor(object: CodeObject, handle: Handle): Parts | undefined {
    try {
      return this.#parts.add(handle, object);
    } catch (error) {
      if (!this.#collect('major')) throw error;
      return this.#parts.add(handle, object);
    }
  }

  /** Room for new code: where it is to go, else in the old generation; first as they are, then after a minor and after a major collection. */
  for(object: CodeObject, bytes: number, alignment: number, into: Generation): [Generation, number] {
    const isYoung = into === this.#nursery && bytes <= this.#nursery.bytes / 2;
    const found =
      roomIn(into, bytes, alignment) ??
      (isYoung && this.#collect('minor') ? roomIn(into, bytes, alignment) : undefined) ??
      roomIn(this.#old, bytes, alignment) ??
      (this.#collect('major') ? roomIn(into, bytes, alignment) : undefined) ??
      roomIn(this.#old, bytes, alignment);
    if (found !== undefined) return found;
    const { largestFreeBytes } = this.#old.free;
    throw new SpaceFullError(
      `the collector has no room for code object '${object.name}': ${bytes} bytes requested, the largest free block has ${largestFreeBytes}`,
      { requestedBytes: bytes, largestFreeBytes },
    );
  }

  /** Takes room for several at once: no collection between them, which would move what is not placed yet, but one before a second try. */
  together<T>(take: () => T, undo: () => void): T {
    try {
      return this.#withoutCollecting(take, undo);
    } catch (error) {
      if (!(error instanceof SpaceFullError) || !this.#collect('major')) throw error;
      return this.#withoutCollecting(take, undo);
    }
  }

  #withoutCollecting<T>(take: () => T, undo: () => void): T {
    this.#mayCollect = false;
    try {
      return take();
    } catch (error) {
      undo();
      throw error;
    } finally {
      this.#mayCollect = true;
    }
  }

  #collect(kind: CollectionKind): boolean {
    return this.#mayCollect && this.#collectNow(kind);
  }
}

function roomIn(generation: Generation, bytes: number, alignment: number): [Generation, number] | undefined {
  const offset = generation.allocate(bytes, alignment);
  return offset === undefined ? undefined : [generation, offset];
}
