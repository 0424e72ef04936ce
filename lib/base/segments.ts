/**
 * The three kinds of segment.
 *
 * In: nothing. Out: names and types that the rest shares. Always true: wherever native code has three numbers, they are in this order.
 */

/** Sizes are rounded up to this many bytes, and every offset is a multiple of it. */
export const granuleBytes = 16;

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

/** Makes one value for each kind of segment. */
export function perSegment<T>(make: (name: SegmentName, index: number) => T): PerSegment<T> {
  return { code: make('code', 0), constants: make('constants', 1), data: make('data', 2) };
}
