/**
 * The first placement of code objects that refer to each other.
 *
 * In: unplaced code objects, a space or offsets. Out: they are placed. Always true: all are or none is, and then nothing is reserved for them.
 */
import { handleIn, markPlaced, type CodeObject } from './code-object';
import type { JitCore } from './core';
import { offsetOf } from './placement-offsets';
import type { OffsetRange, PerSegment, Placement, SegmentName } from './segments';
import { allocateIn, releaseIn, type CodeSpace } from './space/space';

const moveLength = 4;

/** Offsets in the arena's ranges; -1 where there is no such segment. */
export type Offsets = readonly [code: number, constants: number, data: number];

/** Places them at `offsets`. Throws PlacementError, StateError after `undo`; what constructors throw is thrown too: then all are placed. */
export function placeTogether(
  core: JitCore,
  objects: readonly CodeObject[],
  offsets: readonly Offsets[],
  undo: () => void,
): void {
  const moves = new Int32Array(objects.length * moveLength);
  for (const [i, object] of objects.entries())
    moves.set([handleIn(core, object, 'place'), ...(offsets[i] ?? [-1, -1, -1])], i * moveLength);
  core.ledger.change(() => {
    try {
      core.native.placeBatch(moves, objects.length);
    } catch (error) {
      if (!isAnyPlaced(core, moves)) undo();
      else objects.forEach(markPlaced);
      throw error;
    }
    objects.forEach(markPlaced);
  });
}

/** Code objects with what has been reserved for them, all in one space. */
export interface Reserved {
  readonly space: CodeSpace;
  readonly places: ReadonlyArray<readonly [CodeObject, Placement]>;
}

/** Reserves a place in `space` for each, or for none. Throws SpaceFullError, PlacementError, StateError. */
export function reserveAll(core: JitCore, objects: readonly CodeObject[], space: CodeSpace): Reserved {
  const places: Array<readonly [CodeObject, Placement]> = [];
  return core.ledger.change(() => {
    try {
      for (const object of objects) places.push([object, allocateIn(space, object)]);
      return { space, places };
    } catch (error) {
      giveBack({ space, places });
      throw error;
    }
  });
}

/** Places them where they have a reservation. Throws what `placeTogether` throws; if nothing is placed, nothing is reserved. */
export function placeAt(core: JitCore, reserved: Reserved): void {
  const { space, places } = reserved;
  const ranges = core.rangesFor(space);
  const offsets = places.map(([object, at]) => offsetsOf(object, at, ranges));
  const objects = places.map(([object]) => object);
  placeTogether(core, objects, offsets, () => giveBack(reserved));
}

/** Places them in `space`. Throws SpaceFullError, PlacementError, StateError; what constructors throw is thrown too: then all are placed. */
export function placeAll(core: JitCore, objects: readonly CodeObject[], space: CodeSpace): void {
  core.rangesFor(space); // says whether it may be used at all
  core.ledger.change(() => placeAt(core, reserveAll(core, objects, space)));
}

function giveBack({ space, places }: Reserved): void {
  for (const [object, at] of places) releaseIn(space, at, object);
}

function offsetsOf(object: CodeObject, at: Placement, ranges: PerSegment<OffsetRange>): Offsets {
  const offset = (name: SegmentName): number => (at[name] === undefined ? -1 : offsetOf(object, name, at[name], ranges));
  return [offset('code'), offset('constants'), offset('data')];
}

function isAnyPlaced(core: JitCore, moves: Int32Array): boolean {
  for (let i = 0; i < moves.length; i += moveLength)
    if (core.native.describe(moves[i] ?? 0).offsets.some((offset) => offset >= 0)) return true;
  return false;
}
