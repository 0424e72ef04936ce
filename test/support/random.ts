/**
 * Random numbers that can be had again.
 *
 * In: SEED, or the clock. Out: a seed for test names, generators. Always true: the same seed gives the same numbers.
 */

/** The seed of this run; set SEED to have a run again. Test names show it. */
export const seed = Number(process.env.SEED ?? Date.now() % 2 ** 31);

/** Options for fc.assert. */
export const seeded = { seed };

/** A generator of integers from 0 to `limit` (excluded): mulberry32. */
export function randomIntegers(start = seed): (limit: number) => number {
  let state = start >>> 0;
  return (limit) => {
    state = (state + 0x6d2b79f5) >>> 0;
    let t = Math.imul(state ^ (state >>> 15), 1 | state);
    t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t;
    return Math.floor((((t ^ (t >>> 14)) >>> 0) / 2 ** 32) * limit);
  };
}
