/**
 * Where a code object's segments are.
 *
 * In: a space and offsets. Out: a Placement. Always true: what is read here is read once.
 */
import { show } from '../base/check';
import type { SegmentName } from '../base/segments';

/**
 * Where a code object is or is to be: byte offsets in the ranges of a space, from 0 to 2 GiB (excluded).
 * In `place` every segment that the code object has needs its offset. In `relocate` a segment without one stays where it is.
 */
export interface PlacementIn<S> {
  readonly space: S;
  /** 0 for a code object without code. */
  readonly code: number;
  readonly constants?: number | undefined;
  readonly data?: number | undefined;
}

/** A Placement as it was read, once: nothing of it is checked but that it is an object. */
export interface ReadPlacement {
  readonly space: unknown;
  readonly code: unknown;
  readonly constants?: unknown;
  readonly data?: unknown;
}

/** Its offsets alone. */
export type ReadOffsets = Partial<Record<SegmentName, unknown>>;

/** Reads what a user gives for a Placement: from here on nothing of it runs. Throws TypeError, and what its getters throw. */
export function readPlacement(at: unknown): ReadPlacement {
  if (typeof at !== 'object' || at === null) throw new TypeError(`a placement must be an object, not ${show(at)}`);
  const { space, code, constants, data } = at as ReadPlacement;
  return { space, code, constants, data };
}

/** A frozen Placement that has only the offsets that are known. */
export function makePlacement<S>(
  space: S,
  code: number,
  constants: number | undefined,
  data: number | undefined,
): PlacementIn<S> {
  const placement: { space: S; code: number; constants?: number; data?: number } = { space, code };
  if (constants !== undefined) placement.constants = constants;
  if (data !== undefined) placement.data = data;
  return Object.freeze(placement);
}
