/**
 * What is registered somewhere when its Jit ends: timers, signal handlers, threads of code's own (I16).
 *
 * Oracle: how a process ends, and what it has counted. Memory that was given back too early ends it with a signal.
 */
import { childResult, runChild } from './support/child';

/** `start(us)`: SIGALRM every so many microseconds goes to `handler`, which counts; `spin()`: a thread that counts for ever. */
const registered = `
@count = global i64 0
@spins = global i64 0
@thread = global i64 0
@timer = global [4 x i64] zeroinitializer
declare ptr @signal(i32, ptr)
declare i32 @setitimer(i32, ptr, ptr)
declare i32 @pthread_create(ptr, ptr, ptr, ptr)
declare i32 @atexit(ptr)
declare i32 @usleep(i32)
declare i32 @host(i32)
define internal void @handler(i32 %s) {
  %c = load volatile i64, ptr @count
  %d = add i64 %c, 1
  store volatile i64 %d, ptr @count
  ret void
}
define internal ptr @spinner(ptr %p) {
  br label %loop
loop:
  %c = load volatile i64, ptr @spins
  %d = add i64 %c, 1
  store volatile i64 %d, ptr @spins
  %s = call i32 @usleep(i32 10)
  br label %loop
}
define internal ptr @caller(ptr %p) {
  br label %loop
loop:
  %c = call i32 @host(i32 1)
  %s = call i32 @usleep(i32 10)
  br label %loop
}
define void @start(i64 %us) {
  %i = getelementptr i64, ptr @timer, i64 1
  %v = getelementptr i64, ptr @timer, i64 3
  store i64 %us, ptr %i
  store i64 %us, ptr %v
  %a = call ptr @signal(i32 14, ptr @handler)
  %b = call i32 @setitimer(i32 0, ptr @timer, ptr null)
  ret void
}
define internal void @destroy(ptr %p) {
  %r = call i32 @host(i32 1)
  ret void
}
@key = global i32 0
declare i32 @pthread_key_create(ptr, ptr)
declare i32 @pthread_setspecific(i32, ptr)
define void @keep() {
  %a = call i32 @pthread_key_create(ptr @key, ptr @destroy)
  %k = load i32, ptr @key
  %b = call i32 @pthread_setspecific(i32 %k, ptr @key)
  ret void
}
define void @spin() { %r = call i32 @pthread_create(ptr @thread, ptr null, ptr @spinner, ptr null) ret void }
define void @call() { %r = call i32 @pthread_create(ptr @thread, ptr null, ptr @caller, ptr null) ret void }
`;

const begin = (options = ''): string => `
const makeCode = () => {
  const jit = new nomad.Jit({ ${options} });
  const host = nomad.hostFunction('i32 (i32)', (n) => n + 1);
  return { jit, code: jit.load(${JSON.stringify(registered)}, { imports: { host } }) };
};
const wait = (ms) => new Promise((resolve) => setTimeout(resolve, ms));
`;

describe.each(['jitlink', 'runtimedyld'])('%s: the process ends', (linker) => {
  test.each(['', 'process.exit(0);', 'setTimeout(() => process.exit(0), 5);'])(
    'while a timer and threads go on: %s',
    async (how) => {
      const script = `${begin(`linker: '${linker}'`)}
      const { code } = makeCode();
      code.get('start')(50n);
      code.get('spin')();
      try { code.get('call')(); } catch {} // what the thread calls may have been refused already
      wait(20).then(() => { console.log(code.readGlobal('count') > 10n); ${how} });`;
      for (let i = 0; i < 5; i++) expect(await runChild(script)).toEqual({ code: 0, signal: null, stdout: 'true\n', stderr: '' });
    },
  );
});

test('the process ends: what libc calls last of all is still there', async () => {
  // A stream of C's that code has opened: exit() flushes it, long after JS has ended.
  const ir = `
@functions = constant [4 x ptr] [ptr null, ptr @write, ptr null, ptr null]
@mode = constant [2 x i8] c"w\\00"
@text = constant [6 x i8] c"last\\0A\\00"
@prefix = constant [2 x i8] c"> "
declare ptr @fopencookie(ptr, ptr, ptr byval([4 x ptr]))
declare i32 @fputs(ptr, ptr)
declare i64 @posix_write(i32, ptr, i64)
define internal i64 @write(ptr %cookie, ptr %bytes, i64 %size) {
  %a = call i64 @posix_write(i32 1, ptr @prefix, i64 2)
  %b = call i64 @posix_write(i32 1, ptr %bytes, i64 %size)
  ret i64 %b
}
define void @begin() {
  %file = call ptr @fopencookie(ptr null, ptr @mode, ptr byval([4 x ptr]) @functions)
  %r = call i32 @fputs(ptr @text, ptr %file)
  ret void
}`;
  const result = await runChild(`
    const jit = new nomad.Jit();
    jit.load(${JSON.stringify(ir.replaceAll('@posix_write', '@__write'))}).get('begin')();`);
  expect(result).toEqual({ code: 0, signal: null, stdout: '> last\n', stderr: '' });
});

describe('the process goes on', () => {
  const inWorker = `
    const { Worker } = require('node:worker_threads');
    const run = (body) => new Promise((resolve) => new Worker(${JSON.stringify(begin())}.replace(/^/, ${JSON.stringify(
      'const nomad = require(require("node:worker_threads").workerData);',
    )}) + body, { eval: true, workerData: require.resolve(process.cwd() + '/dist/index.js') }).on('exit', resolve));
    const wait = (ms) => new Promise((resolve) => setTimeout(resolve, ms));`;

  test.each([
    ["code.get('start')(50n);", 'a timer'],
    ["code.get('spin')();", 'a thread'],
    ["try { code.get('call')(); } catch {}", 'a thread that calls a host function'],
    ["code.get('keep')();", "a destructor of the thread's own"],
    ["code.get('start')(50n); code.get('spin')(); process.exit(0)", 'both, and it is ended'],
  ])('when a worker has ended that has registered something: %s', async (body) => {
    const script = `${inWorker}
      (async () => {
        const codes = [];
        for (let i = 0; i < 20; i++) codes.push(await run('const { code } = makeCode(); ' + ${JSON.stringify(body)}));
        await wait(50);
        console.log(JSON.stringify(codes));
        process.exit(0);
      })();`;
    expect(await childResult(script)).toEqual(Array.from({ length: 20 }, () => 0));
  });

  test('when a Jit has been disposed of whose code handles a signal: the handler goes on', async () => {
    const script = `${begin()}
      const { jit, code } = makeCode();
      code.get('start')(50n);
      jit.dispose();
      const other = new nomad.Jit();
      other.load(programs.add).get('add')(1, 2);
      wait(50).then(() => { console.log('true'); });`;
    expect(await childResult<boolean>(script)).toBe(true);
  });

  test('when a Jit has been collected whose code handles a signal, or runs on a thread', async () => {
    const script = `${begin()}
      for (const name of ['start', 'spin', 'call', 'spin', 'call', 'keep'])
        try { makeCode().code.get(name)(...(name === 'start' ? [50n] : [])); } catch {} // 'call' may have been refused already
      (async () => {
        // A job of its own: in the one that has made it, a Jit outlives its code objects, which have to be held then.
        for (let i = 0; i < 10; i++) { await wait(5); globalThis.gc(); }
        await wait(5);
        console.log('true');
      })();`;
    expect(await childResult<boolean>(script, { nodeOptions: ['--expose-gc'] })).toBe(true);
  });
});
