/**
 * Many moves in one native call.
 *
 * In: code objects and placements. Out: a report. Always true: all move or none does; and a move costs no memory, because the buffer that
 * takes them to native code is used again.
 */
import { isInt32, show } from '../base/check';
import { StateError } from '../base/errors';
import type { CodeObject, Placement } from '../code/code-object';
import { requireMovable } from '../code/life-cycle';
import { offsetOf } from '../code/offsets';
import { CodeRecord } from '../record/code-record';
import type { Region } from '../space/arena';
import { regionFor } from '../space/code-space';
import type { ReadOffsets, ReadPlacement } from '../space/placement';
import type { JitCore } from './core';

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
  #moves: MoveList | undefined;
  #buffer = new Int32Array(64 * moveLength);

  constructor(core: JitCore) {
    this.#core = core;
  }

  /** Relocates all of `moves`. Throws what `CodeObject.relocate` throws; then nothing has changed. */
  relocate(moves: Iterable<Move>): MoveReport {
    const list = this.#moves ?? new MoveList();
    this.#moves = undefined;
    list.read(moves, Math.max(this.#core.objects.limit, leastMoves)); // whose own code may do anything, and so call this
    this.#core.requireLive('relocate');
    this.#reserve(list.count);
    this.#stage(list);
    const count = list.count;
    list.clear();
    this.#moves = list;
    const report = this.#report;
    this.#core.native.moveBatch(this.#buffer, count, report);
    const [moved = 0, bytes = 0, relocations = 0, nanoseconds = 0] = report;
    return { moved, bytes, relocations, nanoseconds };
  }

  #stage({ count, objects, codes, spaces, starts, others }: MoveList): void {
    const core = this.#core;
    const buffer = this.#buffer;
    for (let run = 0; run < spaces.length; run++) {
      const region = regionFor(core, spaces[run]);
      const range = region.ranges.code;
      const limit = starts[run + 1] ?? count;
      for (let i = starts[run] ?? 0; i < limit; i++) {
        const code = codes[i] ?? -1;
        if (code >= 0 && CodeRecord.stageMove(core, objects[i], code, range, buffer, i * moveLength)) continue;
        this.#stageOther(objects[i], code >= 0 ? { code } : (others.get(i) ?? {}), region, i * moveLength);
      }
    }
  }

  /** Of which nothing is known. */
  #stageOther(object: unknown, { code, constants, data }: ReadOffsets, { ranges }: Region, index: number): void {
    const handle = requireHandle(this.#core, object as CodeObject);
    const known = object as CodeObject;
    this.#buffer[index] = handle;
    this.#buffer[index + 1] = offsetOf(known, 'code', code, ranges);
    this.#buffer[index + 2] = constants === undefined ? -1 : offsetOf(known, 'constants', constants, ranges);
    this.#buffer[index + 3] = data === undefined ? -1 : offsetOf(known, 'data', data, ranges);
  }

  #reserve(moves: number): void {
    const length = moves * moveLength;
    if (length > this.#buffer.length) this.#buffer = new Int32Array(Math.ceil(length * 1.5));
  }
}

/** Throws what `relocate` throws for a code object that can't move. */
function requireHandle(core: JitCore, object: CodeObject): number {
  const handle = CodeRecord.handleIn(core, object, 'relocate');
  requireMovable(object);
  if (CodeRecord.statusOf(object).isMovable) return handle;
  throw new StateError(`relocate: code object '${CodeRecord.nameOf(object)}' can't move now`);
}

/**
 * All that a user says, each read once and before anything is done. Most moves are of code alone, and to the same space as the one before:
 * those take a store of an object and one of a number.
 */
class MoveList {
  count = 0;
  readonly objects: unknown[] = [];
  /** Offsets, where they are numbers from 0 on and there are no others; else -1. */
  codes = new Int32Array(64);
  readonly others = new Map<number, ReadOffsets>();
  /** Of runs of moves to one space, and where each run begins. */
  readonly spaces: unknown[] = [];
  readonly starts: number[] = [];

  /** Throws TypeError, RangeError, and what the user's code throws. */
  read(moves: Iterable<Move>, most: number): void {
    if (typeof (moves as Partial<Iterable<Move>> | null | undefined)?.[Symbol.iterator] !== 'function')
      throw new TypeError(`relocate: the moves must be an iterable of pairs of CodeObject and Placement, not ${show(moves)}`);
    const { objects } = this;
    let count = 0;
    let last: unknown;
    for (const move of moves as Iterable<unknown>) {
      if (count === most) throw new RangeError(`relocate: there are more moves than code objects`);
      if (!Array.isArray(move)) throw new TypeError('relocate: a move must be a pair of CodeObject and Placement');
      const object: unknown = move[0]; // by index: destructuring would run an iterator for each move
      const at: unknown = move[1];
      if (typeof at !== 'object' || at === null)
        throw new TypeError('relocate: a move must be a pair of CodeObject and Placement');
      const { space, code, constants, data } = at as ReadPlacement;
      if (count === 0 || space !== last) this.#beginRun(count, (last = space));
      if (count === this.codes.length) this.#grow();
      objects[count] = object;
      const isUsual = isInt32(code) && code >= 0 && constants === undefined && data === undefined;
      this.codes[count] = isUsual ? code : -1;
      if (!isUsual) this.others.set(count, { code, constants, data });
      count++;
    }
    this.count = count;
  }

  /** For the next batch. It holds nothing. */
  clear(): void {
    this.objects.fill(undefined, 0, this.count);
    this.others.clear();
    this.spaces.length = this.starts.length = this.count = 0;
  }

  #beginRun(start: number, space: unknown): void {
    this.spaces.push(space);
    this.starts.push(start);
  }

  #grow(): void {
    const codes = new Int32Array(2 * this.codes.length);
    codes.set(this.codes);
    this.codes = codes;
  }
}
