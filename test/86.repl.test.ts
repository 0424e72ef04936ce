/**
 * A REPL that lives for ever: a million expressions, of which a steady number lives, cost no memory.
 */
import { execFile } from 'node:child_process';
import { join } from 'node:path';
import { promisify } from 'node:util';

const root = join(__dirname, '..');
const expressions = 1_000_000;

/** It takes a minute and a half where nothing else runs. */
const mostMilliseconds = 600_000;

/** Measured: 0.0. Three bytes lost with each expression would be as much. */
const mostGrowthMiB = 2;

/** V8 doubles its young generation when it likes, up to 48 MiB; here it has its size from the first expressions on. */
const steadyYoungGeneration = ['--max-semi-space-size=1'];

interface Answer {
  readonly liveFunctions: number;
  readonly bytesPerLiveByte: number;
  readonly collections: number;
  readonly residentMiB: number[];
}

/** Runs the example, which compares every expression's value with what JS says. */
async function runExample(): Promise<Answer> {
  const args = [...steadyYoungGeneration, '--import', 'tsx', join('examples', '04-repl.ts'), String(expressions)];
  const { stdout } = await promisify(execFile)(process.execPath, args, { cwd: root });
  const found = /expressions, (\d+) live functions, ([\d.]+) bytes.*\n(\d+) collections, resident MiB: ([\d. ]+)\n$/.exec(stdout);
  if (found === null) throw new Error(`the example printed '${stdout}'`);
  const [, live, ratio, collections, resident] = found as unknown as [string, string, string, string, string];
  return {
    liveFunctions: Number(live),
    bytesPerLiveByte: Number(ratio),
    collections: Number(collections),
    residentMiB: resident.split(' ').map(Number),
  };
}

test(
  'a million expressions leave nothing behind',
  async () => {
    const { liveFunctions, bytesPerLiveByte, collections, residentMiB } = await runExample();
    expect(liveFunctions).toBe(4000);
    expect(bytesPerLiveByte).toBeLessThanOrEqual(1.1);
    expect(collections).toBeGreaterThanOrEqual(25);
    expect(residentMiB.length).toBe(40);
    const warmUp = residentMiB.slice(0, residentMiB.length / 4);
    const later = residentMiB.slice(residentMiB.length / 4);
    expect(Math.max(...later) - Math.max(...warmUp)).toBeLessThan(mostGrowthMiB);
  },
  mostMilliseconds,
);
