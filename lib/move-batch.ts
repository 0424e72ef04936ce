/**
 * Many moves in one native call.
 *
 * In: code objects and placements. Out: a report. Always true: all move or none does; and a move costs no memory, because the buffer that
 * takes them to native code is used again.
 */
import { stageMove, type CodeObject } from './code-object';
import { show } from './check';
import type { JitCore } from './core';
import { readPlacement, type Placement, type ReadPlacement } from './segments';

/** What a batch of moves did. */
export interface MoveReport {
  /** Code objects moved. */
  readonly moved: number;
  /** Bytes copied. */
  readonly bytes: number;
  /** Relocations applied, those of dependents included. */
  readonly relocations: number;
  readonly nanoseconds: number;
}

/** A code object and where it is to go. */
export type Move = readonly [object: CodeObject, to: Placement];

const moveLength = 4;
/** An iterator of more moves than there are code objects never ends, or is wrong; with so few the errors are better. */
const leastMoves = 1024;

/** The batches of one Jit. */
export class MoveBatch {
  readonly #core: JitCore;
  readonly #report = new Float64Array(4);
  #buffer = new Int32Array(64 * moveLength);

  constructor(core: JitCore) {
    this.#core = core;
  }

  /** Relocates all of `moves`. Throws what `CodeObject.relocate` throws; then nothing has changed. */
  relocate(moves: Iterable<Move>): MoveReport {
    const { objects, placements } = readMoves(moves, Math.max(this.#core.objects.limit, leastMoves)); // whose own code may do anything, and so call this
    this.#core.requireLive('relocate');
    this.#reserve(objects.length);
    this.#stage(objects, placements);
    const report = this.#report;
    this.#core.native.moveBatch(this.#buffer, objects.length, report);
    const [moved = 0, bytes = 0, relocations = 0, nanoseconds = 0] = report;
    return { moved, bytes, relocations, nanoseconds };
  }

  #stage(objects: readonly unknown[], placements: readonly ReadPlacement[]): void {
    const core = this.#core;
    const buffer = this.#buffer;
    let space: unknown;
    let ranges;
    for (const [i, at] of placements.entries()) {
      if (ranges === undefined || at.space !== space) {
        ranges = core.rangesFor(at.space);
        space = at.space;
      }
      stageMove(core, objects[i], at, ranges, buffer, i * moveLength);
    }
  }

  #reserve(moves: number): void {
    const length = moves * moveLength;
    if (length > this.#buffer.length) this.#buffer = new Int32Array(Math.ceil(length * 1.5));
  }
}

/** All that a user says, each read once and before anything is done. Throws TypeError, RangeError, and what the user's code throws. */
function readMoves(moves: Iterable<Move>, most: number): { objects: unknown[]; placements: ReadPlacement[] } {
  if (typeof (moves as Partial<Iterable<Move>> | null | undefined)?.[Symbol.iterator] !== 'function')
    throw new TypeError(`relocate: the moves must be an iterable of pairs of CodeObject and Placement, not ${show(moves)}`);
  const objects: unknown[] = [];
  const placements: ReadPlacement[] = [];
  const read = (move: unknown): void => {
    if (objects.length === most) throw new RangeError(`relocate: there are more moves than code objects`);
    if (!Array.isArray(move)) throw new TypeError('relocate: a move must be a pair of CodeObject and Placement');
    const object: unknown = move[0]; // by index: destructuring would run an iterator for each move
    const at: unknown = move[1];
    if (typeof at !== 'object' || at === null) throw new TypeError('relocate: a move must be a pair of CodeObject and Placement');
    objects.push(object);
    placements.push(readPlacement(at));
  };
  for (const move of moves) read(move);
  return { objects, placements };
}
