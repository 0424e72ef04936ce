/**
 * What the rest of the library may do with a code object, beyond what users may.
 *
 * In: the functions that CodeObject's own class makes, since only that sees its private fields. Out: the same, to import. Always true: they look at
 * no property that a user could have changed.
 */
import type { CodeObject } from './code-object';
import type { CodeObjectParts, Status } from './code-object-facts';
import type { JitCore } from './core';
import type { Handle } from './native';
import type { Entry } from './object-table';
import type { OffsetRange, PerSegment, Placement, SegmentName } from './segments';

/** Makes a code object of a handle that has none, and enters it in the tables of its Jit. */
export let createCodeObject: (parts: CodeObjectParts) => CodeObject;
/** The handle, for the Jit of `core`. Throws TypeError, PlacementError (another Jit's) or StateError (freed); `what` was to be done. */
export let handleIn: (core: JitCore, object: CodeObject, what: string) => Handle;
/** What `state` says, asked at each call: a boolean is compared faster than a string. */
export let isPlaced: (object: CodeObject) => boolean;
/** Bytes of one segment. */
export let bytesOf: (object: CodeObject, name: SegmentName) => number;
/** Bytes to which one segment is aligned; at least the granule for code objects that have only code. */
export let alignmentOf: (object: CodeObject, name: SegmentName) => number;
/** What the IR calls a parameter of an exported function; undefined if that is not known. */
export let parameterName: (object: CodeObject, symbol: string, index: number) => string | undefined;
/** Whether `value` is a CodeObject, of any Jit. */
export let isCodeObject: (value: unknown) => value is CodeObject;
/** `name`, `state` and modes, whatever a user has made of the object's properties. */
export let nameOf: (object: CodeObject) => string;
export let statusIn: (object: CodeObject) => Status;
/** As `object.placement`. */
export let placementOf: (object: CodeObject) => Placement | undefined;
/** Checks a move of a batch, of which nothing is known, and writes it as four numbers at `out[index]`. */
export let stageMove: (
  core: JitCore,
  object: unknown,
  code: unknown,
  constants: unknown,
  data: unknown,
  ranges: PerSegment<OffsetRange>,
  out: Int32Array,
  index: number,
) => void;
/** Notes its state and modes. */
export let setStatus: (object: CodeObject, status: Status) => void;
/** Its Jit's core. */
export let coreOfObject: (object: CodeObject) => JitCore;
/** Its handle, dead or alive. */
export let handleOf: (object: CodeObject) => Handle;
/** Notes what its code refers to now. */
export let setReferences: (object: CodeObject, references: readonly Entry[]) => void;
/** Gives a placed code object another native half: the same functions, placed too, in other code. */
export let replaceHandle: (object: CodeObject, handle: Handle, references: readonly Entry[]) => void;
/** Notes that the native half is gone. */
export let markFreed: (object: CodeObject) => void;

/** All of them. */
export interface CodeObjectFriends {
  createCodeObject: typeof createCodeObject;
  handleIn: typeof handleIn;
  isPlaced: typeof isPlaced;
  bytesOf: typeof bytesOf;
  alignmentOf: typeof alignmentOf;
  parameterName: typeof parameterName;
  isCodeObject: typeof isCodeObject;
  nameOf: typeof nameOf;
  statusIn: typeof statusIn;
  placementOf: typeof placementOf;
  stageMove: typeof stageMove;
  setStatus: typeof setStatus;
  coreOfObject: typeof coreOfObject;
  handleOf: typeof handleOf;
  setReferences: typeof setReferences;
  replaceHandle: typeof replaceHandle;
  markFreed: typeof markFreed;
}

/** Called once, by the class. */
export function befriend(friends: CodeObjectFriends): void {
  ({
    createCodeObject,
    handleIn,
    isPlaced,
    bytesOf,
    alignmentOf,
    parameterName,
    isCodeObject,
    nameOf,
    statusIn,
    placementOf,
    stageMove,
    setStatus,
    coreOfObject,
    handleOf,
    setReferences,
    replaceHandle,
    markFreed,
  } = friends);
}
