/**
 * What code objects reserve in regions.
 *
 * In: a region, a code object. Out: offsets in the region's ranges. Always true: every reservation is given back exactly once, by `release` or by the
 * death of its code object.
 */
import { isInt32 } from '../base/check';
import { StateError } from '../base/errors';
import type { Handle } from '../base/native';
import { segmentNames, type SegmentName } from '../base/segments';
import { CodeRecord, type Code } from '../record/code-record';
import type { Owner } from '../record/owner';
import type { Allocator } from './allocator';
import { full, type Arena, type Region } from './arena';
import type { ReadOffsets } from './placement';

/** What spaces need of a Jit. */
export interface SpaceOwner extends Owner {
  readonly arena: Arena;
}

/** Where segments are reserved. */
export type Offsets = Partial<Record<SegmentName, number>>;

const codeAlone: readonly SegmentName[] = ['code'];

/**
 * Reserves a place: for every segment, or for the code alone if the rest of the code object is placed and stays (`moves: 'code'`).
 * Throws SpaceFullError, PlacementError (another Jit's) or StateError (freed); then nothing has changed.
 */
export function reserve(owner: SpaceOwner, region: Region, code: Code): Offsets {
  const handle = CodeRecord.handleIn(owner, code, 'allocate');
  const { state, moves } = CodeRecord.statusOf(code);
  const names = state === 'placed' && moves === 'code' ? codeAlone : segmentNames;
  return owner.ledger.change(() => {
    const offsets = takeAll(region, code, names);
    for (const name of names) {
      const offset = offsets[name];
      if (offset !== undefined)
        owner.arena.reservations.add(handle, region.numbers[name], offset, CodeRecord.bytesOf(code, name));
    }
    return offsets;
  });
}

/** Gives back what `code` has reserved at these offsets: the code always, constants and data unless they still live there. */
export function release(owner: SpaceOwner, region: Region, at: ReadOffsets, code: Code): void {
  if (CodeRecord.is(code) && CodeRecord.statusOf(code).state === 'freed') return; // it has no reservations
  const handle = CodeRecord.handleIn(owner, code, 'release');
  const { reservations } = owner.arena;
  owner.ledger.change(() => {
    if (isOffset(at.code)) reservations.release(handle, region.numbers.code, at.code);
    if (!isOffset(at.constants) && !isOffset(at.data)) return;
    const now = owner.native.describe(handle).offsets;
    for (const [index, name] of segmentNames.entries()) {
      const offset = at[name];
      const hasLeft = isOffset(offset) && now[index] !== region.ranges[name].base + offset;
      if (name !== 'code' && hasLeft) reservations.release(handle, region.numbers[name], offset);
    }
  });
}

/** Returns a region to the arena. Throws StateError unless it is empty; does nothing if it is disposed. */
export function disposeRegion(owner: SpaceOwner, region: Region): void {
  if (region.isDisposed || owner.isDisposed) return;
  const objects = handlesIn(owner, region).length;
  if (objects > 0) throw new StateError(`dispose: there are still ${objects} code objects in the space`);
  const reserved = segmentNames.find((name) => region.allocators[name].usedBytes > 0);
  if (reserved !== undefined) {
    const { usedBytes } = region.allocators[reserved];
    throw new StateError(`dispose: ${usedBytes} bytes of ${reserved} are still reserved in the space`);
  }
  owner.ledger.change(() => owner.arena.giveBack(region));
}

/** Code objects that have a segment in a region, in address order. */
export function handlesIn({ native }: SpaceOwner, { ranges: { code, constants, data } }: Region): Handle[] {
  return native.objectsIn([code.base, code.limit], [constants.base, constants.limit], [data.base, data.limit]);
}

/** Takes memory for these segments, or for none of them. */
function takeAll({ allocators }: Region, code: Code, names: readonly SegmentName[]): Offsets {
  const offsets: Offsets = {};
  try {
    for (const name of names) if (CodeRecord.bytesOf(code, name) > 0) offsets[name] = take(allocators[name], code, name);
  } catch (error) {
    for (const name of segmentNames)
      if (offsets[name] !== undefined) allocators[name].release(offsets[name], CodeRecord.bytesOf(code, name));
    throw error;
  }
  return offsets;
}

function take(allocator: Allocator, code: Code, name: SegmentName): number {
  const bytes = CodeRecord.bytesOf(code, name);
  const offset = allocator.allocate(bytes, CodeRecord.alignmentOf(code, name));
  if (offset !== undefined) return offset;
  throw full(
    `the space has no room for the ${name} of code object '${CodeRecord.nameOf(code)}'`,
    bytes,
    allocator.largestFreeBytes,
  );
}

/** No other value is where something is reserved. */
function isOffset(value: unknown): value is number {
  return isInt32(value) && value >= 0;
}
