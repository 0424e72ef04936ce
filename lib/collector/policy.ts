/**
 * What users want of a collector, and how much of the arena it takes.
 */
import { integerBetween, show } from '../base/check';
import type { JitCore } from '../jit/core';
import { perSegment, type PerSegment } from '../base/segments';
import type { TierOptions } from '../jit/tier-options';

/** Options of `new CopyingCollector`. Sizes are of one half, in bytes. */
export interface CollectorOptions {
  /** Default 256 KiB, or less in a small arena. */
  nurseryBytes?: number | undefined;
  /** Default 16 MiB, or less in a small arena. */
  oldBytes?: number | undefined;
  /** Collections that a code object survives in the nursery; 0: it never is there. Default 2. */
  promoteAfter?: number | undefined;
  /**
   * Milliseconds that a major collection moves code at a time; then the program goes on, and the rest follows by a timer and when code is compiled.
   * It begins when half of the old generation's free room is used. If there is no room at all, it is done at once. Default Infinity: always at once.
   */
  maxPause?: number | undefined;
  /** Move everything that may move at every host function call, and check everything. Default: whether NOMAD_ZEAL is 1. */
  zeal?: boolean | undefined;
  /** Compile at O0, and recompile in the background what is promoted or hot. Default: the Jit's option of that name. */
  tier?: boolean | TierOptions | undefined;
}

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
  const free = core.arena.largestFreeBytes('code');
  const most = 2 ** 31;
  const pages = (name: string, bytes: unknown): number => Math.ceil(integerBetween(name, bytes, 1, most) / pageBytes) * pageBytes;
  return {
    nurseryBytes: pages('nurseryBytes', nurseryBytes ?? atLeastOnePage(Math.min(mebibyte / 4, Math.floor(free / 32)))),
    oldBytes: pages('oldBytes', oldBytes ?? atLeastOnePage(Math.min(16 * mebibyte, Math.floor(free / 8)))),
    fixed: perSegment((name) => Math.floor(core.arena.largestFreeBytes(name) / 4 / pageBytes) * pageBytes),
  };
}

/** Returns `value`, which is a time in milliseconds, Infinity, or undefined for `otherwise`. */
export function pauseOf(value: unknown, otherwise: number): number {
  if (value === undefined) return otherwise;
  const expected = 'maxPause must be a number of milliseconds greater than 0';
  if (typeof value !== 'number') throw new TypeError(`${expected}, not ${show(value)}`);
  if (!(value > 0)) throw new RangeError(`${expected}, not ${value}`);
  return value;
}

/** If not even one page is free, taking the region reports it. */
function atLeastOnePage(bytes: number): number {
  return Math.max(pageBytes, bytes);
}
