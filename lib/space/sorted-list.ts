/**
 * A sorted list that stays fast with 100,000 items: an array of short sorted arrays.
 *
 * In: items, each different from the others under `compare`. Out: neighbours in order. Always true:
 *
 *   S1  items ascend, within a chunk and from chunk to chunk
 *   S2  no chunk is empty, except the only chunk of an empty list
 *   S3  no chunk has more than `chunkLimit` items
 *
 * Searching takes two binary searches; adding and deleting move at most `chunkLimit` items.
 */

const chunkLimit = 128;

/** A sorted list over `compare`, which must not change its mind about items that are in the list. */
export class SortedList<T> {
  readonly #compare: (a: T, b: T) => number;
  #chunks: T[][] = [[]];
  #length = 0;

  constructor(compare: (a: T, b: T) => number) {
    this.#compare = compare;
  }

  get length(): number {
    return this.#length;
  }

  /** The greatest item. */
  get last(): T | undefined {
    return this.#chunks.at(-1)?.at(-1);
  }

  /** The first item that is not less than `probe`. */
  ceiling(probe: T): T | undefined {
    const chunk = this.#chunks[this.#chunkIndex(probe)] ?? [];
    return chunk[this.#lowerBound(chunk, probe)];
  }

  /** The last item that is less than `probe`. */
  below(probe: T): T | undefined {
    const index = this.#chunkIndex(probe);
    const chunk = this.#chunks[index] ?? [];
    const at = this.#lowerBound(chunk, probe);
    return at > 0 ? chunk[at - 1] : this.#chunks[index - 1]?.at(-1);
  }

  /** The first item from `probe` on that `accept` accepts, after at most `tries`. */
  find(probe: T, accept: (item: T) => boolean, tries: number): T | undefined {
    let index = this.#chunkIndex(probe);
    let at = this.#lowerBound(this.#chunks[index] ?? [], probe);
    for (let left = tries; left > 0; left--) {
      const item = this.#chunks[index]?.[at] ?? this.#chunks[++index]?.[(at = 0)];
      if (item === undefined || accept(item)) return item;
      at++;
    }
    return undefined;
  }

  add(item: T): void {
    const index = this.#chunkIndex(item);
    const chunk = this.#chunks[index] ?? [];
    chunk.splice(this.#lowerBound(chunk, item), 0, item);
    this.#length++;
    if (chunk.length > chunkLimit) this.#chunks.splice(index + 1, 0, chunk.splice(chunkLimit / 2));
  }

  /** `item` must be in the list. */
  delete(item: T): void {
    const index = this.#chunkIndex(item);
    const chunk = this.#chunks[index] ?? [];
    chunk.splice(this.#lowerBound(chunk, item), 1);
    this.#length--;
    if (chunk.length === 0 && this.#chunks.length > 1) this.#chunks.splice(index, 1);
  }

  *[Symbol.iterator](): IterableIterator<T> {
    for (const chunk of this.#chunks) yield* chunk;
  }

  /** The first chunk whose last item is not less than `probe`, or else the last chunk. */
  #chunkIndex(probe: T): number {
    let base = 0;
    let limit = this.#chunks.length - 1;
    while (base < limit) {
      const middle = (base + limit) >>> 1;
      const chunk = this.#chunks[middle] ?? [];
      if (this.#compare(chunk[chunk.length - 1] as T, probe) < 0) base = middle + 1;
      else limit = middle;
    }
    return base;
  }

  /** The index in `chunk` of the first item that is not less than `probe`. */
  #lowerBound(chunk: readonly T[], probe: T): number {
    let base = 0;
    let limit = chunk.length;
    while (base < limit) {
      const middle = (base + limit) >>> 1;
      if (this.#compare(chunk[middle] as T, probe) < 0) base = middle + 1;
      else limit = middle;
    }
    return base;
  }
}
