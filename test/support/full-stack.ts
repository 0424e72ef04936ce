/**
 * Calls at the end of the JS stack.
 *
 * In: what is to be run. Out: whether the stack was too short for it. Always true: from `deepest()` down to the first depth at which it is not,
 * the stack has ended everywhere inside of what is run.
 */

/** Functions whose frames have different sizes, so that the stack ends at every few bytes inside of what they call. */
export const manyPads = Array.from({ length: 16 }, (_, n) => {
  const names = Array.from({ length: n }, (__, i) => `v${i}`);
  // eslint-disable-next-line @typescript-eslint/no-implied-eval -- frames can't be had otherwise
  return new Function('run', `${names.map((name) => `let ${name} = run;`).join('')} run(); return [${names.join()}];`) as (
    run: () => void,
  ) => void;
});

/** Two of them, where each try is expensive. */
export const pads = manyPads.filter((_, n) => n % 8 === 0);

const deep = (depth: number, run: () => void): void => (depth === 0 ? run() : deep(depth - 1, run));

/** How often `deep` calls itself before the stack is full. */
export function deepest(): number {
  let depth = 0;
  for (let step = 2 ** 16; step >= 1; step /= 2) {
    try {
      deep(depth + step, () => undefined);
      depth += step;
    } catch {
      // too deep
    }
  }
  return depth;
}

/** Runs the operation at the end of the stack; whether that was too short. */
export function overflows(depth: number, pad: (run: () => void) => void, run: () => void): boolean {
  try {
    deep(depth, () => pad(run));
    return false;
  } catch (error) {
    if ((error as Error).name !== 'RangeError') throw error; // Node's own code has another realm's
    return true;
  }
}
