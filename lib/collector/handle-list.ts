/**
 * A growing set of handles that is read as an array.
 */
import type { Handle } from '../base/native';

/** Handles in the order in which they came, each once. */
export class HandleList {
  #handles = new Int32Array(256);
  #length = 0;
  #isListed = new Uint8Array(256);

  /** 0, 1, ... limit - 1. */
  static upTo(limit: number): Int32Array {
    const handles = new Int32Array(limit);
    for (let i = 0; i < limit; i++) handles[i] = i;
    return handles;
  }

  /** Begins again with these. */
  reset(handles: readonly Handle[]): void {
    this.#length = 0;
    this.#isListed = new Uint8Array(256);
    for (const handle of handles) this.add(handle);
  }

  add(handle: Handle): void {
    if (this.#isListed[handle] === 1) return;
    if (handle >= this.#isListed.length) this.#isListed = copied(new Uint8Array(2 * handle), this.#isListed);
    if (this.#length === this.#handles.length) this.#handles = copied(new Int32Array(2 * this.#length), this.#handles);
    this.#isListed[handle] = 1;
    this.#handles[this.#length++] = handle;
  }

  /** Drops those whose entry in `table` is not from `least` to `most`. Returns what is left; valid until the next call. */
  keep(table: Uint8Array, least: number, most: number): Int32Array {
    const handles = this.#handles;
    const count = this.#length;
    let length = 0;
    for (let i = 0; i < count; i++) {
      const handle = handles[i] ?? 0;
      const entry = table[handle] ?? 0;
      if (least <= entry && entry <= most) handles[length++] = handle;
      else this.#isListed[handle] = 0;
    }
    this.#length = length;
    return handles.subarray(0, length);
  }
}

function copied<T extends Int32Array | Uint8Array>(larger: T, values: T): T {
  larger.set(values);
  return larger;
}
