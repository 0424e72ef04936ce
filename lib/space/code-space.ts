/**
 * What users see of a region: a part of the arena under one allocation policy.
 *
 * In: code objects. Out: placements for them. Always true: a space has a range in each of the arena's ranges; the figures without a name are about
 * code. `C` is the class of code objects, which only those know that import this.
 */
import { construct, isObject, requireKey, show } from '../base/check';
import { PlacementError, StateError } from '../base/errors';
import { perSegment, type PerSegment } from '../base/segments';
import { Stamp } from '../base/stamp';
import type { Code } from '../record/code-record';
import { sizeOf, type AllocationPolicy, type Region } from './arena';
import { makePlacement, readPlacement, type PlacementIn } from './placement';
import { disposeRegion, handlesIn, release, reserve, type SpaceOwner } from './reserve';

/** How full one range of a space is, in bytes. */
export interface Occupancy {
  readonly usedBytes: number;
  readonly freeBytes: number;
  readonly largestFreeBytes: number;
}

/** The private field of every space by which others find its region. */
class SpaceRecord extends Stamp {
  readonly #region: Region;

  constructor(space: object, region: Region) {
    super(space);
    this.#region = region;
  }

  static regionOf(value: unknown): Region | undefined {
    return isObject(value) && #region in value ? value.#region : undefined;
  }
}

/** The region of a space, of any Jit; undefined for other values. */
export function regionOf(value: unknown): Region | undefined {
  return SpaceRecord.regionOf(value);
}

/** The region of a space that a user names. Throws PlacementError (no space of this Jit) or StateError (disposed, or a collector's). */
export function regionFor({ arena }: SpaceOwner, space: unknown): Region {
  const region = SpaceRecord.regionOf(space);
  if (region?.isDisposed === true) throw new StateError('placement: the space is disposed');
  if (region?.arena !== arena)
    throw new PlacementError(`placement: \`space\` must be a CodeSpace of the same Jit, not ${show(space)}`);
  if (region.isOwned) throw new StateError("placement: the space is a collector's own, which alone places there");
  return region;
}

/** Takes a region out of the arena, with a space; `sizes` are rounded up to whole pages. Throws SpaceFullError; then nothing has changed. */
export function makeRegion(owner: SpaceOwner, sizes: PerSegment<number>, policy: AllocationPolicy): Region {
  return owner.ledger.change(() => withSpace(owner, owner.arena.carve(sizes, policy, false)));
}

/** As `makeRegion`, for an owner that is being made, and that alone places there. */
export function makeOwnedRegion(owner: SpaceOwner, sizes: PerSegment<number>): Region {
  return owner.ledger.change(() => {
    const region = withSpace(owner, owner.arena.carve(sizes, 'free-list', true));
    owner.arena.unfinished.push(region);
    return region;
  });
}

function withSpace(owner: SpaceOwner, region: Region): Region {
  region.space = construct<object>(CodeSpace, owner, region);
  return region;
}

/** A part of a Jit's arena from which code objects get their places. Made by `jit.createSpace`. */
export class CodeSpace<C extends Code> {
  readonly #owner: SpaceOwner;
  readonly #region: Region;

  private constructor(key: symbol, owner: SpaceOwner, region: Region) {
    requireKey(key, 'CodeSpace', 'jit.createSpace');
    this.#owner = owner;
    this.#region = region;
    new SpaceRecord(this, region);
  }

  /** Whether the space, or its Jit, is disposed. */
  get isDisposed(): boolean {
    this.#owner.settle();
    return this.#region.isDisposed || this.#owner.isDisposed;
  }

  /** Bytes of its code, constants and data range. */
  get sizes(): PerSegment<number> {
    return perSegment((name) => sizeOf(this.#region.ranges[name]));
  }

  /** Bytes of the code range that are reserved. */
  get usedBytes(): number {
    this.#owner.settle();
    return this.#region.allocators.code.usedBytes;
  }

  /** Bytes of the code range that are not reserved. */
  get freeBytes(): number {
    this.#owner.settle();
    return this.#region.allocators.code.freeBytes;
  }

  /** The largest code segment that could be reserved now, in bytes. */
  get largestFreeBytes(): number {
    this.#owner.settle();
    return this.#region.allocators.code.largestFreeBytes;
  }

  /** 1 - largestFreeBytes / freeBytes of the code range; 0 if nothing is free. */
  get fragmentation(): number {
    return this.freeBytes === 0 ? 0 : 1 - this.largestFreeBytes / this.freeBytes;
  }

  /** How full all three ranges are. */
  occupancy(): PerSegment<Occupancy> {
    this.#owner.settle();
    return perSegment((name) => {
      const { usedBytes, freeBytes, largestFreeBytes } = this.#region.allocators[name];
      return { usedBytes, freeBytes, largestFreeBytes };
    });
  }

  /**
   * Reserves a place: for every segment, or for the code alone if the rest of the code object is placed and stays (`moves: 'code'`). Where there
   * is none, what JS has dropped is freed first, which takes a collection of V8's or two. Throws SpaceFullError, PlacementError (another Jit's) or StateError; then nothing has changed.
   */
  allocate(object: C): PlacementIn<CodeSpace<C>> {
    const { code, constants, data } = this.#owner.withRoom(() => {
      this.#requireUsable('allocate');
      this.#requireUnowned('allocate');
      return reserve(this.#owner, this.#region, object);
    });
    return makePlacement<CodeSpace<C>>(this, code ?? 0, constants, data);
  }

  /**
   * Gives back what `object` has reserved at `placement`: the code always, constants and data unless they still live there. Does nothing
   * where it has nothing reserved (any more), so the order of `release` and `free` does not matter. Throws PlacementError, StateError, TypeError.
   */
  release(placement: PlacementIn<CodeSpace<C>>, object: C): void {
    this.#requireUsable('release');
    const at = readPlacement(placement);
    this.#requireUsable('release'); // the placement's getters may have done anything
    if (at.space !== this) throw new PlacementError('release: the placement is of another space');
    release(this.#owner, this.#region, at, object);
  }

  /** The code objects that have a segment here, in address order, without those that JS has forgotten. Throws StateError. */
  objects(): IterableIterator<C> {
    this.#requireUsable('objects');
    return this.#known(handlesIn(this.#owner, this.#region));
  }

  /** Returns its ranges to the arena. Throws StateError unless it is empty, or if it is a collector's; does nothing if it is disposed. */
  dispose(): void {
    if (this.isDisposed) return;
    this.#requireUnowned('dispose');
    disposeRegion(this.#owner, this.#region);
  }

  /** As `dispose`. */
  [Symbol.dispose](): void {
    this.dispose();
  }

  #requireUsable(what: string): void {
    this.#owner.requireLive(what);
    if (this.#region.isDisposed) throw new StateError(`${what}: the space is disposed`);
  }

  #requireUnowned(what: string): void {
    if (this.#region.isOwned) throw new StateError(`${what}: the space is a collector's own, which alone uses it`);
  }

  *#known(handles: readonly number[]): IterableIterator<C> {
    for (const handle of handles) {
      // Host functions are in no space.
      const object = this.#owner.objects.get(handle) as C | undefined;
      if (object !== undefined) yield object;
    }
  }
}
