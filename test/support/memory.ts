/**
 * What the process has of memory, for tests of leaks.
 *
 * In: a moment. Out: bytes. Always true: bytes count that somebody has asked for and not given back, to the byte, wherever they
 * are. Resident memory depends on which pages V8's young generation has touched.
 */
import { collectGarbage, makeJit } from './jits';

const ofMalloc = `
declare void @mallinfo2(ptr sret([10 x i64]))
define i64 @allocated() {
  %info = alloca [10 x i64]
  call void @mallinfo2(ptr sret([10 x i64]) %info)
  %mapped = getelementptr [10 x i64], ptr %info, i64 0, i64 4 ; hblkhd: blocks of their own mapping
  %used = getelementptr [10 x i64], ptr %info, i64 0, i64 7 ; uordblks: blocks in all arenas
  %a = load i64, ptr %mapped
  %b = load i64, ptr %used
  %sum = add i64 %a, %b
  ret i64 %sum
}`;

// V8 forgets the bytecode of functions that some collections have not seen run.
const collections = 10;
const runs = 3;

/** A function that tells how many bytes of malloc's are in use. V8's handles are there, its heap is not. */
export function mallocMeter(): () => number {
  const allocated = makeJit().load(ofMalloc).get('allocated');
  return () => Number(allocated());
}

/**
 * The least growth in bytes, by malloc and on V8's heap once that has been collected, of a few runs after a first one. A leak is in
 * each of them; what V8 keeps for itself, and when, is not.
 */
export async function leastGrowth(run: () => void): Promise<number> {
  const malloced = mallocMeter();
  const allocated = async () => {
    await collectGarbage(collections);
    return malloced() + process.memoryUsage().heapUsed;
  };
  run();
  let before = await allocated();
  const growths: number[] = [];
  for (let i = 0; i < runs; i++) {
    run();
    const after = await allocated();
    growths.push(after - before);
    before = after;
  }
  return Math.min(...growths);
}
