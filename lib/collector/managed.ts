/**
 * What the collector knows of each code object, by handle: a few bytes, so that a collection reads arrays and touches no JS object.
 *
 *   offset[h]  of its code in the arena's code range     bytes[h]      of its code
 *   place[h]   see Place                                 age[h]        collections survived
 *   hasParts[h]  1 if it has constants or data (fixed-parts.ts)
 *   isDead[h]    1 if V8 has found that JS has forgotten it
 */
import type { Handle } from '../base/native';

/** Where a managed code object is: 0 for one that is not, else 1 + 2 * generation + half. */
export type Place = number;

/** Generations: 0 the nursery, 1 the old one. */
export type GenerationIndex = 0 | 1;

/** The place of a half of a generation. */
export function placeOf(generation: GenerationIndex, half: number): Place {
  return 1 + 2 * generation + half;
}

/** Which generation a place belongs to. */
export function generationOf(place: Place): GenerationIndex {
  return place >= 3 ? 1 : 0;
}

/** The table of one collector. */
export class Managed {
  offset = new Int32Array(256);
  bytes = new Int32Array(256);
  alignment = new Int32Array(256);
  place = new Uint8Array(256);
  age = new Uint8Array(256);
  hasParts = new Uint8Array(256);
  isDead = new Uint8Array(256);
  /** Handles in use are below. */
  limit = 0;

  /** Makes room for `handle`. */
  admit(handle: Handle): void {
    if (handle >= this.limit) this.limit = handle + 1;
    if (handle < this.place.length) return;
    const length = Math.max(handle + 1, Math.ceil(this.place.length * 1.5));
    const grow = <T extends Int32Array | Uint8Array>(make: new (length: number) => T, old: T): T => {
      const copy = new make(length);
      copy.set(old);
      return copy;
    };
    const [offset, bytes, alignment] = [this.offset, this.bytes, this.alignment].map((old) => grow(Int32Array, old));
    const [place, age, hasParts, isDead] = [this.place, this.age, this.hasParts, this.isDead].map((old) => grow(Uint8Array, old));
    Object.assign(this, { offset, bytes, alignment, place, age, hasParts, isDead }); // all at once
  }
}
