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

/** Places them in `space`. Throws SpaceFullError, PlacementError, StateError; what constructors throw is thrown too: then all are placed. */
export function placeAll(core: JitCore, objects: readonly CodeObject[], space: CodeSpace): void {
  const ranges = core.rangesFor(space);
  const reserved: Array<readonly [CodeObject, Placement]> = [];
  const undo = (): void => reserved.forEach(([object, at]) => releaseIn(space, at, object));
  core.ledger.change(() => {
    try {
      for (const object of objects) reserved.push([object, allocateIn(space, object)]);
    } catch (error) {
      undo();
      throw error;
    }
    const offsets = reserved.map(([object, at]) => offsetsOf(object, at, ranges));
    placeTogether(core, objects, offsets, undo);
  });
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
