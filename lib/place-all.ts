/**
 * The first placement of code objects that refer to each other.
 *
 * In: unplaced code objects, a space. Out: they are placed. Always true: all are or none is, and then nothing of the space is reserved.
 */
import { markPlaced, stagePlacement, type CodeObject } from './code-object';
import type { JitCore } from './core';
import type { Placement } from './segments';
import type { CodeSpace } from './space/space';

const moveLength = 4;

/** Throws SpaceFullError, PlacementError, StateError; what constructors throw is thrown too: then all are placed. */
export function placeAll(core: JitCore, objects: readonly CodeObject[], space: CodeSpace): void {
  const reserved: Array<[CodeObject, Placement]> = [];
  const isPlaced = (): boolean =>
    reserved.some(([object]) => core.native.describe(handleOf(object)).offsets.some((at) => at >= 0));
  const moves = new Int32Array(objects.length * moveLength);
  const handleOf = (object: CodeObject): number => moves[objects.indexOf(object) * moveLength]!;
  try {
    for (const [i, object] of objects.entries()) {
      const at = space.allocate(object);
      reserved.push([object, at]);
      stagePlacement(core, object, at, moves, i * moveLength);
    }
    core.native.placeBatch(moves, objects.length);
  } catch (error) {
    if (isPlaced()) objects.forEach(markPlaced);
    else for (const [object, at] of reserved) space.release(at, object);
    throw error;
  }
  objects.forEach(markPlaced);
}
