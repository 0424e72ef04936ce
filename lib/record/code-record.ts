/**
 * What JS notes of a code object, below everything that works with code objects.
 *
 * In: an object that is to stand for a handle. Out: the same object with private fields, and accessors that users don't have. Always true: the
 * accessors look at no property that a user could have changed.
 *
 * There may be 100,000 of them: no maps, closures or arrays in here, and no private methods that are not static (each object of a class
 * with such methods has a field for them). What is asked for rarely is asked of native code.
 */
import { isObject } from '../base/check';
import { PlacementError, StateError } from '../base/errors';
import type { Handle } from '../base/native';
import { granuleBytes, type OffsetRange, type SegmentName } from '../base/segments';
import { Stamp } from '../base/stamp';
import type { Entry } from './object-table';
import type { Owner } from './owner';
import {
  detailsOf,
  noDetails,
  noReferences,
  shapeOf,
  statusOf,
  type CodeObjectState,
  type Details,
  type MoveModes,
  type Status,
} from './status';

/** A code object, as far as it can be named without what it can do. */
export interface Code extends Entry {
  readonly name: string;
  readonly state: CodeObjectState;
}

/** What a code object is made of. */
export interface CodeParts {
  readonly owner: Owner;
  readonly handle: Handle;
  readonly id: number;
  readonly name: string | undefined;
  readonly modes: MoveModes;
  readonly references: readonly Entry[];
}

/** The private fields of every code object. */
export class CodeRecord extends Stamp {
  readonly #owner: Owner;
  #handle: Handle;
  readonly #id: number;
  #codeBytes: number;
  #status: Status;
  #details: Details;

  /** Makes a code object of `code`, and enters it in the tables of its Jit. */
  constructor(code: Code, { owner, handle, id, name, modes, references }: CodeParts) {
    super(code);
    const shape = shapeOf(owner.native, handle);
    this.#owner = owner;
    this.#handle = handle;
    this.#id = id;
    this.#codeBytes = typeof shape === 'number' ? shape : shape.code.bytes;
    this.#status = statusOf(modes, 'unplaced');
    this.#details = detailsOf(shape, name, references);
    owner.enter(handle, code);
  }

  /** Whether `value` is a code object, of any Jit. */
  static is(value: unknown): value is Code {
    return isObject(value) && #owner in value;
  }

  /** Asked at each call: a boolean is compared faster than a string. */
  static readonly isPlaced = (code: Code): boolean => recordOf(code).#status.isPlaced;

  static ownerOf(code: Code): Owner {
    return recordOf(code).#owner;
  }

  /** Dead or alive. */
  static handleOf(code: Code): Handle {
    return recordOf(code).#handle;
  }

  /** The handle, for a Jit. Throws TypeError, PlacementError (another Jit's) or StateError (freed); `what` was to be done. */
  static handleIn(owner: Owner, code: unknown, what: string): Handle {
    if (!CodeRecord.is(code)) throw new TypeError(`${what}: not a CodeObject`);
    if (recordOf(code).#owner !== owner)
      throw new PlacementError(`${what}: code object '${CodeRecord.nameOf(code)}' belongs to another Jit`);
    if (recordOf(code).#status.state === 'freed') CodeRecord.requireAlive(code, what);
    return recordOf(code).#handle;
  }

  /** Throws StateError; `what` was to be done. */
  static requireAlive(code: Code, what: string): void {
    recordOf(code).#owner.requireLive(what);
    if (CodeRecord.statusOf(code).state === 'freed')
      throw new StateError(`${what}: code object '${CodeRecord.nameOf(code)}' is freed`);
  }

  static idOf(code: Code): number {
    return recordOf(code).#id;
  }

  static nameOf(code: Code): string {
    return recordOf(code).#details.name ?? `object#${recordOf(code).#id}`;
  }

  static statusOf(code: Code): Status {
    return recordOf(code).#status;
  }

  static setStatus(code: Code, status: Status): void {
    recordOf(code).#status = status;
  }

  /** Bytes of one segment. */
  static bytesOf(code: Code, name: SegmentName): number {
    return name === 'code' ? recordOf(code).#codeBytes : (recordOf(code).#details.layout?.[name].bytes ?? 0);
  }

  /** Bytes to which one segment is aligned; at least the granule for code objects that have only code. */
  static alignmentOf(code: Code, name: SegmentName): number {
    return recordOf(code).#details.layout?.[name].alignment ?? granuleBytes;
  }

  /** What its code refers to. */
  static referencesOf(code: Code): readonly Entry[] {
    return recordOf(code).#details.references;
  }

  /** Notes what its code refers to now. */
  static setReferences(code: Code, references: readonly Entry[]): void {
    const record = recordOf(code);
    if (references.length === 0 && record.#details.references.length === 0) return;
    record.#details = { ...record.#details, references: Object.freeze([...references]) };
  }

  /** Gives a placed code object another native half: the same functions, placed too, in other code. */
  static replaceHandle(code: Code, handle: Handle, references: readonly Entry[]): void {
    const record = recordOf(code);
    const shape = shapeOf(record.#owner.native, handle);
    record.#handle = handle;
    record.#codeBytes = typeof shape === 'number' ? shape : shape.code.bytes;
    record.#details = detailsOf(shape, record.#details.name, references);
  }

  /** Notes that the native half is gone. */
  static markFreed(code: Code): void {
    const record = recordOf(code);
    if (record.#status.state !== 'freed') record.#status = statusOf(record.#status, 'freed');
    if (record.#details !== noDetails) record.#details = { ...record.#details, references: noReferences };
  }

  /**
   * Writes a move of code alone as four numbers at `out[index]`; false if it is no such move, or a wrong one. `offset`: from 0 on. A batch has
   * thousands of these: each private field is read once.
   */
  static stageMove(
    owner: Owner,
    code: unknown,
    offset: number,
    { base, limit }: OffsetRange,
    out: Int32Array,
    index: number,
  ): boolean {
    if (!isObject(code) || !(#owner in code) || code.#owner !== owner || !code.#status.isMovable) return false;
    const bytes = code.#codeBytes;
    const from = base + offset;
    if (bytes === 0 || from + bytes > limit) return false;
    out[index] = code.#handle;
    out[index + 1] = from;
    out[index + 2] = -1;
    out[index + 3] = -1;
    return true;
  }
}

/** Only CodeObject's constructor makes a Code, and stamps it. */
function recordOf(code: Code): CodeRecord {
  return code as unknown as CodeRecord;
}
