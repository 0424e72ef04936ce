/**
 * What every code object has reserved in the spaces of one Jit, so that its death gives all of it back.
 *
 * In: handle, allocator, offset, size. Out: releases. Always true: a record exists exactly while its allocator has the bytes handed out
 * for that code object.
 *
 * 20 bytes for a code object with one segment: lists in two typed arrays, linked by record number (0 ends a list).
 *
 *   heads[handle] -> record        records[4 * record] = allocator number | offset | bytes | next record
 */
import type { Handle } from '../base/native';
import type { Allocator } from './allocator';

const recordLength = 4;

/** Bytes from base to limit (excluded). */
interface Extent {
  readonly base: number;
  readonly limit: number;
}

/** The reservations of one Jit. */
export class Reservations {
  readonly #allocators: Array<Allocator | undefined> = [];
  #heads = new Int32Array(64);
  #records = new Int32Array(64 * recordLength);
  #recordLimit = 1;
  #firstFree = 0;

  /** Bytes of these records. */
  get bookkeepingBytes(): number {
    return this.#heads.byteLength + this.#records.byteLength;
  }

  /** Returns the number by which the other methods know `allocator`. */
  register(allocator: Allocator): number {
    const vacant = this.#allocators.indexOf(undefined);
    const number = vacant < 0 ? this.#allocators.length : vacant;
    this.#allocators[number] = allocator;
    return number;
  }

  /** Forgets an allocator that has nothing handed out. */
  unregister(number: number): void {
    this.#allocators[number] = undefined;
  }

  /** Notes that `bytes` at `offset` of an allocator are handed out for `object`. */
  add(object: Handle, allocator: number, offset: number, bytes: number): void {
    if (object >= this.#heads.length) this.#heads = grown(this.#heads, object + 1);
    const record = this.#newRecord();
    const at = record * recordLength;
    this.#records[at] = allocator;
    this.#records[at + 1] = offset;
    this.#records[at + 2] = bytes;
    this.#records[at + 3] = this.#heads[object] ?? 0;
    this.#heads[object] = record;
  }

  /** Whether `object` has something at `offset` of an allocator. */
  has(object: Handle, allocator: number, offset: number): boolean {
    for (let record = this.#heads[object] ?? 0; record !== 0; record = this.#next(record)) {
      const at = record * recordLength;
      if (this.#records[at] === allocator && this.#records[at + 1] === offset) return true;
    }
    return false;
  }

  /** Releases what `object` has at `offset` of an allocator; nothing if it has nothing there. */
  release(object: Handle, allocator: number, offset: number): void {
    let previous = 0;
    for (let record = this.#heads[object] ?? 0; record !== 0; record = this.#next(record)) {
      const at = record * recordLength;
      if (this.#records[at] === allocator && this.#records[at + 1] === offset) {
        this.#unlink(object, previous, record);
        this.#releaseRecord(record);
        return;
      }
      previous = record;
    }
  }

  /** Drops what `object` has; `mend` gives it back. */
  forget(object: Handle): void {
    if (object < this.#heads.length) this.#heads[object] = 0;
  }

  /** Releases everything that `object` has. */
  releaseAll(object: Handle): void {
    let record = this.#heads[object] ?? 0;
    if (record === 0) return;
    this.#heads[object] = 0;
    while (record !== 0) {
      const next = this.#next(record);
      this.#releaseRecord(record);
      record = next;
    }
  }

  /**
   * After a change was left in the middle: what the lists of live code objects lead to is reserved, and nothing else. Only allocators with these
   * `numbers` are still in use.
   */
  mend(numbers: readonly number[], isLive: (object: Handle) => boolean): void {
    const used = new Map(numbers.map((number) => [number, [] as Extent[]]));
    const listed = new Set<number>();
    for (let object = 0; object < this.#heads.length; object++) {
      if (this.#heads[object] !== 0 && !isLive(object)) this.#heads[object] = 0;
      for (let record = this.#heads[object] ?? 0; record !== 0; record = this.#next(record)) {
        const [allocator = 0, base = 0, bytes = 0] = this.#records.subarray(record * recordLength);
        used.get(allocator)?.push({ base, limit: base + bytes });
        listed.add(record);
      }
    }
    this.#firstFree = 0;
    for (let record = this.#recordLimit - 1; record > 0; record--) if (!listed.has(record)) this.#vacate(record);
    for (const [number, extents] of used) this.#allocators[number]?.mend(extents);
    for (let number = 0; number < this.#allocators.length; number++) if (!used.has(number)) this.#allocators[number] = undefined;
  }

  #vacate(record: number): void {
    this.#records[record * recordLength + 3] = this.#firstFree;
    this.#firstFree = record;
  }

  #next(record: number): number {
    return this.#records[record * recordLength + 3] ?? 0;
  }

  #unlink(object: Handle, previous: number, record: number): void {
    const next = this.#next(record);
    if (previous === 0) this.#heads[object] = next;
    else this.#records[previous * recordLength + 3] = next;
  }

  #newRecord(): number {
    const record = this.#firstFree;
    if (record !== 0) {
      this.#firstFree = this.#next(record);
      return record;
    }
    if ((this.#recordLimit + 1) * recordLength > this.#records.length) this.#records = grown(this.#records, 0);
    return this.#recordLimit++;
  }

  #releaseRecord(record: number): void {
    const at = record * recordLength;
    const [allocator = 0, offset = 0, bytes = 0] = [this.#records[at], this.#records[at + 1], this.#records[at + 2]];
    this.#vacate(record);
    this.#allocators[allocator]?.release(offset, bytes);
  }
}

/** A copy half as long again, or more, filled up with zeros. */
function grown(numbers: Int32Array<ArrayBuffer>, least: number): Int32Array<ArrayBuffer> {
  const copy = new Int32Array(Math.max(least, Math.ceil(numbers.length / 2 / recordLength) * recordLength + numbers.length));
  copy.set(numbers);
  return copy;
}
