/**
 * Zeal for spaces: at every host function call, every code object that lives where its space has put it moves elsewhere in that space.
 *
 * In: a Jit's regions. Out: moves. Always true: a vacated place is filled with traps, and handed out again only after the next call; code
 * objects that were placed by hand are left alone: their owner counts on their places.
 */
import { SpaceFullError } from '../base/errors';
import type { Handle } from '../base/native';
import { placeNow } from '../code/offsets';
import type { JitCore } from '../jit/core';
import { onMade } from '../jit/parts';
import { CodeRecord, type Code } from '../record/code-record';
import { wholeGranules } from '../space/allocator';
import type { Region } from '../space/arena';
import { handlesIn, release, reserve } from '../space/reserve';
import { isZealous, Zeal } from './zeal';

/** Where a code object was: its code, in a region. */
interface Left {
  readonly object: WeakRef<Code>;
  readonly region: Region;
  readonly code: number;
  readonly bytes: number;
}

/** A move of code, in the arena's range. */
type Move = readonly [Handle, code: number, constants: -1, data: -1];

/** Moves what is in the free-list regions of one Jit. */
class ZealousSpaces {
  readonly #core: JitCore;
  readonly #report = new Float64Array(4);
  /** Places that were left at the last call. */
  #quarantine: Left[] = [];

  constructor(core: JitCore) {
    this.#core = core;
  }

  moveAll(): void {
    const { native, arena } = this.#core;
    this.#core.requireLive('zeal');
    this.#releaseLeft();
    const pins = new Set(native.pins());
    const moves: Move[] = [];
    for (const region of arena.regions)
      for (const handle of this.#reservedIn(region)) if (!pins.has(handle)) this.#planMove(region, handle, moves);
    native.moveBatch(Int32Array.from(moves.flat()), moves.length, this.#report);
    for (const { region, code, bytes } of this.#quarantine) {
      const base = region.ranges.code.base + code;
      native.poison(base, base + wholeGranules(bytes));
    }
    native.verify();
  }

  #releaseLeft(): void {
    for (const { object, region, code } of this.#quarantine.splice(0)) {
      const left = object.deref(); // a dead one's places are given back when it is freed
      if (left !== undefined && !region.isDisposed) release(this.#core, region, { code }, left);
    }
  }

  /** Movable code objects that are where `reserve` has put their code. */
  #reservedIn(region: Region): Handle[] {
    if (region.allocators.code.usedBytes === 0) return [];
    return handlesIn(this.#core, region).filter((handle) => {
      const object = this.#core.objects.get(handle);
      if (!CodeRecord.is(object) || !CodeRecord.statusOf(object).isMovable || CodeRecord.bytesOf(object, 'code') === 0)
        return false;
      const place = placeNow(this.#core, handle);
      const isHere = place?.region === region && place.code !== undefined;
      return isHere && this.#core.arena.reservations.has(handle, region.numbers.code, place.code);
    });
  }

  #planMove(region: Region, handle: Handle, moves: Move[]): void {
    const object = this.#core.objects.get(handle);
    const from = placeNow(this.#core, handle)?.code;
    if (!CodeRecord.is(object) || from === undefined) return;
    const to = tryReserve(this.#core, region, object);
    if (to === undefined) return;
    moves.push([handle, region.ranges.code.base + to, -1, -1]);
    this.#quarantine.push({ object: new WeakRef(object), region, code: from, bytes: CodeRecord.bytesOf(object, 'code') });
  }
}

function tryReserve(core: JitCore, region: Region, object: Code): number | undefined {
  try {
    return reserve(core, region, object).code;
  } catch (error) {
    if (error instanceof SpaceFullError) return undefined;
    throw error;
  }
}

onMade(({ core }) => {
  if (!isZealous()) return;
  const spaces = new ZealousSpaces(core);
  new Zeal(core, () => spaces.moveAll());
});
