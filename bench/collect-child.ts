/**
 * The process in which collect.ts measures memory: node --expose-gc --import tsx bench/collect-child.ts COUNT
 *
 * In: how many. Out: a CollectAnswer as JSON. Always true: all code objects are held; V8's young generation does not count, as in memory-child.ts.
 */
import { CopyingCollector, Jit, type CodeObject } from 'nomad-jit';
import { collectGarbage, nanoseconds, requireEqual, residentBytes } from './measure';
import { resultOf, sourceOf } from './tiny';

/** What is measured. */
export interface CollectAnswer {
  readonly minorMicroseconds: number[];
  /** Resident, per code object. */
  readonly bytes: number;
  /** What is known of its parts. */
  readonly parts: string;
}

const warmUp = 4000;
const young = 100;

function resident(): number {
  collectGarbage();
  collectGarbage();
  return residentBytes().resident;
}

function compile(collector: CopyingCollector, number: number): CodeObject {
  const object = collector.compile(sourceOf(number), { optLevel: 0 });
  requireEqual(`f${number}`, object.get(`f${number}`)(3, 4), resultOf(number));
  return object;
}

function main(count: number): CollectAnswer {
  const jit = new Jit();
  const collector = new CopyingCollector(jit);
  const objects: CodeObject[] = [];
  for (let i = 0; i < warmUp; i++) objects.push(compile(collector, i));
  collector.collect('major');
  jit.trim();
  const before = { resident: resident(), js: process.memoryUsage().heapUsed, native: jit.stats().bookkeepingBytes };
  for (let i = warmUp; i < warmUp + count; i++) objects.push(compile(collector, i));
  for (let i = 0; i < 3; i++) collector.collect('major');
  jit.trim();
  const bytes = (resident() - before.resident) / count;
  const js = (process.memoryUsage().heapUsed - before.js) / count;
  const native = (jit.stats().bookkeepingBytes - before.native) / count;
  const minorMicroseconds: number[] = [];
  for (let round = 0; round < 30; round++) {
    for (let i = 0; i < young; i++) objects.push(compile(collector, i));
    const report = { moved: 0 };
    const time = nanoseconds(() => Object.assign(report, collector.collect({ kind: 'minor', findGarbage: false }))) / 1000;
    requireEqual('moved', report.moved >= young, true);
    minorMicroseconds.push(time);
    collector.collect('minor'); // the old generation has them now
  }
  return {
    minorMicroseconds,
    bytes,
    parts: `JS heap ${js.toFixed(0)} B, native records ${native.toFixed(0)} B, code ${objects[0]!.sizes.code} B`,
  };
}

console.log(JSON.stringify(main(Number(process.argv[2]))));
