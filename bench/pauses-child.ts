/**
 * The process in which pauses.ts measures: node --expose-gc --import tsx bench/pauses-child.ts nursery MEGABYTES | million COUNT
 *
 * In: the size of V8's heap, or how many functions. Out: a NurseryAnswer or a MillionAnswer as JSON. Always true: every function that lives has been
 * called afterwards, and gave what it should.
 */
import { CopyingCollector, Jit, type CodeObject } from 'nomad-jit';
import { findingTimes, type FindingTimes } from './finding';
import { collectGarbage, requireEqual, residentBytes } from './measure';
import { resultOf, sourceOf } from './tiny';

/** Milliseconds. */
export interface NurseryAnswer {
  readonly pauses: readonly number[];
  readonly v8: readonly number[];
}

export interface MillionAnswer {
  /** Microseconds per function, by tenths of all. */
  readonly compile: readonly number[];
  readonly bytes: number;
  /** Milliseconds, without V8's share, and that. */
  readonly atOnce: number;
  readonly v8: number;
  /** Milliseconds of each step: all live, then every second one dead. */
  readonly steps: readonly number[];
  readonly stepsOfDead: readonly number[];
  /** Among few, then among all. */
  readonly finding: readonly [few: FindingTimes, all: FindingTimes];
}

const perModule = 1000;
const maxPause = 5;

/** Fills the nursery again and again; one in twelve lives. */
function nursery(megabytes: number): NurseryAnswer {
  const heap = Array.from({ length: megabytes * 8000 }, (_, i) => ({ number: i, name: [i] }));
  const pauses: number[] = [];
  const v8: number[] = [];
  using jit = new Jit({ optLevel: 0 });
  const collector = new CopyingCollector(jit, { promoteAfter: 1 });
  collector.on('collection', ({ pauseMilliseconds, v8Milliseconds }) => {
    pauses.push(pauseMilliseconds);
    v8.push(v8Milliseconds);
  });
  const held: CodeObject[] = [];
  for (let i = 0; pauses.length < 16; i++) {
    const object = collector.compile(sourceOf(i));
    if (i % 12 === 0) held.push(object);
  }
  for (let i = 0; i < held.length; i++) requireEqual(`f${12 * i}`, held[i]!.get(`f${12 * i}`)(3, 4), resultOf(12 * i));
  requireEqual('heap', heap.length, megabytes * 8000);
  return { pauses: pauses.slice(1), v8: v8.slice(1) };
}

function moduleOf(number: number): string {
  return Array.from({ length: perModule }, (_, i) => sourceOf(number * perModule + i)).join('\n');
}

function compileAll(collector: CopyingCollector, count: number): { held: Array<CodeObject | undefined>; compile: number[] } {
  const held: Array<CodeObject | undefined> = [];
  const compile: number[] = [];
  for (let tenth = 0; tenth < 10; tenth++) {
    const start = performance.now();
    for (let i = 0; i < count / perModule / 10; i++) {
      const first = held.length;
      const result = collector.compile(moduleOf(first / perModule), { granularity: 'function' });
      for (let f = first; f < first + perModule; f++) held.push(result.object(`f${f}`));
    }
    compile.push(((performance.now() - start) * 1000) / (count / 10));
  }
  return { held, compile };
}

/** Milliseconds of each step of one whole collection, as the caller sees them. */
function steps(collector: CopyingCollector): number[] {
  const times: number[] = [];
  for (let isComplete = false; !isComplete;) {
    const start = performance.now();
    ({ isComplete } = collector.collect({ maxPause }));
    times.push(performance.now() - start);
  }
  return times;
}

function million(count: number): MillionAnswer {
  using jit = new Jit({ optLevel: 0, arenaBytes: 2 ** 30 });
  const collector = new CopyingCollector(jit, { promoteAfter: 0, oldBytes: 150 * count + 2 ** 20 });
  collectGarbage();
  const before = residentBytes().resident;
  const few = findingTimes(jit);
  const { held, compile } = compileAll(collector, count);
  const { pauseMilliseconds, v8Milliseconds } = collector.collect();
  const bytes = (residentBytes().resident - before) / count;
  const finding = [few, findingTimes(jit)] as const;
  steps(collector); // V8 optimises
  const all = steps(collector);
  for (let i = 0; i < count; i += 2) held[i] = undefined;
  collectGarbage();
  const ofDead = steps(collector);
  for (let i = 1; i < count; i += 9998) requireEqual(`f${i}`, held[i]!.get(`f${i}`)(3, 4), resultOf(i));
  const atOnce = pauseMilliseconds - v8Milliseconds;
  return { compile, bytes, atOnce, v8: v8Milliseconds, steps: all, stepsOfDead: ofDead, finding };
}

const [what, number] = process.argv.slice(2);
console.log(JSON.stringify(what === 'nursery' ? nursery(Number(number)) : million(Number(number))));
