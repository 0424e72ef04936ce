/**
 * Interleaved rounds, and what comes of them.
 *
 * In: contenders, each a function that does its work and tells its cost in a unit of its own. Out: a sample for each. Always true: within a
 * round every contender runs once, in an order that turns from round to round, so that a busy machine is busy for all of them.
 */
import { readFileSync } from 'node:fs';
import { performance } from 'node:perf_hooks';
import { getHeapSpaceStatistics } from 'node:v8';

/** What the rounds measured: one number for each. */
export class Sample {
  readonly #sorted: readonly number[];

  constructor(values: readonly number[]) {
    if (values.length === 0) throw new Error('assertion failed: a sample has at least one value');
    this.#sorted = values.toSorted((a, b) => a - b);
  }

  /** The sample of something that does not vary. */
  static exactly(value: number): Sample {
    return new Sample([value]);
  }

  get median(): number {
    const middle = (this.#sorted.length - 1) / 2;
    return (this.#sorted[Math.floor(middle)]! + this.#sorted[Math.ceil(middle)]!) / 2;
  }

  get minimum(): number {
    return this.#sorted[0]!;
  }

  get maximum(): number {
    return this.#sorted.at(-1)!;
  }

  get count(): number {
    return this.#sorted.length;
  }
}

/** Does its work once and returns what it cost. */
export type Contender = () => number | Promise<number>;

export interface Rounds {
  /** Rounds that count. */
  readonly rounds: number;
  /** Rounds before, which don't: V8 optimises, caches fill. */
  readonly warmUp: number;
}

/** Runs all contenders in each round; returns their samples by the same names. */
export async function interleave<Name extends string>(
  contenders: Readonly<Record<Name, Contender>>,
  { rounds, warmUp }: Rounds,
): Promise<Record<Name, Sample>> {
  const names = Object.keys(contenders) as Name[];
  const values = new Map(names.map((name) => [name, [] as number[]]));
  for (let round = -warmUp; round < rounds; round++) {
    for (let i = 0; i < names.length; i++) {
      const name = names[(i + round + warmUp) % names.length]!;
      const cost = await contenders[name]();
      if (round >= 0) values.get(name)!.push(cost);
    }
  }
  return Object.fromEntries(names.map((name) => [name, new Sample(values.get(name)!)])) as Record<Name, Sample>;
}

/** Nanoseconds that `work` takes. */
export function nanoseconds(work: () => void): number {
  const start = performance.now();
  work();
  return (performance.now() - start) * 1e6;
}

/** Collects garbage now, so that none of it is collected while something is measured. */
export function collectGarbage(): void {
  if (globalThis.gc === undefined) throw new Error('run node with --expose-gc');
  globalThis.gc();
}

/** Throws unless `actual` is `expected`: a contender that computes something else is no contender. */
export function requireEqual(what: string, actual: unknown, expected: unknown): void {
  if (!Object.is(actual, expected)) throw new Error(`${what}: ${String(actual)} instead of ${String(expected)}`);
}

/**
 * Bytes of memory that this process has, and V8's young generation, which they don't count: it grows and shrinks whatever is held. Without
 * files; by Pss, since code is mapped twice, to be written and to be run, and the resident set counts such a page twice.
 */
export function residentBytes(): { readonly resident: number; readonly young: number } {
  const rollup = readFileSync('/proc/self/smaps_rollup', 'utf8');
  const kilobytes = ['Pss_Anon', 'Pss_Shmem'].reduce(
    (sum, name) => sum + Number(new RegExp(`^${name}: *(\\d+) kB$`, 'm').exec(rollup)![1]),
    0,
  );
  const young = getHeapSpaceStatistics().find(({ space_name: name }) => name === 'new_space')?.physical_space_size ?? 0;
  return { resident: kilobytes * 1024 - young, young };
}
