/**
 * Moving what is live to the other half of its generation, in one native batch.
 *
 * In: the handles of a generation. Out: new offsets in `managed`, and counts. Always true: if the batch is refused nothing has changed but
 * the order in which places are handed out.
 *
 * Cheney's copying of data, without its scan: code objects know who refers to them, and the mover redirects those.
 */
import type { JitCore } from '../jit/core';
import type { Handle } from '../base/native';
import type { FixedParts } from './fixed-parts';
import { generationOf, type Managed } from './managed';
import type { OldGeneration } from './old-generation';
import type { SemiSpace } from './semi-space';

const moveLength = 4;

/** What an evacuation did. */
export interface Evacuated {
  moved: number;
  promoted: number;
  bytes: number;
  relocations: number;
}

/** Nothing. */
export const noneEvacuated: Readonly<Evacuated> = { moved: 0, promoted: 0, bytes: 0, relocations: 0 };

/** Of both. */
export function sumOf(a: Evacuated, b: Evacuated): Evacuated {
  return {
    moved: a.moved + b.moved,
    promoted: a.promoted + b.promoted,
    bytes: a.bytes + b.bytes,
    relocations: a.relocations + b.relocations,
  };
}

/** The moves of one collector; kept for its memory. */
export class Evacuation {
  readonly #core: JitCore;
  readonly #managed: Managed;
  readonly #parts: FixedParts;
  readonly #report = new Float64Array(4);
  #moves = new Int32Array(256 * moveLength);
  #places = new Uint8Array(256);
  #count = 0;

  constructor(core: JitCore, managed: Managed, parts: FixedParts) {
    this.#core = core;
    this.#managed = managed;
    this.#parts = parts;
  }

  begin(atMost: number): void {
    this.#count = 0;
    if (atMost * moveLength <= this.#moves.length) return;
    this.#moves = new Int32Array(Math.ceil(atMost * 1.5) * moveLength);
    this.#places = new Uint8Array(Math.ceil(atMost * 1.5));
  }

  /** Plans moves for those of `handles` that are in the half that `from` evacuates, and not pinned; `targetOf` says to which generation. */
  plan(handles: Int32Array, from: SemiSpace, pins: ReadonlySet<Handle>, targetOf: (handle: Handle) => SemiSpace): void {
    const { place, bytes } = this.#managed;
    const fromPlace = from.otherPlace;
    const hasPins = pins.size > 0;
    // By index: collections are rare, and before V8 has optimised a loop an iterator takes as long as all the rest.
    const { length } = handles;
    for (let i = 0; i < length; i++) {
      const handle = handles[i] ?? 0;
      if (place[handle] !== fromPlace || bytes[handle] === 0) continue;
      if ((hasPins && pins.has(handle)) || !this.#planSomewhere(handle, targetOf(handle), from)) from.leave(handle);
    }
  }

  /** Does it. Throws what a batch of moves throws. */
  run(): Evacuated {
    const report = this.#report.fill(0);
    if (this.#count > 0) this.#core.native.moveBatch(this.#moves, this.#count, report);
    const promoted = this.#note();
    const [moved = 0, bytes = 0, relocations = 0] = report;
    return { moved, promoted, bytes, relocations };
  }

  /** Where everything is now; returns how many were promoted. */
  #note(): number {
    const { offset, place, age } = this.#managed;
    const moves = this.#moves;
    const places = this.#places;
    const count = this.#count;
    let promoted = 0;
    for (let i = 0, at = 0; i < count; i++, at += moveLength) {
      const handle = moves[at] ?? 0;
      const to = places[i] ?? 0;
      if (generationOf(to) !== generationOf(place[handle] ?? 0)) promoted++;
      offset[handle] = moves[at + 1] ?? 0;
      place[handle] = to;
      age[handle] = Math.min(255, (age[handle] ?? 0) + 1);
      if (moves[at + 3] !== -1) this.#settleData(handle, moves[at + 3] ?? -1);
    }
    return promoted;
  }

  /** After a refusal: what was taken for promotion, and for data. */
  giveBack(old: OldGeneration): void {
    for (let i = 0; i < this.#count; i++) {
      const handle = this.#moves[i * moveLength] ?? 0;
      const parts = this.#parts.get(handle);
      const data = this.#moves[i * moveLength + 3] ?? -1;
      if (parts !== undefined && data !== -1) this.#parts.releaseData(data, parts);
      if (this.#places[i] === old.activePlace)
        old.release(this.#moves[i * moveLength + 1] ?? 0, this.#managed.bytes[handle] ?? 0);
    }
  }

  /** What finds no room where it is to go stays in its generation, and at worst where it is, as a pinned one does. */
  #planSomewhere(handle: Handle, target: SemiSpace, from: SemiSpace): boolean {
    return this.#planMove(handle, target) || (target !== from && this.#planMove(handle, from));
  }

  #planMove(handle: Handle, target: SemiSpace): boolean {
    const { bytes, alignment, hasParts } = this.#managed;
    const offset = target.allocate(bytes[handle] ?? 0, alignment[handle] ?? 0);
    if (offset === undefined) return false;
    const moves = this.#moves;
    const at = this.#count * moveLength;
    moves[at] = handle;
    moves[at + 1] = offset;
    moves[at + 2] = -1;
    moves[at + 3] = hasParts[handle] === 1 ? this.#takeData(handle) : -1;
    this.#places[this.#count++] = target.activePlace;
    return true;
  }

  #takeData(handle: Handle): number {
    const parts = this.#parts.get(handle);
    return parts === undefined ? -1 : this.#parts.takeData(parts);
  }

  #settleData(handle: Handle, data: number): void {
    const parts = data === -1 ? undefined : this.#parts.get(handle);
    if (parts === undefined) return;
    this.#parts.releaseData(parts.data, parts);
    parts.data = data;
  }
}
