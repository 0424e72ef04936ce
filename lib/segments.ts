/**
 * The three kinds of segment, and where a code object's segments are.
 *
 * In: nothing. Out: names and types that the rest shares. Always true: wherever native code has three numbers, they are in this order.
 */
import { show } from './check';
import type { CodeSpace } from './space/space';

/** The kinds of segment in the order of native code. */
export const segmentNames = ['code', 'constants', 'data'] as const;

/** A kind of segment, and of range in an arena or a space. */
export type SegmentName = (typeof segmentNames)[number];

/** Something for each kind of segment. */
export type PerSegment<T> = Readonly<Record<SegmentName, T>>;

/** Bytes from `base` to `limit` (excluded), as offsets in one of the arena's ranges. */
export interface OffsetRange {
  readonly base: number;
  readonly limit: number;
}

/**
 * Where a code object is or is to be: byte offsets in the ranges of a space, from 0 to 2 GiB (excluded).
 * In `place` every segment that the code object has needs its offset. In `relocate` a segment without one stays where it is.
 */
export interface Placement {
  readonly space: CodeSpace;
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

/** Reads what a user gives for a Placement: from here on nothing of it runs. Throws TypeError, and what its getters throw. */
export function readPlacement(at: unknown): ReadPlacement {
  if (typeof at !== 'object' || at === null) throw new TypeError(`a placement must be an object, not ${show(at)}`);
  const { space, code, constants, data } = at as ReadPlacement;
  return { space, code, constants, data };
}

/** Makes one value for each kind of segment. */
export function perSegment<T>(make: (name: SegmentName, index: number) => T): PerSegment<T> {
  return { code: make('code', 0), constants: make('constants', 1), data: make('data', 2) };
}

/** A frozen Placement that has only the offsets that are known. */
export function makePlacement(
  space: CodeSpace,
  code: number,
  constants: number | undefined,
  data: number | undefined,
): Placement {
  const placement: { space: CodeSpace; code: number; constants?: number; data?: number } = { space, code };
  if (constants !== undefined) placement.constants = constants;
  if (data !== undefined) placement.data = data;
  return Object.freeze(placement);
}
