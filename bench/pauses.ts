/**
 * What a program waits for when code is collected, and a million functions.
 *
 * In: nothing. Out: rows. Always true: a pause is all that the caller waits, V8's own collection included.
 */
import { join } from 'node:path';
import type { FindingTimes } from './finding';
import { Sample } from './measure';
import type { MillionAnswer, NurseryAnswer } from './pauses-child';
import { root, run } from './peers';
import type { Row } from './report';

const count = 1_000_000;

function ask(...words: readonly string[]): unknown {
  const child = ['--expose-gc', '--max-old-space-size=8192', '--import', 'tsx', join(root, 'bench/pauses-child.ts'), ...words];
  return JSON.parse(run(process.execPath, child));
}

function nursery(megabytes: number, most: number): Row {
  const { pauses, v8 } = ask('nursery', String(megabytes)) as NurseryAnswer;
  return {
    figure: `nursery full, one in twelve lives, JS heap of ${megabytes} MB: all that the caller waits`,
    ...{ unit: 'ms', ours: new Sample(pauses), reach: { of: 'ours', most } },
    note: `V8's share ${new Sample(v8).median.toFixed(2)} ms`,
  };
}

function million(): Row[] {
  const { compile, bytes, atOnce, v8, steps, stepsOfDead, finding } = ask('million', String(count)) as MillionAnswer;
  const step = (figure: string, times: readonly number[]): Row[] => {
    const ours = new Sample(times);
    return [
      { figure, ...{ unit: 'ms', ours, reach: { of: 'ours', most: 5 }, note: `${times.length} steps` } },
      { figure: '  the longest of them', ...{ unit: 'ms', ours: Sample.exactly(ours.maximum), reach: { of: 'ours', most: 5 } } },
    ];
  };
  return [
    {
      figure: 'compile 1,000,000 functions, 1,000 a module, function by function, O0: each of the last tenth',
      ...{
        unit: 'us',
        ours: Sample.exactly(compile.at(-1)!),
        peer: { name: 'of the first tenth', sample: Sample.exactly(compile[0]!) },
      },
    },
    { figure: '  resident bytes of each, after a major collection', unit: 'B', ours: Sample.exactly(bytes) },
    {
      figure: "  a major collection of them at once, without V8's",
      unit: 'ms',
      ours: Sample.exactly(atOnce),
      note: `V8's share ${v8.toFixed(0)} ms`,
    },
    ...step('  a step of a major collection of them, maxPause 5', steps),
    ...step('  the same, every second one dead', stepsOfDead),
    ...found(finding),
  ];
}

/** The same code, before the million is there and afterwards. */
function found([few, all]: MillionAnswer['finding']): Row[] {
  const row = (figure: string, what: keyof FindingTimes): Row => ({
    figure,
    ...{ unit: 'us', ours: new Sample(all[what]), peer: { name: 'among few', sample: new Sample(few[what]) } },
  });
  return [
    row('  a look at a stack of 100 frames, among them', 'stack'),
    row('  a C++ exception through ten frames, caught, among them', 'exception'),
  ];
}

export function pauses(): Promise<Row[]> {
  return Promise.resolve([nursery(600, 5), nursery(10, 2), ...million()]);
}
