/**
 * Placing, moving and freeing one code object, and what JS notes of that.
 *
 * In: a code object, offsets. Out: another state. Always true: native code acts, and what JS notes of it follows with nothing between; where that
 * can't be, the change is in the ledger, and `settleObject` asks native code.
 */
import { PlacementError, StateError } from '../base/errors';
import type { Handle, NativeJit } from '../base/native';
import { segmentNames, type OffsetRange, type PerSegment, type SegmentName } from '../base/segments';
import { CodeRecord, type Code } from '../record/code-record';
import { endingOf, statusOf } from '../record/status';
import type { Region } from '../space/arena';
import { regionFor } from '../space/code-space';
import type { ReadOffsets, ReadPlacement } from '../space/placement';
import { offsetOf } from './offsets';
import { ownerOf, type CodeOwner } from './owner';

/** Throws StateError unless it is placed and may move. */
export function requireMovable(code: Code): void {
  const { state, retain, isFrozen } = CodeRecord.statusOf(code);
  const subject = `relocate: code object '${CodeRecord.nameOf(code)}'`;
  if (state !== 'placed') throw new StateError(`${subject} is not placed (use place)`);
  if (retain === 'none') throw new StateError(`${subject} was compiled with retain: 'none' and can't move`);
  if (isFrozen) throw new StateError(`${subject} is frozen; thaw lets it move again`);
}

/** Throws StateError unless it can be placed. */
export function requireUnplaced(code: Code): void {
  ownerOf(code).requireLive('place');
  const { state } = CodeRecord.statusOf(code);
  if (state === 'freed') throw new StateError(`place: code object '${CodeRecord.nameOf(code)}' is freed`);
  if (state === 'placed')
    throw new StateError(`place: code object '${CodeRecord.nameOf(code)}' is already placed (use relocate)`);
}

/** As `object.place(at)`. */
export function placeAt(code: Code, at: ReadPlacement): void {
  requireUnplaced(code);
  placeIn(code, regionFor(ownerOf(code), at.space), at);
}

/** Places it at offsets in a region's ranges. */
export function placeIn(code: Code, { ranges }: Region, at: ReadOffsets): void {
  for (const name of segmentNames) requireOffset(code, name, at);
  moveWithin(code, at, ranges);
}

function requireOffset(code: Code, name: SegmentName, at: ReadOffsets): void {
  const bytes = CodeRecord.bytesOf(code, name);
  if (bytes === 0 || at[name] !== undefined) return;
  throw new PlacementError(
    `place: code object '${CodeRecord.nameOf(code)}' has ${bytes} bytes of ${name} and needs a ${name} offset`,
  );
}

function moveWithin(code: Code, at: ReadOffsets, ranges: PerSegment<OffsetRange>): void {
  moveTo(
    code,
    offsetOf(code, 'code', at.code, ranges),
    at.constants === undefined ? -1 : offsetOf(code, 'constants', at.constants, ranges),
    at.data === undefined ? -1 : offsetOf(code, 'data', at.data, ranges),
  );
}

/** Places or relocates at offsets in the arena's ranges, which have been taken; -1: stays, or has no such segment. Throws what `place` throws. */
export function moveTo(object: Code, code: number, constants: number, data: number): void {
  const { native, ledger } = ownerOf(object);
  const handle = CodeRecord.handleOf(object);
  if (CodeRecord.statusOf(object).state === 'placed')
    native.move(handle, code, constants, data); // JS has nothing to note
  else
    ledger.change(() => {
      markPlaced(object);
      try {
        native.move(handle, code, constants, data);
      } catch (error) {
        if (!isPlaced(native, handle)) markUnplaced(object);
        throw error;
      }
    });
}

/** Notes that it is placed. That comes before native code places it: constructors run there, and may look at it, move it, or free others. */
export function markPlaced(code: Code): void {
  CodeRecord.setStatus(code, statusOf(CodeRecord.statusOf(code), 'placed'));
}

/** Notes that it has not been placed after all. */
export function markUnplaced(code: Code): void {
  CodeRecord.setStatus(code, statusOf(CodeRecord.statusOf(code), 'unplaced'));
}

/** Where a constructor has thrown, its code object is. */
export function isPlaced(native: NativeJit, handle: Handle): boolean {
  return native.isLive(handle) && native.describe(handle).offsets.some((offset) => offset >= 0);
}

/** Notes that the native half may go from now on: callables ask before they enter code. */
export function markEnding(code: Code): void {
  CodeRecord.setStatus(code, endingOf(CodeRecord.statusOf(code), true));
}

/** Notes that it has not gone, if so. */
export function unmarkEnding(code: Code): void {
  const status = CodeRecord.statusOf(code);
  if (status.state !== 'freed') CodeRecord.setStatus(code, endingOf(status, false));
}

/** As `object.free()`. Callables are kept out before native code frees it, and let in again if that refuses. */
export function freeObject(code: Code): void {
  const owner = ownerOf(code);
  const handle = CodeRecord.handleOf(code);
  owner.ledger.change(() => {
    markEnding(code);
    try {
      owner.native.free(handle);
    } finally {
      if (owner.native.isLive(handle)) unmarkEnding(code);
      else owner.noteOneFreed(handle);
    }
  });
}

/** Frees all of them, which may refer to each other, or none. Throws StateError. */
export function freeAll(owner: CodeOwner, codes: readonly Code[]): void {
  const handles = Int32Array.from(codes, (code) => CodeRecord.handleOf(code));
  owner.ledger.change(() => {
    codes.forEach(markEnding);
    try {
      owner.native.freeAll(handles, handles.length);
    } finally {
      if (handles.some((handle) => !owner.native.isLive(handle))) owner.noteFreed(handles);
      else codes.forEach(unmarkEnding);
    }
  });
}

/** Notes what native code says of a live code object. */
export function settleObject(code: Code): void {
  const { offsets, sizes } = ownerOf(code).native.describe(CodeRecord.handleOf(code));
  const { state, isFrozen } = CodeRecord.statusOf(code);
  const isPlaced = sizes.some((bytes) => bytes > 0) ? offsets.some((offset) => offset >= 0) : state === 'placed';
  CodeRecord.setStatus(code, statusOf(CodeRecord.statusOf(code), isPlaced ? 'placed' : 'unplaced', { isFrozen }));
}
