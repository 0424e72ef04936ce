/**
 * Damaged bitcode: it compiles or throws a JitError; the process survives (I14). In a child process, so that a crash is seen as one.
 */
import { childResult, runChild } from './support/child';
import { cxxThrowAndCatch, jumpTable, threeSegments } from './support/programs';
import { randomIntegers, seed } from './support/random';
import { assemble } from './support/tools';

const bitcode = assemble(`${threeSegments}\n${jumpTable}\n${cxxThrowAndCatch}`);

interface Counts {
  cases: number;
  compiled: number;
  codes: Record<string, number>;
  others: string[];
  works: number;
}

/** Compiles each damaged copy; `changes` lists for each what to do: [length, offset, bit, offset, bit, ...]. */
function compileDamaged(changes: number[][]): Promise<Counts> {
  return childResult<Counts>(
    `
    const original = Buffer.from('${bitcode.toString('base64')}', 'base64');
    const jit = new nomad.Jit();
    const counts = { cases: 0, compiled: 0, codes: {}, others: [] };
    for (const [length, ...flips] of ${JSON.stringify(changes)}) {
      counts.cases++;
      const copy = Buffer.from(original.subarray(0, length));
      for (let i = 0; i < flips.length; i += 2) copy[flips[i]] ^= 1 << flips[i + 1];
      try {
        jit.compile(copy, { optLevel: counts.cases % 4 }).free();
        counts.compiled++;
      } catch (error) {
        if (error instanceof nomad.JitError) counts.codes[error.code] = (counts.codes[error.code] ?? 0) + 1;
        else counts.others.push(String(error.stack));
      }
    }
    counts.works = jit.load(programs.add).get('add')(20, 22);
    console.log(JSON.stringify(counts));`,
    { stderr: 'any' },
  );
}

test('truncated at every 16th byte', async () => {
  const lengths = Array.from({ length: Math.floor(bitcode.length / 16) }, (_, i) => [i * 16]);
  const counts = await compileDamaged(lengths);
  expect(counts).toMatchObject({ cases: lengths.length, others: [], works: 42 });
  expect(counts.codes.ERR_IR_PARSE).toBeGreaterThan(lengths.length / 2);
});

test('LLVM crashing or running out of memory is an error like others: nothing is printed', async () => {
  // In this bitcode a few of these bits are lengths of what LLVM allocates at once; others, 605 among them, make LLVM's reader take a
  // type for another and damage the heap. That is the heap of a process that only reads (53.bitcode-reader.test.ts).
  const script = `
    const original = Buffer.from('${bitcode.toString('base64')}', 'base64');
    const jit = new nomad.Jit();
    const messages = new Set();
    for (let bit = 0; bit < 800; bit++) {
      const copy = Buffer.from(original);
      copy[bit >> 3] ^= 1 << (bit & 7);
      try { jit.compile(copy, { name: 'damaged' }).free(); } catch ({ message }) { messages.add(message); }
    }
    console.log(JSON.stringify([...messages]));`;
  const messages = await childResult<string[]>(script);
  expect(messages.filter((message) => message.startsWith("damaged: LLVM's bitcode reader crashed: "))).not.toEqual([]);
});

test('what LLVM finds odd but accepts is not printed', async () => {
  const odd = 'define i32 @f() "target-features"="+no-such-feature" {\\n ret i32 1\\n}';
  expect((await runChild(`new nomad.Jit().compile('${odd}')`)).stderr).toBe('');
});

test.each([1, 2, 8])(`%i random bits flipped, 300 times (seed ${seed})`, async (flips) => {
  const random = randomIntegers(seed + flips);
  const changes = Array.from({ length: 300 }, () => [
    bitcode.length,
    ...Array.from({ length: flips }, () => [random(bitcode.length), random(8)]).flat(),
  ]);
  expect(await compileDamaged(changes)).toMatchObject({ cases: 300, others: [], works: 42 });
});
