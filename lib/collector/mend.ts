/**
 * What a collector knows of its code objects, made anew from what native code says.
 *
 * In: a table that an interrupted change may have left in the middle. Out: the same table. Always true then: exactly what lives in a half of a
 * generation, or has no code and is placed, is managed there.
 */
import type { JitCore } from '../jit/core';
import type { Handle } from '../base/native';
import type { Managed } from './managed';
import type { SemiSpace } from './semi-space';

/** Where a live code object's data are, as an offset in the arena's range; -1 if it has none. */
export function dataOffsetOf({ native }: JitCore, handle: Handle): number {
  return native.describe(handle).offsets[2];
}

/** `forget` hears of those that are not managed any more. */
export function mendManaged(
  core: JitCore,
  managed: Managed,
  generations: readonly SemiSpace[],
  forget: (handle: Handle) => void,
): void {
  for (let handle = 0; handle < managed.limit; handle++) {
    if (managed.place[handle] === 0) continue;
    const place = core.native.isLive(handle) ? placeNow(core, managed, generations, handle) : undefined;
    if (place !== undefined) {
      managed.place[handle] = place;
      continue;
    }
    managed.place[handle] = 0;
    managed.isDead[handle] = 0;
    forget(handle);
  }
}

function placeNow({ native }: JitCore, managed: Managed, generations: readonly SemiSpace[], handle: Handle): number | undefined {
  const { sizes, offsets } = native.describe(handle);
  const [bytes] = sizes;
  const [offset] = offsets;
  if (bytes === 0) return offsets.some((each) => each >= 0) ? managed.place[handle] : undefined;
  const place = generations.map((generation) => generation.placeAt(offset)).find((found) => found !== undefined);
  if (place !== undefined) managed.offset[handle] = offset;
  return place;
}
