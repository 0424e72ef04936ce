/**
 * Zeal for spaces: at every host function call, every code object that lives where its space has put it moves elsewhere in that space.
 *
 * In: a Jit's spaces. Out: moves. Always true: a vacated place is filled with traps, and handed out again only after the next call; code
 * objects that somebody has placed by hand are left alone, for their owner counts on where they are.
 */
import { bytesOf, type CodeObject } from '../code-object';
import { Zeal } from '../collector/zeal';
import type { JitCore } from '../core';
import { SpaceFullError } from '../errors';
import type { Move, MoveBatch } from '../move-batch';
import type { Placement } from '../segments';
import { wholeGranules } from './allocator';
import { allocateIn, releaseIn, reservedIn } from './space';

/** Moves what is in the free-list spaces of one Jit. */
export class ZealousSpaces {
  readonly #core: JitCore;
  readonly #batch: MoveBatch;
  /** Places that were left at the last call. */
  #quarantine: Array<{ readonly object: WeakRef<CodeObject>; readonly from: Placement; readonly bytes: number }> = [];

  constructor(core: JitCore, batch: MoveBatch) {
    this.#core = core;
    this.#batch = batch;
    new Zeal(core, () => this.#moveAll());
  }

  #moveAll(): void {
    const { native, spaces } = this.#core;
    for (const { object, from } of this.#quarantine.splice(0)) {
      const left = object.deref(); // a dead one's places are given back when it is freed
      if (left !== undefined && spaces.has(from.space)) releaseIn(from.space, from, left);
    }
    const pins = new Set(native.pins());
    const moves: Move[] = [];
    for (const space of spaces.keys())
      for (const [object, from] of reservedIn(space, pins)) {
        const to = allocate(object, from);
        if (to === undefined) continue;
        moves.push([object, to]);
        this.#quarantine.push({ object: new WeakRef(object), from: { space, code: from.code }, bytes: bytesOf(object, 'code') });
      }
    this.#batch.relocate(moves);
    for (const { from, bytes } of this.#quarantine) {
      const base = (spaces.get(from.space)?.code.base ?? 0) + from.code;
      native.poison(base, base + wholeGranules(bytes));
    }
    native.verify();
  }
}

function allocate(object: CodeObject, { space }: Placement): Placement | undefined {
  try {
    return { space, code: allocateIn(space, object).code };
  } catch (error) {
    if (error instanceof SpaceFullError) return undefined;
    throw error;
  }
}
