/**
 * Many moves in one native call.
 *
 * In: code objects and placements. Out: a report. Always true: all move or none does; and a move costs no memory, because the buffer that
 * takes them to native code is used again.
 */
import type { CodeObject } from './code-object';
import { stageMove } from './code-object-friends';
import { show } from './check';
import type { JitCore } from './core';
import type { Placement, ReadPlacement } from './segments';

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
const valuesPerMove = 5;
/** An iterator of more moves than there are code objects never ends, or is wrong; with so few the errors are better. */
const leastMoves = 1024;

/** The batches of one Jit. */
export class MoveBatch {
  readonly #core: JitCore;
  readonly #report = new Float64Array(4);
  /** Where moves are read to; it holds nothing between calls. */
  #values: unknown[] = [];
  #buffer = new Int32Array(64 * moveLength);

  constructor(core: JitCore) {
    this.#core = core;
  }

  /** Relocates all of `moves`. Throws what `CodeObject.relocate` throws; then nothing has changed. */
  relocate(moves: Iterable<Move>): MoveReport {
    const values = this.#values;
    this.#values = [];
    const most = Math.max(this.#core.objects.limit, leastMoves);
    const count = readMoves(moves, most, values); // whose own code may do anything, and so call this
    this.#core.requireLive('relocate');
    this.#reserve(count);
    this.#stage(values, count);
    this.#values = values.fill(undefined, 0, count * valuesPerMove);
    const report = this.#report;
    this.#core.native.moveBatch(this.#buffer, count, report);
    const [moved = 0, bytes = 0, relocations = 0, nanoseconds = 0] = report;
    return { moved, bytes, relocations, nanoseconds };
  }

  #stage(values: readonly unknown[], count: number): void {
    const core = this.#core;
    const buffer = this.#buffer;
    let space: unknown;
    let ranges;
    for (let i = 0, at = 0; i < count; i++, at += valuesPerMove) {
      if (ranges === undefined || values[at + 1] !== space) {
        space = values[at + 1];
        ranges = core.rangesFor(space);
      }
      stageMove(core, values, at, ranges, buffer, i * moveLength);
    }
  }

  #reserve(moves: number): void {
    const length = moves * moveLength;
    if (length > this.#buffer.length) this.#buffer = new Int32Array(Math.ceil(length * 1.5));
  }
}

/**
 * All that a user says, each read once and before anything is done: object, space, code, constants, data of each move. Returns how many there are.
 * Throws TypeError, RangeError, and what the user's code throws.
 */
function readMoves(moves: Iterable<Move>, most: number, values: unknown[]): number {
  if (typeof (moves as Partial<Iterable<Move>> | null | undefined)?.[Symbol.iterator] !== 'function')
    throw new TypeError(`relocate: the moves must be an iterable of pairs of CodeObject and Placement, not ${show(moves)}`);
  let count = 0;
  for (const move of moves as Iterable<unknown>) {
    if (count === most) throw new RangeError(`relocate: there are more moves than code objects`);
    if (!Array.isArray(move)) throw new TypeError('relocate: a move must be a pair of CodeObject and Placement');
    const object: unknown = move[0]; // by index: destructuring would run an iterator for each move
    const at: unknown = move[1];
    if (typeof at !== 'object' || at === null) throw new TypeError('relocate: a move must be a pair of CodeObject and Placement');
    const { space, code, constants, data } = at as ReadPlacement;
    const to = count++ * valuesPerMove;
    values[to] = object;
    values[to + 1] = space;
    values[to + 2] = code;
    values[to + 3] = constants;
    values[to + 4] = data;
  }
  return count;
}
