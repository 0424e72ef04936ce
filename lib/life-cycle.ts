/**
 * Placing, moving and freeing one code object, and what JS notes of that.
 *
 * In: a code object, offsets. Out: another state. Always true: native code acts, and what JS notes of it follows with nothing between; where that
 * can't be, the change is in the ledger, and `settleObject` asks native code.
 */
import { bytesOf, coreOfObject, handleOf, nameOf, setStatus, statusIn } from './code-object-friends';
import type { CodeObject } from './code-object';
import type { JitCore } from './core';
import { endingOf, statusOf } from './code-object-facts';
import { PlacementError, StateError } from './errors';
import { offsetOf } from './placement-offsets';
import { segmentNames, type OffsetRange, type PerSegment, type ReadPlacement, type SegmentName } from './segments';

/** Throws StateError unless it is placed and may move. */
export function requireMovable(object: CodeObject): void {
  const { state, retain, isFrozen } = statusIn(object);
  const subject = `relocate: code object '${nameOf(object)}'`;
  if (state !== 'placed') throw new StateError(`${subject} is not placed (use place)`);
  if (retain === 'none') throw new StateError(`${subject} was compiled with retain: 'none' and can't move`);
  if (isFrozen) throw new StateError(`${subject} is frozen; thaw lets it move again`);
}

/** Throws StateError unless it can be placed. */
export function requireUnplaced(object: CodeObject): void {
  coreOfObject(object).requireLive('place');
  const { state } = statusIn(object);
  if (state === 'freed') throw new StateError(`place: code object '${nameOf(object)}' is freed`);
  if (state === 'placed') throw new StateError(`place: code object '${nameOf(object)}' is already placed (use relocate)`);
}

/** As `object.place(at)`. */
export function placeAt(object: CodeObject, at: ReadPlacement): void {
  const core = coreOfObject(object);
  requireUnplaced(object);
  const ranges = core.rangesFor(at.space);
  for (const name of segmentNames) requireOffset(object, name, at);
  moveWithin(object, at, ranges);
}

function requireOffset(object: CodeObject, name: SegmentName, at: ReadPlacement): void {
  const bytes = bytesOf(object, name);
  if (bytes === 0 || at[name] !== undefined) return;
  throw new PlacementError(`place: code object '${nameOf(object)}' has ${bytes} bytes of ${name} and needs a ${name} offset`);
}

/** Places at offsets in the ranges of a space. */
function moveWithin(object: CodeObject, { code, constants, data }: ReadPlacement, ranges: PerSegment<OffsetRange>): void {
  moveTo(
    object,
    offsetOf(object, 'code', code, ranges),
    constants === undefined ? -1 : offsetOf(object, 'constants', constants, ranges),
    data === undefined ? -1 : offsetOf(object, 'data', data, ranges),
  );
}

/** Places or relocates at offsets in the arena's ranges, which have been taken; -1: stays, or has no such segment. Throws what `place` throws. */
export function moveTo(object: CodeObject, code: number, constants: number, data: number): void {
  const { native, ledger } = coreOfObject(object);
  const handle = handleOf(object);
  const before = statusIn(object);
  if (before.state === 'placed') {
    native.move(handle, code, constants, data); // JS has nothing to note
    return;
  }
  const placed = statusOf(before, 'placed');
  ledger.change(() => {
    try {
      native.move(handle, code, constants, data);
      setStatus(object, placed);
    } catch (error) {
      settleObject(object); // it stays where it is if a constructor has thrown
      throw error;
    }
  });
}

/** Notes that it is placed. */
export function markPlaced(object: CodeObject): void {
  setStatus(object, statusOf(statusIn(object), 'placed'));
}

/** Notes that the native half may go from now on: callables ask before they enter code. */
export function markEnding(object: CodeObject): void {
  setStatus(object, endingOf(statusIn(object), true));
}

/** As `object.free()`. Callables are kept out before native code frees it, and let in again if that refuses. */
export function freeObject(object: CodeObject): void {
  const core = coreOfObject(object);
  const handle = handleOf(object);
  core.ledger.change(() => {
    markEnding(object);
    try {
      core.native.free(handle);
    } finally {
      if (core.native.isLive(handle)) setStatus(object, endingOf(statusIn(object), false));
      else core.noteFreed(handle);
    }
  });
}

/** Frees those that are not freed and that nobody else needs; they may refer to each other in circles. */
export function freeTogether(core: JitCore, objects: readonly CodeObject[]): void {
  const live = objects.filter((object) => statusIn(object).state !== 'freed');
  core.ledger.change(() => {
    live.forEach(markEnding);
    try {
      core.freeMany(Int32Array.from(live, handleOf));
    } finally {
      for (const object of live) if (statusIn(object).state !== 'freed') setStatus(object, endingOf(statusIn(object), false));
    }
  });
}

/** Notes what native code says of a live code object. */
export function settleObject(object: CodeObject): void {
  const { offsets, sizes } = coreOfObject(object).native.describe(handleOf(object));
  const { state, isFrozen } = statusIn(object);
  const isPlaced = sizes.some((bytes) => bytes > 0) ? offsets.some((offset) => offset >= 0) : state === 'placed';
  setStatus(object, statusOf(statusIn(object), isPlaced ? 'placed' : 'unplaced', { isFrozen }));
}

/** Whether its functions may be called now; asked where `isPlaced` says no. */
export function isCallableNow(object: CodeObject): boolean {
  coreOfObject(object).settle();
  return statusIn(object).state === 'placed';
}
