/**
 * The threads of compileAsync: how many there are, in which order results come, what ends them.
 */
import { availableParallelism } from 'node:os';
import { setImmediate as nextTurn } from 'node:timers/promises';
import { Worker } from 'node:worker_threads';
import { IRParseError, Jit, StateError, UnresolvedSymbolError } from 'nomad-jit';
import { childResult, prelude, runChild } from './support/child';
import { collectGarbage, errorOf, expectWorking, makeJit, rejectionOf } from './support/jits';
import { add, calling, mix, multiplying, returning } from './support/programs';
import { randomIntegers, seed } from './support/random';
import { assemble } from './support/tools';

/** `count` copies of a long function, and `f`, which returns `value`. */
function large(count: number, value: number): string {
  const copies = Array.from({ length: count }, (_, i) => mix.replaceAll('@twist', `@twist${i}`).replaceAll('@mix', `@mix${i}`));
  return `${copies.join('\n')}\n${returning('f', value)}`;
}

function upTo(count: number): number[] {
  return Array.from({ length: count }, (_, i) => i);
}

/** Turns of the event loop until `promise` is settled. */
async function turnsUntil(promise: Promise<unknown>): Promise<number> {
  const progress = watch(promise);
  let turns = 0;
  for (; !progress.isSettled; turns++) await nextTurn();
  return turns;
}

function watch(promise: Promise<unknown>): { readonly isSettled: boolean } {
  const progress = { isSettled: false };
  const settle = (): void => void (progress.isSettled = true);
  promise.then(settle, settle);
  return progress;
}

describe('the option', () => {
  test.each([0, 65, -1, 1.5, NaN])('%p threads are refused with RangeError', (compileThreads) => {
    expect(errorOf(() => new Jit({ compileThreads }))).toMatchObject({ name: 'RangeError', message: /compileThreads.*1 to 64/ });
  });

  test.each(['4', null, {}])('%p for a number is refused with TypeError', (compileThreads) => {
    expect(errorOf(() => new Jit({ compileThreads: compileThreads as never })).name).toBe('TypeError');
  });

  const counted = `
    const { readdirSync, readFileSync } = require('node:fs');
    const count = () => readdirSync('/proc/self/task').filter((task) => {
      try { return readFileSync('/proc/self/task/' + task + '/comm', 'utf8') === 'nomad-compile\\n'; } catch { return false; }
    }).length;
    const large = (i) => Array.from({ length: 3 }, (_, k) => programs.mix.replaceAll('@twist', '@twist' + k).replaceAll('@mix', '@mix' + k + 'of' + i)).join('\\n');
    const run = async (options, sources) => {
      const jit = new nomad.Jit(options);
      const before = count();
      await Promise.all(Array.from({ length: sources }, (_, i) => jit.compileAsync(large(i))));
      const during = count();
      jit.dispose();
      return [before, during, count()];
    };`;

  test('as many threads as asked for, and no more, from the first compile to dispose', async () => {
    const script = `${counted}
      (async () => console.log(JSON.stringify([await run({ compileThreads: 1 }, 4), await run({ compileThreads: 3 }, 12), await run({ compileThreads: 64 }, 5), await run({}, 16)])))();`;
    expect(await childResult(script)).toEqual([
      [0, 1, 0],
      [0, 3, 0],
      [0, 5, 0],
      [0, Math.min(4, availableParallelism()), 0],
    ]);
  });
});

describe('the order', () => {
  test('results come in the order of the calls, one in a job, whoever is ready first', async () => {
    const jit = makeJit({ compileThreads: 4 });
    const sizes = [15, 0, 0, 7, 0, 1, 0, 0, 3, 0];
    const settled: Array<[index: number, live: number]> = [];
    const pending = sizes.map(async (size, i) => {
      const object = await jit.compileAsync(large(size, i));
      settled.push([i, jit.stats().objects.live]);
      return object;
    });
    const objects = await Promise.all(pending);
    expect(settled).toEqual(sizes.map((_, i) => [i, i + 1]));
    const space = jit.createSpace();
    for (const [i, object] of objects.entries()) expect(object.place(space.allocate(object)).get('f')()).toBe(i);
  });

  test('an error is in its place, and holds nobody up', async () => {
    const jit = makeJit({ compileThreads: 3 });
    const sources = [
      large(8, 0),
      'gibberish',
      returning('f', 2),
      calling('f', 'nobody_defines_this', 0),
      large(2, 4),
      returning('f', 5),
    ];
    const settled: number[] = [];
    const results = await Promise.allSettled(
      sources.map((source, i) => jit.compileAsync(source).finally(() => void settled.push(i))),
    );
    expect(settled).toEqual(upTo(6));
    expect(results.map(({ status }) => status === 'fulfilled')).toEqual([true, false, true, false, true, true]);
    expect((results[1] as PromiseRejectedResult).reason).toBeInstanceOf(IRParseError);
    expect((results[3] as PromiseRejectedResult).reason).toBeInstanceOf(UnresolvedSymbolError);
    expectWorking(jit);
  });

  test(`200 of random sizes, text and bitcode, on 4 threads (SEED=${seed})`, async () => {
    const jit = makeJit({ compileThreads: 4 });
    const space = jit.createSpace();
    const random = randomIntegers();
    const settled: number[] = [];
    const bitcode = upTo(4).map((i) => assemble(returning('f', 1000 + i)));
    const one = async (i: number): Promise<void> => {
      const kind = random(20);
      const [source, value] =
        kind === 0
          ? [large(1, i), i]
          : kind < 3
            ? [bitcode[i % 4]!, 1000 + (i % 4)]
            : kind === 3
              ? ['define', NaN]
              : [returning('f', i), i];
      const result = await jit.compileAsync(source, { optLevel: (i % 4) as 0 | 1 | 2 | 3 }).catch((error: unknown) => error);
      settled.push(i);
      if (result instanceof Error) expect([kind, result.name]).toEqual([3, 'IRParseError']);
      else {
        const object = result as Awaited<ReturnType<Jit['compileAsync']>>;
        expect(object.place(space.allocate(object)).get('f')()).toBe(value);
      }
    };
    await Promise.all(upTo(200).map(one));
    expect(settled).toEqual(upTo(200));
  });
});

test('an import that is freed meanwhile is not mistaken for what has its place', async () => {
  const jit = makeJit({ compileThreads: 1 });
  const callee = jit.load(multiplying('g', 3));
  const pending = rejectionOf(jit.compileAsync(calling('f', 'g', 1), { imports: { g: callee.get('g') } }));
  callee.free();
  const others = [4, 5, 6].map((factor) => jit.load(multiplying('g', factor)));
  expect(await pending).toBeInstanceOf(StateError);
  expect(others.map((other) => other.get('g')(2))).toEqual([8, 10, 12]);
});

test('the event loop turns while a large source is compiled, and while others wait for it', async () => {
  const jit = makeJit({ compileThreads: 2 });
  const [first, second] = [jit.compileAsync(large(15, 1)), jit.compileAsync(add)];
  expect(await turnsUntil(first)).toBeGreaterThan(0);
  expect((await second).state).toBe('unplaced');
});

test('what waits for a thread has been copied: the bytes may change, and are not kept', async () => {
  const jit = makeJit({ compileThreads: 1 });
  const before = upTo(8).map((i) => jit.compileAsync(large(15, i)));
  const progress = watch(before[7]!);
  const waiting = (() => {
    const bytes = new Uint8Array(Buffer.from(returning('f', 17).padEnd(1 << 20)));
    const promise = jit.compileAsync(bytes);
    bytes.fill(0);
    return { promise, bytes: new WeakRef(bytes) };
  })();
  await collectGarbage(2);
  expect([waiting.bytes.deref(), progress.isSettled]).toEqual([undefined, false]);
  await Promise.all(before);
  const object = await waiting.promise;
  expect(object.place(jit.createSpace().allocate(object)).get('f')()).toBe(17);
});

describe('the end', () => {
  test('dispose rejects all that is under way at once, and waits for no thread', async () => {
    const jit = new Jit({ compileThreads: 2 });
    const pending = [large(4, 1), 'gibberish'].map((source) => rejectionOf(jit.compileAsync(source)));
    jit.dispose();
    for (const error of await Promise.all(pending)) expect(error).toBeInstanceOf(StateError);
    expect(await rejectionOf(jit.compileAsync(add))).toBeInstanceOf(StateError);
  });

  test('dispose after a turn of the event loop rejects them too', async () => {
    const jit = new Jit({ compileThreads: 2 });
    const pending = upTo(40).map((i) => rejectionOf(jit.compileAsync(large(4, i))));
    await nextTurn();
    jit.dispose();
    for (const error of await Promise.all(pending)) {
      expect(error).toBeInstanceOf(StateError);
      expect(error.message).toMatch(/disposed/);
    }
    expectWorking(makeJit());
  });

  test('dispose where a promise is settled', async () => {
    const jit = new Jit({ compileThreads: 2 });
    const first = jit.compileAsync(add).then(() => jit.dispose());
    const others = upTo(10).map((i) => rejectionOf(jit.compileAsync(large(1, i))));
    await first;
    for (const error of await Promise.all(others)) expect(error).toBeInstanceOf(StateError);
    expectWorking(makeJit());
  });

  test('sixty Jits that are dropped or disposed while they compile', async () => {
    for (let i = 0; i < 60; i++) {
      const jit = new Jit({ compileThreads: 1 + (i % 4), arenaBytes: 1 << 20 });
      const pending = [mix, add].map((source) => jit.compileAsync(source).catch((error: unknown) => error));
      if (i % 3 === 0) await nextTurn();
      if (i % 2 === 0) jit.dispose();
      if (i % 10 === 0) await Promise.all(pending);
    }
    await collectGarbage();
    expectWorking(makeJit());
  });

  test('a process waits for what it has asked for, and for no more', async () => {
    const script = `const jit = new nomad.Jit({ compileThreads: 2 });
      for (const source of [programs.mix, programs.add]) jit.compileAsync(source).then(({ state }) => console.log(state));`;
    expect(await runChild(script)).toEqual({ code: 0, signal: null, stdout: 'unplaced\nunplaced\n', stderr: '' });
  });

  const endings: Array<[string, string, number]> = [
    ['exits', 'process.exit(3)', 3],
    ['exits in a turn of its own', 'setImmediate(() => process.exit(4))', 4],
    ['disposes, and ends', 'jit.dispose()', 0],
    ['disposes, forgets, and ends', 'jit.dispose(); jit = undefined; globalThis.gc()', 0],
  ];

  test.each(endings)('a process %s while all threads are at work and more waits', async (_, ending, code) => {
    const script = `let jit = new nomad.Jit({ compileThreads: 4 });
      for (let i = 0; i < 30; i++) jit.compileAsync(programs.mix).catch(() => 1);
      setImmediate(() => { ${ending} });`;
    expect(await runChild(script, { nodeOptions: ['--expose-gc'] })).toEqual({ code, signal: null, stdout: '', stderr: '' });
  });

  test('workers that end while all their threads are at work', async () => {
    const script = (ending: string): string => `const { parentPort } = require('node:worker_threads');\n${prelude}
      const jit = new nomad.Jit({ compileThreads: 4 });
      for (let i = 0; i < 30; i++) jit.compileAsync(programs.mix).catch(() => 1);
      setImmediate(() => { parentPort.postMessage(1); ${ending} });`;
    const run = (ending: string): Promise<number> =>
      new Promise((resolve, reject) => {
        const worker = new Worker(script(ending), { eval: true });
        if (ending === '') worker.on('message', () => void worker.terminate());
        worker.on('error', reject);
        worker.on('exit', resolve);
      });
    const codes = await Promise.all(['', 'process.exit(5)', 'jit.dispose()', ''].map(run));
    expect(codes).toEqual([1, 5, 0, 1]);
    expectWorking(makeJit());
  });
});
