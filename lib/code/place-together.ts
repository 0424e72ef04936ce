/**
 * The first placement of code objects that refer to each other.
 *
 * In: unplaced code objects, a space or offsets. Out: they are placed. Always true: all are or none is, and then nothing is reserved for them.
 */
import { CodeRecord, type Code } from '../record/code-record';
import type { Region } from '../space/arena';
import { release, reserve, type Offsets } from '../space/reserve';
import { isPlaced, markPlaced, markUnplaced } from './life-cycle';
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
    objects.forEach(markPlaced);
    try {
      owner.native.placeBatch(moves, objects.length);
    } catch (error) {
      if (!isAnyPlaced(owner, moves)) {
        objects.forEach(markUnplaced);
        undo();
      }
      throw error;
    }
  });
}

/** Code objects with what has been reserved for them in one region. */
export interface Reserved {
  readonly region: Region;
  readonly places: ReadonlyArray<readonly [Code, Offsets]>;
}

/** Reserves a place in a region for each, or for none. Throws SpaceFullError, PlacementError, StateError. */
export function reserveAll(owner: CodeOwner, objects: readonly Code[], region: Region): Reserved {
  const places: Array<readonly [Code, Offsets]> = [];
  return owner.ledger.change(() => {
    try {
      for (const object of objects) places.push([object, reserve(owner, region, object)]);
      return { region, places };
    } catch (error) {
      giveBack(owner, { region, places });
      throw error;
    }
  });
}

/** Places them where they have a reservation. Throws what `placeTogether` throws; if nothing is placed, nothing is reserved. */
export function placeReserved(owner: CodeOwner, reserved: Reserved): void {
  const { region, places } = reserved;
  const offsets = places.map(([object, at]) => inArena(object, at, region));
  const objects = places.map(([object]) => object);
  placeTogether(owner, objects, offsets, () => giveBack(owner, reserved));
}

/** Places them in a region. Throws SpaceFullError, PlacementError, StateError; what constructors throw is thrown too: then all are placed. */
export function placeAll(owner: CodeOwner, objects: readonly Code[], region: Region): void {
  owner.ledger.change(() => placeReserved(owner, reserveAll(owner, objects, region)));
}

function giveBack(owner: CodeOwner, { region, places }: Reserved): void {
  for (const [object, at] of places) release(owner, region, at, object);
}

function inArena(object: Code, { code, constants, data }: Offsets, { ranges }: Region): ArenaOffsets {
  return [
    code === undefined ? -1 : offsetOf(object, 'code', code, ranges),
    constants === undefined ? -1 : offsetOf(object, 'constants', constants, ranges),
    data === undefined ? -1 : offsetOf(object, 'data', data, ranges),
  ];
}

function isAnyPlaced(owner: CodeOwner, moves: Int32Array): boolean {
  for (let i = 0; i < moves.length; i += moveLength) if (isPlaced(owner.native, moves[i] ?? 0)) return true;
  return false;
}
