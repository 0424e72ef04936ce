/**
 * isolation: 'process': what LLVM does in a helper process, crash, hang, or take all memory, is an error here.
 *
 * Oracles: a compile in this process (bytes), known answers (results), /proc (who is there, how much memory).
 */
import { CodegenError, type Jit, UnsupportedError } from 'nomad-jit';
import { childResult } from './support/child';
import { errorOf, makeJit } from './support/jits';
import { add, returning } from './support/programs';
import { readersOf, running } from './support/readers';
import { assemble } from './support/tools';

/** LLVM can't select instructions for it: a fatal error. */
const fatal = `declare i32 @llvm.aarch64.neon.saddlv.i32.v4i16(<4 x i16>)
define i32 @f(<4 x i16> %x) {
  %y = call i32 @llvm.aarch64.neon.saddlv.i32.v4i16(<4 x i16> %x)
  ret i32 %y
}`;
/** Legal, and LLVM works on it for minutes, or takes 10 GB. */
const endless = 'define i8388607 @f(i8388607 %x) { %y = mul i8388607 %x, %x ret i8388607 %y }';
const greedy = `define void @f() { call void @g([4000000 x i32] zeroinitializer) ret void }
declare void @g([4000000 x i32])`;

const isolated = (): Jit => makeJit({ isolation: 'process' });

const program = `@table = internal constant [4 x i32] [i32 3, i32 5, i32 7, i32 11]
@count = global i32 40
@hook = global ptr @helper
declare i32 @setjmp(ptr) returns_twice
declare double @sqrt(double)
define internal i32 @helper(i32 %i) noinline { %p = getelementptr [4 x i32], ptr @table, i32 0, i32 %i %v = load i32, ptr %p ret i32 %v }
define i32 @f(i32 %i) { %g = load ptr, ptr @hook %v = call i32 %g(i32 %i) %c = load i32, ptr @count %r = add i32 %v, %c ret i32 %r }
define double @root(double %x) { %r = call double @sqrt(double %x) ret double %r }
define i32 @jumps(ptr %b) { %r = call i32 @setjmp(ptr %b) returns_twice ret i32 %r }
define <4 x float> @vector(<4 x float> %x) { ret <4 x float> %x }`;

test('the same bytes, exports and results as in this process, at every level, from text and from bitcode', () => {
  const [here, there] = [makeJit(), isolated()];
  for (const optLevel of [0, 2] as const)
    for (const source of [program, assemble(program)]) {
      const options = { optLevel, retain: 'object', name: 'same' } as const;
      const [mine, its] = [here.compile(source, options), there.compile(source, options)];
      expect(Buffer.compare(its.serialize(), mine.serialize())).toBe(0);
      expect(its.functions).toEqual(mine.functions);
      expect(its.globals).toEqual(mine.globals);
      const placed = there.load(source, { optLevel });
      expect(placed.get('f')(2)).toBe(47);
      expect(placed.get('root')(49)).toBe(7);
    }
});

test('function by function, and refusals and mistakes with their places', () => {
  const jit = isolated();
  expect(jit.compile(program, { granularity: 'function' })).toBeDefined();
  for (const bad of ['define i32 @f() {\n  ret i33 0 }', 'define i32 @f() safestack { %a = alloca i32 ret i32 1 }', fatal]) {
    const [mine, its] = [makeJit(), jit].map((each) => errorOf(() => each.compile(bad, { name: 'bad' })));
    expect([its!.name, its!.line, its!.column, its!.message.slice(0, 60)]).toEqual([
      ...[mine!.name, mine!.line, mine!.column, mine!.message.slice(0, 60)],
    ]);
  }
});

test('a fatal error is a CodegenError that says what LLVM said, and takes no memory here, however often', async () => {
  expect(errorOf(() => isolated().compile(fatal))).toBeInstanceOf(CodegenError);
  expect(errorOf(() => isolated().compile(fatal)).message).toMatch(/LLVM cannot go on: Do not know how to widen/);
  const { grown, errors, sum } = await childResult<{ grown: number; errors: number; sum: number }>(
    `
    const jit = new nomad.Jit({ isolation: 'process', optLevel: 0 });
    let errors = 0;
    const fail = (times) => { for (let i = 0; i < times; i++) try { jit.compile(${JSON.stringify(fatal)}); } catch { errors++; } gc(); };
    fail(20);
    const before = process.memoryUsage.rss();
    fail(1000); // in this process each would take a megabyte
    const grown = process.memoryUsage.rss() - before;
    console.log(JSON.stringify({ grown, errors, sum: jit.load(programs.add).get('add')(2, 3) }));`,
    { nodeOptions: ['--expose-gc'] },
  );
  expect(grown).toBeLessThan(5 * 2 ** 20);
  expect([errors, sum]).toEqual([1020, 5]);
});

test('limits end what would take minutes or all memory, by compile, load and compileAsync', async () => {
  const jit = makeJit({ isolation: 'process', compileLimits: { milliseconds: 500 } });
  expect(errorOf(() => jit.compile(endless)).message).toMatch(/more than the 500 milliseconds of compileLimits/);
  await expect(jit.compileAsync(endless)).rejects.toThrow(/milliseconds of compileLimits/);
  const small = { compileLimits: { bytes: 64 * 2 ** 20 } };
  expect(errorOf(() => jit.load(greedy, small))).toBeInstanceOf(CodegenError);
  expect(errorOf(() => jit.load(greedy, small)).message).toMatch(/67108864 bytes/);
  expect(jit.load(add).get('add')(2, 3)).toBe(5);
});

test('results of compileAsync keep their order, with failures among them', async () => {
  const jit = isolated();
  const order: number[] = [];
  await Promise.allSettled(
    Array.from({ length: 24 }, (_, i) =>
      jit.compileAsync(i % 5 === 2 ? fatal : returning(`f${i}`, i)).then(
        (object) => order.push(object.functions.size === 1 ? i : -1),
        () => order.push(i % 5 === 2 ? i : -1),
      ),
    ),
  );
  expect(order).toEqual(Array.from({ length: 24 }, (_, i) => i));
});

test('a helper that is killed while it compiles is an error, and the next compile has another', async () => {
  const jit = isolated();
  jit.compile(add);
  const compiled = jit.compileAsync(endless);
  await new Promise((done) => setTimeout(done, 100));
  for (const helper of readersOf(process.pid)) process.kill(helper, 'SIGKILL');
  await expect(compiled).rejects.toThrow(/ended without an answer/);
  while (readersOf(process.pid).length > 0) await new Promise((done) => setTimeout(done, 5)); // the idle one, too
  for (let i = 0; i < 3; i++) expect(jit.load(add).get('add')(i, 3)).toBe(i + 3);
});

test('a helper that has been killed between two compiles is not noticed, although its own child ends later', () => {
  const jit = isolated();
  for (let i = 0; i < 100; i++) {
    jit.compile(add);
    for (const helper of readersOf(process.pid)) process.kill(helper, 'SIGKILL');
    while (readersOf(process.pid).length > 0); // but its own child ends a little later
    expect(jit.load(add).get('add')(i, 3)).toBe(i + 3);
  }
});

test('a worker that is terminated does not wait for a compile that hangs, and helpers end with the process', async () => {
  const { exited, helpers } = await childResult<{ exited: number; helpers: number[] }>(
    `const { Worker } = require('node:worker_threads');
    const { readersOf } = require(${JSON.stringify(`${__dirname}/support/readers.ts`)});
    const path = ${JSON.stringify(`${__dirname}/../dist/index.js`)};
    const worker = new Worker(\`const { Jit } = require('\${path}');
      new Jit({ isolation: 'process' }).compileAsync(${JSON.stringify(endless)}).catch(() => {});
      setTimeout(() => require('node:worker_threads').parentPort.postMessage(0), 200);\`, { eval: true });
    worker.once('message', async () => {
      const exited = await worker.terminate();
      new nomad.Jit({ isolation: 'process' }).compileAsync(${JSON.stringify(endless)}).catch(() => {});
      setTimeout(() => {
        console.log(JSON.stringify({ exited, helpers: readersOf(process.pid) }));
        process.exit(0);
      }, 300);
    });`,
    { nodeOptions: ['--import', 'tsx'] },
  );
  expect(exited).toBe(1);
  expect(helpers.length).toBeGreaterThan(0);
  for (let i = 0; i < 100 && helpers.some(running); i++) await new Promise((done) => setTimeout(done, 50));
  expect(helpers.filter(running)).toEqual([]);
});

test('options are checked, and limits without isolation are refused', () => {
  expect(() => makeJit({ isolation: 'thread' as 'process' })).toThrow(RangeError);
  expect(() => makeJit({ isolation: 'process', compileLimits: { milliseconds: 0 } })).toThrow(RangeError);
  expect(() => makeJit({ isolation: 'process', compileLimits: { bytes: 1 } })).toThrow(RangeError);
  expect(() => makeJit({ compileLimits: { milliseconds: 10 } })).toThrow(UnsupportedError);
  expect(() => makeJit().compile(add, { compileLimits: { milliseconds: 10 } })).toThrow(UnsupportedError);
  expect(() => makeJit().compile(endless, { isolation: 'process', compileLimits: { milliseconds: 300 } })).toThrow(CodegenError);
  expect(makeJit({ isolation: 'process' }).load(add, { isolation: 'none' }).get('add')(1, 1)).toBe(2);
});
