/**
 * A part of the arena under one allocation policy.
 *
 * In: code objects. Out: placements for them. Always true: every reservation is given back exactly once, by `release` or by the death of
 * its code object. A space has a range in each of the arena's ranges; the figures without a name are about code.
 */
import { alignmentOf, bytesOf, handleIn, type CodeObject } from '../code-object';
import type { JitCore } from '../core';
import { PlacementError, SpaceFullError, StateError } from '../errors';
import {
  makePlacement,
  perSegment,
  segmentNames,
  type OffsetRange,
  type PerSegment,
  type Placement,
  type SegmentName,
} from '../segments';
import type { Allocator } from './allocator';
import { BumpAllocator } from './bump';
import { FreeListAllocator } from './free-list';

/** How a space hands out its memory. */
export type AllocationPolicy = 'free-list' | 'bump';

/** How full one range of a space is, in bytes. */
export interface Occupancy {
  readonly usedBytes: number;
  readonly freeBytes: number;
  readonly largestFreeBytes: number;
}

type Offsets = Partial<Record<SegmentName, number>>;

const codeAlone: readonly SegmentName[] = ['code'];

/** Ranges of spaces are whole pages ... */
const pageBytes = 4096;
/** ... and begin at multiples of the coarsest alignment that a segment may ask for. */
const spaceAlignment = 65536;

/** Carves a space out of the arena; `sizes` are rounded up to whole pages. Throws SpaceFullError; then nothing has changed. */
export let createSpace: (core: JitCore, sizes: PerSegment<number>, policy: AllocationPolicy) => CodeSpace;

/** A part of a Jit's arena from which code objects get their places. Made by `jit.createSpace`. */
export class CodeSpace {
  readonly #core: JitCore;
  readonly #ranges: PerSegment<OffsetRange>;
  readonly #allocators: PerSegment<Allocator>;
  /** The allocators' numbers in the Jit's reservations. */
  readonly #numbers: PerSegment<number>;
  #isDisposed = false;

  static {
    createSpace = (core, sizes, policy) => new CodeSpace(core, carve(core, sizes), policy);
  }

  private constructor(core: JitCore, ranges: PerSegment<OffsetRange>, policy: AllocationPolicy) {
    const AllocatorClass = policy === 'bump' ? BumpAllocator : FreeListAllocator;
    this.#core = core;
    this.#ranges = ranges;
    this.#allocators = perSegment((name) => new AllocatorClass(sizeOf(ranges[name])));
    this.#numbers = perSegment((name) => core.reservations.register(this.#allocators[name]));
    core.spaces.set(this, ranges);
  }

  /** Whether the space, or its Jit, is disposed. */
  get isDisposed(): boolean {
    return this.#isDisposed || this.#core.isDisposed;
  }

  /** Bytes of its code, constants and data range. */
  get sizes(): PerSegment<number> {
    return perSegment((name) => sizeOf(this.#ranges[name]));
  }

  /** Bytes of the code range that are reserved. */
  get usedBytes(): number {
    return this.#allocators.code.usedBytes;
  }

  /** Bytes of the code range that are not reserved. */
  get freeBytes(): number {
    return this.#allocators.code.freeBytes;
  }

  /** The largest code segment that could be reserved now, in bytes. */
  get largestFreeBytes(): number {
    return this.#allocators.code.largestFreeBytes;
  }

  /** 1 - largestFreeBytes / freeBytes of the code range; 0 if nothing is free. */
  get fragmentation(): number {
    return this.freeBytes === 0 ? 0 : 1 - this.largestFreeBytes / this.freeBytes;
  }

  /** How full all three ranges are. */
  occupancy(): PerSegment<Occupancy> {
    return perSegment((name) => {
      const { usedBytes, freeBytes, largestFreeBytes } = this.#allocators[name];
      return { usedBytes, freeBytes, largestFreeBytes };
    });
  }

  /**
   * Reserves a place: for every segment, or for the code alone if the rest of the code object is placed and stays (`moves: 'code'`).
   * Throws SpaceFullError, PlacementError (another Jit's) or StateError; then nothing has changed.
   */
  allocate(object: CodeObject): Placement {
    this.#requireUsable('allocate');
    const handle = handleIn(this.#core, object, 'allocate');
    const names = object.state === 'placed' && object.moves === 'code' ? codeAlone : segmentNames;
    const offsets = this.#takeAll(object, names);
    for (const name of names) {
      const offset = offsets[name];
      if (offset !== undefined) this.#core.reservations.add(handle, this.#numbers[name], offset, bytesOf(object, name));
    }
    return makePlacement(this, offsets.code ?? 0, offsets.constants, offsets.data);
  }

  /**
   * Gives back what `object` has reserved at `placement`: the code always, constants and data unless they still live there. Does nothing
   * where it has nothing reserved (any more), so the order of `release` and `free` does not matter. Throws PlacementError, StateError.
   */
  release(placement: Placement, object: CodeObject): void {
    this.#requireUsable('release');
    if (placement.space !== this) throw new PlacementError('release: the placement is of another space');
    if (object.state === 'freed') return;
    const handle = handleIn(this.#core, object, 'release');
    const { code, constants, data } = placement;
    this.#core.reservations.release(handle, this.#numbers.code, code);
    if (constants === undefined && data === undefined) return;
    const offsets = this.#core.native.describe(handle).offsets;
    const hasLeft = (name: SegmentName, offset: number, index: number): boolean =>
      offsets[index] !== this.#ranges[name].base + offset;
    if (constants !== undefined && hasLeft('constants', constants, 1))
      this.#core.reservations.release(handle, this.#numbers.constants, constants);
    if (data !== undefined && hasLeft('data', data, 2)) this.#core.reservations.release(handle, this.#numbers.data, data);
  }

  /** The code objects that have a segment here, in address order, without those that JS has forgotten. Throws StateError. */
  objects(): IterableIterator<CodeObject> {
    this.#requireUsable('objects');
    return this.#known(this.#handles());
  }

  /** Movable code objects that are where `allocate` has put their code, with their placements; without those in `except`. */
  *reserved(except: ReadonlySet<number>): IterableIterator<[CodeObject, Placement]> {
    if (this.#allocators.code.usedBytes === 0) return;
    for (const object of this.objects()) {
      const { placement } = object;
      if (placement?.space !== this || object.retain === 'none' || object.isFrozen || bytesOf(object, 'code') === 0) continue;
      const handle = handleIn(this.#core, object, 'reserved');
      const isReserved = this.#core.reservations.has(handle, this.#numbers.code, placement.code);
      if (isReserved && !except.has(handle)) yield [object, placement];
    }
  }

  /** Returns its ranges to the arena. Throws StateError unless it is empty; does nothing if it is disposed. */
  dispose(): void {
    if (this.isDisposed) return;
    const objects = this.#handles().length;
    if (objects > 0) throw new StateError(`dispose: there are still ${objects} code objects in the space`);
    const reserved = segmentNames.find((name) => this.#allocators[name].usedBytes > 0);
    if (reserved !== undefined) {
      throw new StateError(
        `dispose: ${this.#allocators[reserved].usedBytes} bytes of ${reserved} are still reserved in the space`,
      );
    }
    for (const name of segmentNames) this.#core.reservations.unregister(this.#numbers[name]);
    returnRanges(this.#core, this.#ranges);
    this.#core.spaces.delete(this);
    this.#isDisposed = true;
  }

  /** As `dispose`. */
  [Symbol.dispose](): void {
    this.dispose();
  }

  #requireUsable(what: string): void {
    this.#core.requireLive(what);
    if (this.#isDisposed) throw new StateError(`${what}: the space is disposed`);
  }

  #handles(): number[] {
    const [code, constants, data] = segmentNames.map((name): [number, number] => [
      this.#ranges[name].base,
      this.#ranges[name].limit,
    ]);
    return this.#core.native.objectsIn(code ?? [0, 0], constants ?? [0, 0], data ?? [0, 0]);
  }

  *#known(handles: readonly number[]): IterableIterator<CodeObject> {
    for (const handle of handles) {
      // Host functions are in no space.
      const object = this.#core.objects.get(handle) as CodeObject | undefined;
      if (object !== undefined) yield object;
    }
  }

  /** Takes memory for these segments, or for none of them. */
  #takeAll(object: CodeObject, names: readonly SegmentName[]): Offsets {
    const offsets: Offsets = {};
    try {
      for (const name of names) if (bytesOf(object, name) > 0) offsets[name] = this.#take(object, name);
    } catch (error) {
      for (const name of segmentNames)
        if (offsets[name] !== undefined) this.#allocators[name].release(offsets[name], bytesOf(object, name));
      throw error;
    }
    return offsets;
  }

  #take(object: CodeObject, name: SegmentName): number {
    const bytes = bytesOf(object, name);
    const offset = this.#allocators[name].allocate(bytes, alignmentOf(object, name));
    if (offset !== undefined) return offset;
    throw full(
      `the space has no room for the ${name} of code object '${object.name}'`,
      bytes,
      this.#allocators[name].largestFreeBytes,
    );
  }
}

function sizeOf({ base, limit }: OffsetRange): number {
  return limit - base;
}

function full(what: string, requestedBytes: number, largestFreeBytes: number): SpaceFullError {
  const message = `${what}: ${requestedBytes} bytes requested, the largest free block has ${largestFreeBytes}`;
  return new SpaceFullError(message, { requestedBytes, largestFreeBytes });
}

/** Takes the ranges of a new space out of the arena: all of them, or none. */
function carve(core: JitCore, sizes: PerSegment<number>): PerSegment<OffsetRange> {
  const ranges = { code: { base: 0, limit: 0 }, constants: { base: 0, limit: 0 }, data: { base: 0, limit: 0 } };
  for (const name of segmentNames) {
    const bytes = Math.ceil(sizes[name] / pageBytes) * pageBytes;
    if (bytes === 0) continue;
    const base = core.arena[name].allocate(bytes, spaceAlignment);
    if (base === undefined) {
      returnRanges(core, ranges);
      throw full(`the arena has no room for a space's ${name}`, bytes, core.arena[name].largestFreeBytes);
    }
    ranges[name] = { base, limit: base + bytes };
  }
  return ranges;
}

function returnRanges(core: JitCore, ranges: PerSegment<OffsetRange>): void {
  for (const name of segmentNames) {
    if (sizeOf(ranges[name]) > 0) core.arena[name].release(ranges[name].base, sizeOf(ranges[name]));
  }
}
