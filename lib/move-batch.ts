/**
 * Many moves in one native call.
 *
 * In: code objects and placements. Out: a report. Always true: all move or none does; and a move costs no memory, because the buffer that
 * takes them to native code is used again.
 */
import { stageMove, type CodeObject } from './code-object';
import { show } from './check';
import type { JitCore } from './core';
import type { Placement } from './segments';

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
    if (typeof (moves as Partial<Iterable<Move>> | null | undefined)?.[Symbol.iterator] !== 'function')
      throw new TypeError(`relocate: the moves must be an iterable of pairs of CodeObject and Placement, not ${show(moves)}`);
    // An iterator may run anything between two moves: it is emptied first.
    const list: readonly Move[] = Array.isArray(moves) ? (moves as readonly Move[]) : Array.from(moves);
    this.#reserve(list.length);
    this.#stage(list);
    const report = this.#report;
    this.#core.native.moveBatch(this.#buffer, list.length, report);
    const [moved = 0, bytes = 0, relocations = 0, nanoseconds = 0] = report;
    return { moved, bytes, relocations, nanoseconds };
  }

  #stage(list: readonly Move[]): void {
    const core = this.#core;
    const buffer = this.#buffer;
    let space: unknown;
    let ranges;
    for (let i = 0; i < list.length; i++) {
      const move = requirePair(list[i]);
      const at = move[1]; // by index: destructuring would run an iterator for each move
      if (ranges === undefined || at.space !== space) {
        ranges = core.rangesFor(at);
        space = at.space;
      }
      stageMove(core, move[0], at, ranges, buffer, i * moveLength);
    }
  }

  #reserve(moves: number): void {
    const length = moves * moveLength;
    if (length > this.#buffer.length) this.#buffer = new Int32Array(Math.ceil(length * 1.5));
  }
}

function requirePair(move: Move | undefined): Move {
  if (!Array.isArray(move) || typeof move[1] !== 'object' || (move[1] as unknown) === null)
    throw new TypeError('relocate: a move must be a pair of CodeObject and Placement');
  return move as Move;
}
