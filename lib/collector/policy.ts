/**
 * How much of the arena a collector takes.
 */
import { integerBetween } from '../check';
import type { JitCore } from '../core';
import { perSegment, type PerSegment } from '../segments';

const pageBytes = 4096;
const mebibyte = 2 ** 20;

/** Sizes in bytes: of one half of each generation, and for constants and data. */
export interface CollectorSizes {
  readonly nurseryBytes: number;
  readonly oldBytes: number;
  readonly fixed: PerSegment<number>;
}

/** Without a size from the user, all four halves fit in half of what the arena has left. Throws TypeError, RangeError. */
export function collectorSizes(core: JitCore, nurseryBytes: unknown, oldBytes: unknown): CollectorSizes {
  const free = core.arena.code.largestFreeBytes;
  const most = 2 ** 31;
  const pages = (name: string, bytes: unknown): number => Math.ceil(integerBetween(name, bytes, 1, most) / pageBytes) * pageBytes;
  return {
    nurseryBytes: pages('nurseryBytes', nurseryBytes ?? atLeastOnePage(Math.min(mebibyte / 4, Math.floor(free / 32)))),
    oldBytes: pages('oldBytes', oldBytes ?? atLeastOnePage(Math.min(16 * mebibyte, Math.floor(free / 8)))),
    fixed: perSegment((name) => Math.floor(core.arena[name].largestFreeBytes / 4 / pageBytes) * pageBytes),
  };
}

/** Of a full arena a page is too much too, and whoever takes it says so. */
function atLeastOnePage(bytes: number): number {
  return Math.max(pageBytes, bytes);
}
