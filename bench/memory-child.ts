/**
 * The process in which memory.ts measures: node --expose-gc --import tsx bench/memory-child.ts COUNT
 *
 * In: how many. Out: a MemoryAnswer as JSON. Always true: all code objects are held, placed and have been called; the memory of the arrays that
 * hold them counts. V8's young generation does not: its size depends on how fast objects are made, not on how many are held, and it is empty
 * when it is measured. `withYoungBytes` counts it.
 */
import { Jit, type Callable, type CodeObject } from 'nomad-jit';
import { collectGarbage, requireEqual, residentBytes } from './measure';
import { resultOf, sourceOf } from './tiny';

/** Bytes per code object. */
export interface MemoryAnswer {
  readonly placedBytes: number;
  /** With a Callable for each held too. */
  readonly callableBytes: number;
  /** Of the Jit's arena. */
  readonly mappings: number;
  /** The first number, with what V8's young generation has grown by. */
  readonly withYoungBytes: number;
  /** What is known of the first number's parts. */
  readonly parts: string;
}

const warmUp = 4000;

interface Usage {
  /** Without V8's young generation. */
  readonly resident: number;
  readonly young: number;
  readonly jsHeap: number;
  readonly bookkeeping: number;
}

function usage(jit: Jit): Usage {
  collectGarbage();
  collectGarbage();
  const { bookkeepingBytes, relocationBytes } = jit.stats();
  return {
    ...residentBytes(),
    jsHeap: process.memoryUsage().heapUsed,
    bookkeeping: bookkeepingBytes + relocationBytes,
  };
}

function load(jit: Jit, number: number): CodeObject {
  const object = jit.load(sourceOf(number), { optLevel: 0 });
  requireEqual(`f${number}(3, 4)`, object.get(`f${number}`)(3, 4), resultOf(number));
  return object;
}

function main(count: number): MemoryAnswer {
  const jit = new Jit();
  const objects: CodeObject[] = [];
  for (let i = 0; i < warmUp; i++) objects.push(load(jit, i));
  const before = usage(jit);
  for (let i = warmUp; i < warmUp + count; i++) objects.push(load(jit, i));
  const placed = usage(jit);
  const callables: Callable[] = [];
  for (let i = warmUp; i < warmUp + count; i++) callables.push(objects[i]!.get(`f${i}`));
  const callable = usage(jit);
  callables.forEach((each, i) => requireEqual(each.symbol, each(3, 4), resultOf(warmUp + i)));
  const share = (from: number, to: number): number => (to - from) / count;
  const parts = {
    'JS heap': share(before.jsHeap, placed.jsHeap),
    'native records': share(before.bookkeeping, placed.bookkeeping),
    code: objects[warmUp]!.sizes.code,
  };
  return {
    placedBytes: share(before.resident, placed.resident),
    callableBytes: share(before.resident, callable.resident),
    withYoungBytes: share(before.resident + before.young, placed.resident + placed.young),
    mappings: jit.stats().mappings,
    parts: Object.entries(parts)
      .map(([name, bytes]) => `${name} ${bytes.toFixed(0)} B`)
      .join(', '),
  };
}

if (require.main === module) console.log(JSON.stringify(main(Number(process.argv[2]))));
