/**
 * The first placement of code objects that refer to each other.
 *
 * In: unplaced code objects, a space or offsets. Out: they are placed. Always true: all are or none is, and then nothing is reserved for them.
 */
import { CodeRecord, type Code } from '../record/code-record';
import type { Region } from '../space/arena';
import { release, reserve, type Offsets } from '../space/reserve';
import { markPlaced } from './life-cycle';
import { offsetOf } from './offsets';
import type { CodeOwner } from './owner';

const moveLength = 4;

/** Offsets in the arena's ranges; -1 where there is no such segment. */
export type ArenaOffsets = readonly [code: number, constants: number, data: number];

/** Places them at `offsets`. Throws PlacementError, StateError after `undo`; what constructors throw is thrown too: then all are placed. */
export function placeTogether(
  owner: CodeOwner,
  objects: readonly Code[],
  offsets: readonly ArenaOffsets[],
  undo: () => void,
): void {
  const moves = new Int32Array(objects.length * moveLength);
  for (const [i, object] of objects.entries())
    moves.set([CodeRecord.handleIn(owner, object, 'place'), ...(offsets[i] ?? [-1, -1, -1])], i * moveLength);
  owner.ledger.change(() => {
    try {
      owner.native.placeBatch(moves, objects.length);
    } catch (error) {
      if (!isAnyPlaced(owner, moves)) undo();
      else objects.forEach(markPlaced);
      throw error;
    }
    objects.forEach(markPlaced);
  });
}

/** Places them in a region. Throws SpaceFullError, PlacementError, StateError; what constructors throw is thrown too: then all are placed. */
export function placeAll(owner: CodeOwner, objects: readonly Code[], region: Region): void {
  const reserved: Array<readonly [Code, Offsets]> = [];
  const undo = (): void => reserved.forEach(([object, at]) => release(owner, region, at, object));
  owner.ledger.change(() => {
    try {
      for (const object of objects) reserved.push([object, reserve(owner, region, object)]);
    } catch (error) {
      undo();
      throw error;
    }
    const offsets = reserved.map(([object, at]) => inArena(object, at, region));
    placeTogether(owner, objects, offsets, undo);
  });
}

function inArena(object: Code, { code, constants, data }: Offsets, { ranges }: Region): ArenaOffsets {
  return [
    code === undefined ? -1 : offsetOf(object, 'code', code, ranges),
    constants === undefined ? -1 : offsetOf(object, 'constants', constants, ranges),
    data === undefined ? -1 : offsetOf(object, 'data', data, ranges),
  ];
}

function isAnyPlaced(owner: CodeOwner, moves: Int32Array): boolean {
  for (let i = 0; i < moves.length; i += moveLength)
    if (owner.native.describe(moves[i] ?? 0).offsets.some((offset) => offset >= 0)) return true;
  return false;
}
