/**
 * Offsets that clients give for segments, and the arena's.
 *
 * In: a Placement's numbers. Out: offsets in the arena's ranges. Always true: a segment that is at such an offset lies in its space.
 */
import { hex, show } from '../base/check';
import { PlacementError } from '../base/errors';
import { segmentNames, type OffsetRange, type PerSegment, type SegmentName } from '../base/segments';
import type { Handle } from '../base/native';
import { CodeRecord, type Code } from '../record/code-record';
import type { Region } from '../space/arena';
import type { SpaceOwner } from '../space/reserve';

/** An offset in a space's range as one in the arena's; -1 if there is no such segment. Throws PlacementError. */
export function offsetOf(code: Code, name: SegmentName, value: unknown, ranges: PerSegment<OffsetRange>): number {
  const bytes = CodeRecord.bytesOf(code, name);
  const { base, limit } = ranges[name];
  if (bytes === 0) return -1;
  if (typeof value !== 'number' || !Number.isInteger(value) || value < 0 || base + value + bytes > limit)
    throw badOffset(code, name, value, ranges);
  return base + value;
}

function badOffset(code: Code, name: SegmentName, value: unknown, ranges: PerSegment<OffsetRange>): PlacementError {
  const subject = `the ${name} offset for code object '${CodeRecord.nameOf(code)}'`;
  if (!Number.isSafeInteger(value) || (value as number) < 0)
    return new PlacementError(`${subject} must be an integer from 0 on, not ${typeof value === 'number' ? value : show(value)}`);
  const { base, limit } = ranges[name];
  const end = `${hex(value)} + ${hex(CodeRecord.bytesOf(code, name))} bytes`;
  return new PlacementError(`${subject} is out of range: ${end} is more than the ${hex(limit - base)} bytes of the space`);
}

/** An arena offset as an offset in `range`, or undefined if it lies outside. */
function relative({ base, limit }: OffsetRange, offset: number): number | undefined {
  return offset >= base && offset < limit ? offset - base : undefined;
}

/** Where a code object is: a region, and offsets in its ranges. Constants and data that are still in another one are left out. */
export interface Place {
  readonly region: Region;
  readonly code: number | undefined;
  readonly constants: number | undefined;
  readonly data: number | undefined;
}

/** Where a placed code object is. */
export function placeNow({ native, arena }: SpaceOwner, handle: Handle): Place | undefined {
  const { offsets, sizes } = native.describe(handle);
  const first = Math.max(
    sizes.findIndex((bytes) => bytes > 0),
    0,
  );
  const region = arena.regionAt(segmentNames[first] ?? 'code', offsets[first] ?? 0);
  if (region === undefined) return undefined;
  const [code, constants, data] = segmentNames.map((name, i) => relative(region.ranges[name], offsets[i] ?? -1));
  return { region, code, constants, data };
}
