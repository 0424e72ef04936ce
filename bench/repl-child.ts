/**
 * The process in which repl.ts measures: node --expose-gc --import tsx bench/repl-child.ts COUNT
 *
 * In: how many expressions. Out: a ReplAnswer as JSON. Always true: each expression is a code object of its own, is called once, and gives what JS
 * says; the last `live` of them are held. V8's young generation does not count, as in
 * memory-child.ts.
 */
import { setImmediate as nextTurn } from 'node:timers/promises';
import { CopyingCollector, Jit, type CodeObject } from 'nomad-jit';
import { collectGarbage, requireEqual, residentBytes } from './measure';

/** What is measured. */
export interface ReplAnswer {
  /** Of each round of `roundLength`, collections included: per expression. */
  readonly microseconds: number[];
  /** Of resident memory, after a warm-up of a quarter as many. */
  readonly growthBytes: number;
  readonly collections: number;
}

const live = 1000;
const roundLength = 1000;
const turnLength = 100;

const jit = new Jit({ optLevel: 0 });
const collector = new CopyingCollector(jit);
const held = new Array<CodeObject | undefined>(live);

function evaluate(number: number): void {
  const [a, b, c] = [number % 1000, (number * 7) % 97, number % 13];
  const source = `define i32 @e() nounwind {\n  %p = mul i32 ${a}, ${b}\n  %r = sub i32 %p, ${c}\n  ret i32 %r\n}\n`;
  const object = collector.compile(source);
  requireEqual(source, object.get('e')(), a * b - c);
  held[number % live] = object;
}

/** When finalizers have run, and the collector has freed what V8 has found dead. */
async function settledBytes(): Promise<number> {
  for (let i = 0; i < 2; i++) {
    collectGarbage();
    await nextTurn();
    collector.collect('major');
  }
  jit.trim();
  return residentBytes().resident;
}

async function round(first: number): Promise<number> {
  const start = performance.now();
  for (let number = first; number < first + roundLength; number++) {
    evaluate(number);
    if (number % turnLength === 0) await nextTurn(); // what a turn has used lives until it ends
  }
  return ((performance.now() - start) * 1000) / roundLength;
}

async function main(count: number): Promise<ReplAnswer> {
  let collections = 0;
  collector.on('collection', () => collections++);
  const microseconds: number[] = [];
  for (let done = 0; done < count / 4; done += roundLength) await round(done);
  const before = await settledBytes();
  for (let done = 0; done < count; done += roundLength) microseconds.push(await round(done));
  return { microseconds, growthBytes: (await settledBytes()) - before, collections };
}

void main(Number(process.argv[2])).then((answer) => console.log(JSON.stringify(answer)));
