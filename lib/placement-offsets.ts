/**
 * Offsets that clients give for segments, and the arena's.
 *
 * In: a Placement's numbers. Out: offsets in the arena's ranges. Always true: a segment that is at such an offset lies in its space.
 */
import { hex, show } from './check';
import type { CodeObject } from './code-object';
import { bytesOf, nameOf } from './code-object-friends';
import { PlacementError } from './errors';
import type { JitCore } from './core';
import type { Handle } from './native';
import { makePlacement, segmentNames, type OffsetRange, type PerSegment, type Placement, type SegmentName } from './segments';

/** An offset in a space's range as one in the arena's; -1 if there is no such segment. Throws PlacementError. */
export function offsetOf(object: CodeObject, name: SegmentName, value: unknown, ranges: PerSegment<OffsetRange>): number {
  const bytes = bytesOf(object, name);
  const { base, limit } = ranges[name];
  if (bytes === 0) return -1;
  if (typeof value !== 'number' || !Number.isInteger(value) || value < 0 || base + value + bytes > limit)
    throw badOffset(object, name, value, ranges);
  return base + value;
}

function badOffset(object: CodeObject, name: SegmentName, value: unknown, ranges: PerSegment<OffsetRange>): PlacementError {
  const subject = `the ${name} offset for code object '${nameOf(object)}'`;
  if (!Number.isSafeInteger(value) || (value as number) < 0)
    return new PlacementError(`${subject} must be an integer from 0 on, not ${typeof value === 'number' ? value : show(value)}`);
  const { base, limit } = ranges[name];
  const end = `${hex(value)} + ${hex(bytesOf(object, name))} bytes`;
  return new PlacementError(`${subject} is out of range: ${end} is more than the ${hex(limit - base)} bytes of the space`);
}

/** Offsets that are none are out of every range. */
export function isInt32(value: unknown): value is number {
  return typeof value === 'number' && (value | 0) === value;
}

/** An arena offset as an offset in `range`, or undefined if it lies outside. */
function relative({ base, limit }: OffsetRange, offset: number): number | undefined {
  return offset >= base && offset < limit ? offset - base : undefined;
}

/** Where a placed code object is. */
export function placementNow(core: JitCore, handle: Handle): Placement | undefined {
  const { offsets, sizes } = core.native.describe(handle);
  const first = Math.max(
    sizes.findIndex((bytes) => bytes > 0),
    0,
  );
  const found = core.spaceAt(segmentNames[first] ?? 'code', offsets[first] ?? 0);
  if (found === undefined) return undefined;
  const [code, constants, data] = segmentNames.map((name, i) => relative(found.ranges[name], offsets[i] ?? -1));
  return makePlacement(found.space, code ?? 0, constants, data);
}
