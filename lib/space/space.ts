/**
 * A part of the arena under one allocation policy.
 *
 * In: code objects. Out: placements for them. Always true: every reservation is given back exactly once, by `release` or by the death of
 * its code object. A space has a range in each of the arena's ranges; the figures without a name are about code.
 */
import { constructorKey, requireKey } from '../check';
import { alignmentOf, bytesOf, handleIn, isCodeObject, nameOf, placementOf, statusIn, type CodeObject } from '../code-object';
import type { JitCore } from '../core';
import { PlacementError, SpaceFullError, StateError } from '../errors';
import {
  makePlacement,
  perSegment,
  readPlacement,
  segmentNames,
  type OffsetRange,
  type PerSegment,
  type Placement,
  type ReadPlacement,
  type SegmentName,
} from '../segments';
import { isInt32 } from '../placement-offsets';
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
/** As `createSpace`, for a collector: users can look at it, and nothing else. */
export let createOwnedSpace: (core: JitCore, sizes: PerSegment<number>) => CodeSpace;
/** Whether it is a collector's. */
export let isOwned: (space: CodeSpace) => boolean;
/** Whether `value` is a space, of any Jit. */
export let isCodeSpace: (value: unknown) => value is CodeSpace;
/** The numbers of its allocators in the Jit's reservations. */
export let numbersOf: (space: CodeSpace) => readonly number[];
/** As the methods `allocate`, `release` and `dispose`, which may be anybody's. */
export let allocateIn: (space: CodeSpace, object: CodeObject) => Placement;
export let releaseIn: (space: CodeSpace, placement: Placement, object: CodeObject) => void;
export let disposeSpace: (space: CodeSpace) => void;
/** Movable code objects that are where `allocate` has put their code, with their placements; without those in `except`. */
export let reservedIn: (space: CodeSpace, except: ReadonlySet<number>) => IterableIterator<[CodeObject, Placement]>;

/** A part of a Jit's arena from which code objects get their places. Made by `jit.createSpace`. */
export class CodeSpace {
  readonly #core: JitCore;
  readonly #ranges: PerSegment<OffsetRange>;
  readonly #allocators: PerSegment<Allocator>;
  /** The allocators' numbers in the Jit's reservations. */
  readonly #numbers: PerSegment<number>;
  readonly #isOwned: boolean;
  #isDisposed = false;

  static {
    const make = (core: JitCore, sizes: PerSegment<number>, policy: AllocationPolicy, owned: boolean): CodeSpace =>
      core.ledger.change(() => new CodeSpace(constructorKey, core, carve(core, sizes), policy, owned));
    createSpace = (core, sizes, policy) => make(core, sizes, policy, false);
    createOwnedSpace = (core, sizes) =>
      core.ledger.change(() => {
        const space = make(core, sizes, 'free-list', true);
        core.unfinished.push(space);
        return space;
      });
    isOwned = (space) => space.#isOwned;
    isCodeSpace = (value): value is CodeSpace => typeof value === 'object' && value !== null && #isOwned in value;
    numbersOf = (space) => segmentNames.map((name) => space.#numbers[name]);
    allocateIn = (space, object) => space.#allocate(object);
    releaseIn = (space, placement, object) => space.#release(readPlacement(placement), object);
    disposeSpace = (space) => space.#dispose();
    reservedIn = (space, except) => space.#reserved(except);
  }

  private constructor(key: symbol, core: JitCore, ranges: PerSegment<OffsetRange>, policy: AllocationPolicy, owned: boolean) {
    requireKey(key, 'CodeSpace', 'jit.createSpace');
    this.#isOwned = owned;
    const AllocatorClass = policy === 'bump' ? BumpAllocator : FreeListAllocator;
    this.#core = core;
    this.#ranges = ranges;
    this.#allocators = perSegment((name) => new AllocatorClass(sizeOf(ranges[name])));
    this.#numbers = perSegment((name) => core.reservations.register(this.#allocators[name]));
    core.spaces.set(this, ranges);
  }

  /** Whether the space, or its Jit, is disposed. */
  get isDisposed(): boolean {
    this.#core.settle();
    return this.#isDisposed || this.#core.isDisposed;
  }

  /** Bytes of its code, constants and data range. */
  get sizes(): PerSegment<number> {
    return perSegment((name) => sizeOf(this.#ranges[name]));
  }

  /** Bytes of the code range that are reserved. */
  get usedBytes(): number {
    this.#core.settle();
    return this.#allocators.code.usedBytes;
  }

  /** Bytes of the code range that are not reserved. */
  get freeBytes(): number {
    this.#core.settle();
    return this.#allocators.code.freeBytes;
  }

  /** The largest code segment that could be reserved now, in bytes. */
  get largestFreeBytes(): number {
    this.#core.settle();
    return this.#allocators.code.largestFreeBytes;
  }

  /** 1 - largestFreeBytes / freeBytes of the code range; 0 if nothing is free. */
  get fragmentation(): number {
    return this.freeBytes === 0 ? 0 : 1 - this.largestFreeBytes / this.freeBytes;
  }

  /** How full all three ranges are. */
  occupancy(): PerSegment<Occupancy> {
    this.#core.settle();
    return perSegment((name) => {
      const { usedBytes, freeBytes, largestFreeBytes } = this.#allocators[name];
      return { usedBytes, freeBytes, largestFreeBytes };
    });
  }

  /**
   * Reserves a place: for every segment, or for the code alone if the rest of the code object is placed and stays (`moves: 'code'`). Where there
   * is none, what JS has dropped is freed first, which takes a collection of V8's or two.
   * Throws SpaceFullError, PlacementError (another Jit's) or StateError; then nothing has changed.
   */
  allocate(object: CodeObject): Placement {
    return this.#core.withRoom(() => {
      this.#requireUsable('allocate');
      this.#requireUnowned('allocate');
      return this.#allocate(object);
    });
  }

  #allocate(object: CodeObject): Placement {
    const handle = handleIn(this.#core, object, 'allocate');
    const { state, moves } = statusIn(object);
    const names = state === 'placed' && moves === 'code' ? codeAlone : segmentNames;
    const { ledger, reservations } = this.#core;
    return ledger.change(() => {
      const offsets = this.#takeAll(object, names);
      for (const name of names) {
        const offset = offsets[name];
        if (offset !== undefined) reservations.add(handle, this.#numbers[name], offset, bytesOf(object, name));
      }
      return makePlacement(this, offsets.code ?? 0, offsets.constants, offsets.data);
    });
  }

  /**
   * Gives back what `object` has reserved at `placement`: the code always, constants and data unless they still live there. Does nothing
   * where it has nothing reserved (any more), so the order of `release` and `free` does not matter. Throws PlacementError, StateError, TypeError.
   */
  release(placement: Placement, object: CodeObject): void {
    this.#requireUsable('release');
    const at = readPlacement(placement);
    this.#requireUsable('release'); // the placement's getters may have done anything
    this.#release(at, object);
  }

  #release({ space, code, constants, data }: ReadPlacement, object: CodeObject): void {
    if (space !== this) throw new PlacementError('release: the placement is of another space');
    if (isFreedObject(object)) return;
    const handle = handleIn(this.#core, object, 'release');
    const { ledger, native, reservations } = this.#core;
    const numbers = this.#numbers;
    ledger.change(() => {
      if (isOffset(code)) reservations.release(handle, numbers.code, code);
      if (!isOffset(constants) && !isOffset(data)) return;
      const offsets = native.describe(handle).offsets;
      const hasLeft = (name: SegmentName, offset: number, index: number): boolean =>
        offsets[index] !== this.#ranges[name].base + offset;
      if (isOffset(constants) && hasLeft('constants', constants, 1)) reservations.release(handle, numbers.constants, constants);
      if (isOffset(data) && hasLeft('data', data, 2)) reservations.release(handle, numbers.data, data);
    });
  }

  /** The code objects that have a segment here, in address order, without those that JS has forgotten. Throws StateError. */
  objects(): IterableIterator<CodeObject> {
    this.#requireUsable('objects');
    return this.#known(this.#handles());
  }

  *#reserved(except: ReadonlySet<number>): IterableIterator<[CodeObject, Placement]> {
    if (this.#allocators.code.usedBytes === 0) return;
    for (const object of this.objects()) {
      const placement = placementOf(object);
      const { retain, isFrozen } = statusIn(object);
      if (placement?.space !== this || retain === 'none' || isFrozen || bytesOf(object, 'code') === 0) continue;
      const handle = handleIn(this.#core, object, 'reserved');
      const isReserved = this.#core.reservations.has(handle, this.#numbers.code, placement.code);
      if (isReserved && !except.has(handle)) yield [object, placement];
    }
  }

  /** Returns its ranges to the arena. Throws StateError unless it is empty, or if it is a collector's; does nothing if it is disposed. */
  dispose(): void {
    if (this.isDisposed) return;
    this.#requireUnowned('dispose');
    this.#dispose();
  }

  #dispose(): void {
    if (this.#isDisposed || this.#core.isDisposed) return;
    const objects = this.#handles().length;
    if (objects > 0) throw new StateError(`dispose: there are still ${objects} code objects in the space`);
    const reserved = segmentNames.find((name) => this.#allocators[name].usedBytes > 0);
    if (reserved !== undefined) {
      throw new StateError(
        `dispose: ${this.#allocators[reserved].usedBytes} bytes of ${reserved} are still reserved in the space`,
      );
    }
    this.#core.ledger.change(() => {
      this.#isDisposed = true;
      this.#core.spaces.delete(this);
      for (const name of segmentNames) this.#core.reservations.unregister(this.#numbers[name]);
      returnRanges(this.#core, this.#ranges);
    });
  }

  /** As `dispose`. */
  [Symbol.dispose](): void {
    this.dispose();
  }

  #requireUsable(what: string): void {
    this.#core.requireLive(what);
    if (this.#isDisposed) throw new StateError(`${what}: the space is disposed`);
  }

  #requireUnowned(what: string): void {
    if (this.#isOwned) throw new StateError(`${what}: the space is a collector's own, which alone uses it`);
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
      `the space has no room for the ${name} of code object '${nameOf(object)}'`,
      bytes,
      this.#allocators[name].largestFreeBytes,
    );
  }
}

/** Those have no reservations. A release of what is no CodeObject is refused like any other operation. */
function isFreedObject(object: CodeObject): boolean {
  return isCodeObject(object) && statusIn(object).state === 'freed';
}

/** No other value is where something is reserved. */
function isOffset(value: unknown): value is number {
  return isInt32(value) && value >= 0;
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
