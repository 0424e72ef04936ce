/**
 * A REPL that can run for ever: it compiles expressions in batches, and keeps the functions of the last batches only.
 * npx tsx examples/04-repl.ts [expressions, or 'Infinity']
 */
import assert from 'node:assert/strict';
import { setImmediate as nextTurn } from 'node:timers/promises';
import { CopyingCollector, Jit, type Callable, type CodeObject } from 'nomad-jit';

const expressions = Number(process.argv[2] ?? 4000);
const batchLength = 250;
const liveBatches = 16;
const turnLength = 1000;
const sampleLength = 25_000;

const jit = new Jit({ optLevel: 0 });
const collector = new CopyingCollector(jit, { nurseryBytes: 2 ** 20, oldBytes: 2 ** 21 });

/** `(a op b) op c`, as IR and as a number. */
function expression(number: number): { ir: string; value: number } {
  const [a, b, c] = [number % 1000, (number * 7) % 97, number % 13];
  const product = number % 2 === 0 ? a * b : a + b;
  const operation = number % 2 === 0 ? 'mul' : 'add';
  return { ir: `  %p = ${operation} i32 ${a}, ${b}\n  %r = sub i32 %p, ${c}\n  ret i32 %r`, value: product - c };
}

/** Compiles a batch as one code object, and evaluates each of its expressions. */
function evaluate(first: number): CodeObject {
  const batch = Array.from({ length: batchLength }, (_, i) => expression(first + i));
  // Arithmetic can't throw: `nounwind` saves LLVM its unwind records, a third of the time.
  const object = collector.compile(batch.map(({ ir }, i) => `define i32 @e${i}() nounwind {\n${ir}\n}\n`).join(''));
  for (const [i, { value }] of batch.entries()) {
    const run: Callable<() => number> = object.get(`e${i}`);
    assert.equal(run(), value);
  }
  return object;
}

/** Code between the first and the last byte that lives, for each byte that lives. */
function spread(live: readonly CodeObject[]): number {
  for (let i = 0; i < 2; i++) collector.collect('major'); // code that has survived two is in the old generation
  const bases = live.map((object) => Number(object.addressOf('e0'))); // the first function is at the start
  const limits = live.map(({ sizes }, i) => bases[i]! + sizes.code);
  return (Math.max(...limits) - Math.min(...bases)) / live.reduce((sum, { sizes }) => sum + sizes.code, 0);
}

async function main(): Promise<void> {
  const live: CodeObject[] = [];
  const resident: number[] = [];
  let collections = 0;
  collector.on('collection', () => collections++);
  for (let done = batchLength; done <= expressions; done += batchLength) {
    if (live.push(evaluate(done - batchLength)) > liveBatches) live.shift();
    if (done % turnLength === 0) await nextTurn(); // a code object that a turn has used lives until the turn ends
    if (done % sampleLength === 0) resident.push(process.memoryUsage().rss / 2 ** 20);
  }
  const during = collections;
  const ratio = spread(live);
  console.log(
    `${expressions} expressions, ${live.length * batchLength} live functions, ${ratio.toFixed(2)} bytes of code space per live byte`,
  );
  if (resident.length > 0)
    console.log(`${during} collections, resident MiB: ${resident.map((each) => each.toFixed(1)).join(' ')}`);
}

void main().finally(() => jit.dispose());
