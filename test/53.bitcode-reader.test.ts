/**
 * The helper process that reads bitcode: one for the whole process, replaced when it is gone, gone when the process is.
 */
import { copyFileSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { childResult, prelude, runChild } from './support/child';
import { returning } from './support/programs';
import { running } from './support/readers';
import { assemble } from './support/tools';

/** Takes a second to read; nothing but f9 is left for code generation. */
const unused = Array.from({ length: 30_000 }, (_, i) => returning(`unused${i}`, i).replace('define', 'define internal'));
const large = assemble([returning('f9', 9), ...unused].join('\n'));

const folder = mkdtempSync(join(tmpdir(), 'nomad-jit-'));
const largeFile = join(folder, 'large.bc');
beforeAll(() => writeFileSync(largeFile, large));
afterAll(() => rmSync(folder, { recursive: true }));

const readersModule = JSON.stringify(join(__dirname, 'support/readers.ts'));
const tsx = ['--import', 'tsx'];

/** What the scripts share: bitcode by its result, a compile of it, the helpers of this process. */
const shared = `
  const { readersOf, ticks, addonPath } = require(${readersModule});
  const bitcode = [0, 1].map((i) => Buffer.from(${JSON.stringify([0, 1].map((i) => assemble(returning('f', i)).toString('base64')))}[i], 'base64'));
  const damaged = Buffer.from(bitcode[0].subarray(0, 200));
  const jit = new nomad.Jit();
  const result = (i) => jit.load(bitcode[i]).get('f')();
  const readers = () => readersOf(process.pid);
  const sleep = (ms) => Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, ms);
  /** Begins to compile a large module; returns when the reader's child is at it. */
  function startLarge() {
    const compiled = jit.compileAsync(require('node:fs').readFileSync('${largeFile}'), { name: 'large' });
    for (;; sleep(2)) {
      const child = readersOf(readers()[0])[0];
      if (child !== undefined && ticks(child) >= 3) return { child, compiled };
    }
  }
`;

const inChild = <T>(script: string): Promise<T> => childResult<T>(shared + script, { nodeOptions: tsx });

/** Whether all of these processes end, within 10 seconds. */
async function end(pids: number[]): Promise<boolean> {
  for (let i = 0; i < 100 && pids.some(running); i++) await new Promise((done) => setTimeout(done, 100));
  return !pids.some(running);
}

test('none before the first bitcode, then the same one', async () => {
  const { before, first, second } = await inChild<Record<string, number[]>>(`
    jit.load(programs.add);
    const before = readers();
    result(0);
    const first = readers();
    result(1);
    console.log(JSON.stringify({ before, first, second: readers() }));`);
  expect(before).toEqual([]);
  expect(first).toHaveLength(1);
  expect(second).toEqual(first);
});

test('killed between two compiles: another takes its place', async () => {
  const { results, readers } = await inChild<{ results: number[]; readers: number[][] }>(`
    const results = [], all = [];
    for (let i = 0; i < 4; i++) {
      results.push(result(i % 2));
      all.push(readers());
      process.kill(readers()[0], 'SIGKILL');
      sleep(200); // the child that it has ready dies a little later
    }
    console.log(JSON.stringify({ results, readers: all }));`);
  expect(results).toEqual([0, 1, 0, 1]);
  expect(readers.map((each) => each.length)).toEqual([1, 1, 1, 1]);
  expect(new Set(readers.flat()).size).toBe(4);
});

test.each([
  ['SIGSEGV', /^large: LLVM's bitcode reader crashed: Segmentation fault /],
  ['SIGKILL', /^large: LLVM's bitcode reader crashed: Killed /],
  ['SIGPROF', /^large: LLVM's bitcode reader took more than \d+ seconds /], // what the timer sends
])('a reading that ends by %s is an error; the reader goes on', async (signal, expected) => {
  const { code, message, works, readers } = await inChild<{ code: string; message: string; works: number; readers: number[][] }>(`
    result(0);
    const before = readers();
    const { child, compiled } = startLarge();
    process.kill(child, '${signal}');
    compiled.catch(({ code, message }) => {
      console.log(JSON.stringify({ code, message, works: result(1), readers: [before, readers()] }));
    });`);
  expect({ code, message, works }).toEqual({ code: 'ERR_CODEGEN', message: expect.stringMatching(expected) as string, works: 1 });
  expect(readers[1]).toEqual(readers[0]);
});

test('a reader that is killed while it reads: the reading begins anew', async () => {
  const works = await inChild<number>(`
    result(0);
    const { compiled } = startLarge();
    process.kill(readers()[0], 'SIGKILL');
    compiled.then((object) => {
      object.place({ space: jit.createSpace(), code: 0, constants: 0, data: 0 });
      console.log(object.get('f9')());
    });`);
  expect(works).toBe(9);
});

test('compiles under way at once, good and damaged, each get their own answer', async () => {
  const answers = await inChild<Array<number | string>>(`
    const indices = Array.from({ length: 60 }, (_, i) => i);
    const one = (i) => jit.compileAsync(i % 3 === 2 ? damaged : bitcode[i % 3], { optLevel: 0 });
    Promise.allSettled(indices.map(one)).then((settled) => {
      const space = jit.createSpace();
      const answer = ({ value, reason }, i) => value ? value.place({ space, code: 4096 * i, constants: 4096 * i, data: 4096 * i }).get('f')() : reason.code;
      console.log(JSON.stringify(settled.map(answer)));
    });`);
  expect(answers).toEqual(Array.from({ length: 60 }, (_, i) => [0, 1, 'ERR_IR_PARSE'][i % 3]));
});

test('workers share it', async () => {
  const { sums, readers } = await inChild<{ sums: number[]; readers: number[] }>(`
    const { Worker } = require('node:worker_threads');
    const script = ${JSON.stringify(prelude)} + \`
      const { parentPort, workerData } = require('node:worker_threads');
      const jit = new nomad.Jit();
      let sum = 0;
      for (let i = 0; i < 30; i++) sum += jit.load(workerData[i % 2]).get('f')();
      parentPort.postMessage(sum);\`;
    const run = () => new Promise((done, fail) => new Worker(script, { eval: true, workerData: bitcode }).on('message', done).on('error', fail));
    Promise.all([run(), run()]).then((sums) => console.log(JSON.stringify({ sums, readers: readers() })));`);
  expect(sums).toEqual([15, 15]);
  expect(readers).toHaveLength(1);
});

test.each([
  ['at the end of the script', ''],
  ['by process.exit', 'process.exit(0);'],
  ['by a signal', "process.kill(process.pid, 'SIGKILL');"],
  ['with compiles under way', 'for (let i = 0; i < 20; i++) jit.compileAsync(bitcode[0]).catch(() => 1); process.exit(0);'],
])('it ends with the process: %s', async (_, ending) => {
  const script = `result(0); console.log(JSON.stringify(readers())); ${ending}`;
  const { stdout, stderr } = await runChild(shared + script, { nodeOptions: tsx });
  expect(stderr).toBe('');
  const pids = JSON.parse(stdout.split('\n')[0]!) as number[];
  expect(pids).toHaveLength(1);
  expect(await end(pids)).toBe(true);
});

test('it ends with the process while it reads, and so does its child', async () => {
  const script = `
    result(0);
    const { child } = startLarge();
    console.log(JSON.stringify([...readers(), child]));
    process.kill(process.pid, 'SIGKILL');`;
  const { signal, stdout } = await runChild(shared + script, { nodeOptions: tsx });
  expect(signal).toBe('SIGKILL');
  const pids = JSON.parse(stdout) as number[];
  expect(pids).toHaveLength(2);
  expect(await end(pids)).toBe(true);
});

test('where it is missing, IR text compiles, and bitcode is an error that names it', async () => {
  const copy = join(folder, 'nomad_jit.node');
  const { path } = await inChild<{ path: string }>('console.log(JSON.stringify({ path: addonPath() }))');
  copyFileSync(path, copy);
  const script = `
    const jit = new nomad.Jit();
    const text = jit.load(programs.add).get('add')(20, 22);
    const source = Buffer.from('${assemble(returning('f', 1)).toString('base64')}', 'base64');
    try { jit.compile(source, { name: 'unread' }); } catch ({ code, message }) { console.log(JSON.stringify({ text, code, message })); }`;
  expect(await childResult(script, { environment: { NOMAD_JIT_ADDON: copy } })).toEqual({
    text: 42,
    code: 'ERR_CODEGEN',
    message: `unread: bitcode is read by a helper process, and '${folder}/nomad_bitcode_reader' can't be started: No such file or directory`,
  });
});
