/**
 * A REPL that compiles its expressions one by one, and keeps the last ones only.
 *
 * In: nothing. Out: what an expression costs, from IR text to its value, and what is left of all. Always true: each is a code object of its own.
 */
import { join } from 'node:path';
import { Sample } from './measure';
import { root, run } from './peers';
import type { ReplAnswer } from './repl-child';
import type { Row } from './report';

const count = 20_000;

export function repl(): Promise<Row[]> {
  const child = ['--expose-gc', '--import', 'tsx', join(root, 'bench/repl-child.ts'), String(count)];
  const { microseconds, growthBytes, collections } = JSON.parse(run(process.execPath, child)) as ReplAnswer;
  const note = `${collections} collections; the last 1,000 expressions are held`;
  return Promise.resolve([
    {
      figure: 'REPL, an expression from IR text to its value, one by one, O0',
      ...{ unit: 'us', ours: new Sample(microseconds), note },
    },
    {
      figure: `  growth of resident memory over ${count.toLocaleString('en')} of them, after ${(count / 4).toLocaleString('en')}`,
      ...{ unit: 'MiB', ours: Sample.exactly(growthBytes / 2 ** 20), reach: { of: 'ours', most: 4 } },
    },
  ]);
}
