/**
 * The ends of processes and workers, with live code objects, compiles under way, code in the middle of things.
 */
import { Worker } from 'node:worker_threads';
import { childResult, prelude, runChild } from './support/child';
import { expectWorking, makeJit } from './support/jits';

const live = `
  const jit = new nomad.Jit();
  globalThis.kept = [programs.counter, programs.threeSegments, programs.cxxThrowAndCatch].map((source) => jit.load(source));
  kept[0].get('bump')();
  kept[2].get('attempt')(1);
`;

const endings: Array<[string, string, number]> = [
  ['at the end of the script', '', 0],
  ['by process.exit(0)', 'process.exit(0)', 0],
  ['by process.exit(7)', 'process.exit(7)', 7],
  ['in an exit handler that calls code', "process.on('exit', () => console.log(kept[0].get('bump')()))", 0],
  ['with compiles under way', 'for (let i = 0; i < 8; i++) jit.compileAsync(programs.mix).catch(() => 1); process.exit(0)', 0],
  ['with compiles under way, at the end of the script', 'for (let i = 0; i < 8; i++) jit.compileAsync(programs.mix)', 0],
  ['in the callback of a compile', 'jit.compileAsync(programs.mix).then(() => process.exit(3))', 3],
  ['after dispose', 'jit.dispose()', 0],
  ['with several Jits', 'for (let i = 0; i < 5; i++) new nomad.Jit().load(programs.counter).get("bump")()', 0],
  ['after forgotten code objects', 'kept.length = 0; gc(); setImmediate(() => gc())', 0],
  [
    'after a batch of hostile modules',
    'for (const bad of ["", "x", "define", "declare void @nope()\\ndefine void @f() {\\n call void @nope()\\n ret void\\n}"]) try { jit.compile(bad); } catch {}',
    0,
  ],
];

test.each(endings)('a process ends %s', async (_, script, code) => {
  const result = await runChild(live + script, { nodeOptions: ['--expose-gc'] });
  expect({ ...result, stdout: '' }).toEqual({ code, signal: null, stdout: '', stderr: '' });
});

test('a process ends by an uncaught exception: with its message, and nothing else', async () => {
  const result = await runChild(`${live} throw new Error('mine')`);
  expect([result.code, result.signal]).toEqual([1, null]);
  expect(result.stderr).toMatch(/Error: mine/);
  expect(result.stderr).not.toMatch(/LLVM|Stack dump|fatal/i);
});

test('exit handlers run once at the end of a process', async () => {
  const source =
    'declare i32 @atexit(ptr)\\ndeclare i32 @puts(ptr)\\n@s = private constant [5 x i8] c"bye!\\\\00"\\ndefine internal void @bye() {\\n %x = call i32 @puts(ptr @s)\\n ret void\\n}\\ndefine void @f() {\\n %x = call i32 @atexit(ptr @bye)\\n ret void\\n}';
  const result = await runChild(`const jit = new nomad.Jit(); jit.load('${source}').get('f')(); globalThis.jit = jit;`);
  expect(result).toEqual({ code: 0, signal: null, stdout: 'bye!\n', stderr: '' });
});

test('an error of LLVM leaves the signal handlers as they were', async () => {
  const { caught } = await childResult<{ caught: number }>(`${live}
    let caught = 0;
    process.on('SIGTRAP', () => caught++);
    try { jit.compile('define void @f() {\\n call void asm sideeffect "gibberish", ""()\\n ret void\\n}'); } catch {}
    process.kill(process.pid, 'SIGTRAP');
    setTimeout(() => { console.log(JSON.stringify({ caught })); process.exit(0); }, 100);`);
  expect(caught).toBe(1);
});

/** Runs a script in a worker; resolves with its exit code and what it posted. */
function runWorker(script: string, whenPosted?: (worker: Worker) => void): Promise<{ code: number; posted: unknown[] }> {
  const worker = new Worker(`const { parentPort, workerData } = require('node:worker_threads');\n${prelude}${script}`, {
    eval: true,
  });
  const posted: unknown[] = [];
  return new Promise((resolve, reject) => {
    worker.on('message', (value) => {
      posted.push(value);
      whenPosted?.(worker);
    });
    worker.on('error', reject);
    worker.on('exit', (code) => resolve({ code, posted }));
  });
}

const work = `
  const jit = new nomad.Jit();
  const space = jit.createSpace();
  let sum = 0;
  for (let i = 0; i < 50; i++) {
    const object = jit.compile(programs.threeSegments);
    object.place(space.allocate(object));
    sum += object.get('square')(i % 5);
    object.relocate(space.allocate(object));
    sum += object.get('square')(i % 5);
    try { jit.compile('gibberish'); } catch {}
    if (i % 2) object.free();
  }
  parentPort.postMessage(sum);`;

describe('workers', () => {
  test('four at once, each with a Jit of its own, and the main thread meanwhile (I15)', async () => {
    const jit = makeJit();
    const running = Array.from({ length: 4 }, () => runWorker(work));
    for (let i = 0; i < 20; i++) expectWorking(jit);
    for (const { code, posted } of await Promise.all(running)) expect([code, posted]).toEqual([0, [600]]);
    expectWorking(jit);
  });

  test('one after the other, ten times', async () => {
    for (let i = 0; i < 10; i++) expect(await runWorker(work)).toEqual({ code: 0, posted: [600] });
    expectWorking(makeJit());
  });

  test('terminated while they compile', async () => {
    const endless = `const jit = new nomad.Jit(); parentPort.postMessage(1); for (;;) jit.compile(programs.mix);`;
    const results = await Promise.all(
      Array.from({ length: 4 }, () => runWorker(endless, (worker) => void setTimeout(() => void worker.terminate(), 150))),
    );
    expect(results.map(({ code }) => code)).toEqual([1, 1, 1, 1]);
    expectWorking(makeJit());
  });

  test('terminated while compileAsync is under way', async () => {
    const pending = `const jit = new nomad.Jit(); for (let i = 0; i < 20; i++) jit.compileAsync(programs.mix);
      parentPort.postMessage(1);
      setInterval(() => 1, 1000); // it goes on until it is terminated`;
    const results = await Promise.all(Array.from({ length: 4 }, () => runWorker(pending, (worker) => void worker.terminate())));
    expect(results.map(({ code }) => code)).toEqual([1, 1, 1, 1]);
    expectWorking(makeJit());
  });

  test('ended by process.exit, or by an error, with live code objects', async () => {
    expect(await runWorker(`${live} process.exit(4)`)).toEqual({ code: 4, posted: [] });
    await expect(runWorker(`${live} throw new Error('mine')`)).rejects.toThrow('mine');
    expectWorking(makeJit());
  });

  test('errors are of the classes that the worker knows', async () => {
    const script = `
      const jit = new nomad.Jit();
      const names = [];
      for (const run of [() => jit.compile('x'), () => jit.load(programs.add).get('add')('x', 1), () => jit.load(programs.add).place()])
        try { run(); } catch (error) { names.push([error.constructor.name, error instanceof Error]); }
      parentPort.postMessage(names);`;
    const { posted } = await runWorker(script);
    expect(posted).toEqual([
      [
        ['IRParseError', true],
        ['TypeError', true],
        ['StateError', true],
      ],
    ]);
  });

  test('a process whose last worker used the addon and is gone goes on (trap 22)', async () => {
    const script = `const { Worker } = require('node:worker_threads');
      const worker = new Worker(${JSON.stringify(prelude + live)}, { eval: true });
      worker.on('exit', (code) => { console.log(JSON.stringify([code, new nomad.Jit().load(programs.add).get('add')(1, 2)])); });`;
    expect(await childResult(script)).toEqual([0, 3]);
    const first = `const { Worker } = require('node:worker_threads');
      const run = () => new Promise((done) => new Worker(${JSON.stringify(prelude + live)}, { eval: true }).on('exit', done));
      run().then(run).then((code) => console.log(JSON.stringify(code)));`;
    expect(await childResult(first)).toBe(0);
  });
});
