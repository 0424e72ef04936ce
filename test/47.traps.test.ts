/**
 * Faults, aborts, foreign exceptions and interrupts end as TrapErrors, over and over, and nothing else is changed by them.
 *
 * Many of each in a process of its own: NOMAD_TRAPS says how many (300 without it, 10,000 for the figure), and NOMAD_SEED chooses the times of
 * interrupts.
 */
import { join } from 'node:path';
import { Worker } from 'node:worker_threads';
import { hostFunction, interrupt, Jit, TrapError } from 'nomad-jit';
import { childResult, runChild } from './support/child';
import { errorOf, expectWorking, makeJit } from './support/jits';

interface WebAssemblyNames {
  Module: new (bytes: Uint8Array) => object;
  Instance: new (module: object) => { exports: unknown };
  RuntimeError: new () => Error;
}
const { WebAssembly } = globalThis as unknown as { WebAssembly: WebAssemblyNames }; // no types without those of browsers

const count = Number(process.env.NOMAD_TRAPS ?? 300);
const seldom = Math.max(2, Math.floor(count / 100));
const seed = Number(process.env.NOMAD_SEED ?? 20260730);
const kinds = JSON.stringify(join(__dirname, 'support/trap-kinds.mjs'));

interface Outcome {
  /** Of each of three parts. */
  times: number;
  outcomes: Array<Record<string, number>>;
  /** Bytes of malloc's, in the part in which that is the least. */
  leastGrown: number;
}

/** Runs an expression over trap-kinds.mjs in a child process, on its main thread or in a worker. */
function inChild<T>(expression: string, thread: 'main' | 'worker'): Promise<T> {
  const work = `import(${kinds}).then((kinds) => ${expression})`;
  const script =
    thread === 'main'
      ? `${work}.then((result) => console.log(JSON.stringify(result)))`
      : `const { Worker } = require('node:worker_threads');
         const source = ${JSON.stringify(`${work}.then((result) => require('node:worker_threads').parentPort.postMessage(result))`)};
         new Worker(source, { eval: true }).on('message', (result) => console.log(JSON.stringify(result)));`;
  return childResult<T>(script);
}

const places = (['main', 'worker'] as const).flatMap((thread) => [0, 2].map((level) => [thread, level] as const));

test.each(places)(
  'on the %s thread, at O%d: each kind is an error every time, and memory stays',
  async (thread, optLevel) => {
    const options = JSON.stringify({ count, seldom, optLevel });
    const { result, notes } = await inChild<{ result: Record<string, Outcome>; notes: number }>(
      `kinds.runTraps(${options})`,
      thread,
    );
    for (const [name, { times, outcomes, leastGrown }] of Object.entries(result)) {
      expect([name, outcomes]).toEqual([name, Array(3).fill({ right: times })]);
      expect([name, leastGrown < 16_384 + 64 * times ? 'stays' : leastGrown]).toEqual([name, 'stays']);
    }
    expect(Object.keys(result).length).toBeGreaterThan(25);
    expect(notes).toBe(3 * Math.ceil(count / 3) + Math.min(count, 50)); // destructors
  },
  600_000,
);

test.each([0, 1, 2, 3])(
  'random interrupts at O%d all stop code',
  async (optLevel) => {
    const options = JSON.stringify({ count: Math.ceil(count / 4), optLevel, seed });
    const outcomes = await inChild<Record<string, number>>(`kinds.runInterrupts(${options})`, 'main');
    expect([seed, outcomes]).toEqual([seed, { right: Math.ceil(count / 4) }]);
  },
  600_000,
);

const loop = `define void @loop(ptr %p) { br label %l l: store volatile i32 1, ptr %p br label %l }`;

function trapOf(run: () => unknown): TrapError {
  const error = errorOf(run);
  if (!(error instanceof TrapError)) throw error;
  return error;
}

test.each([0, 2] as const)(
  'at O%d: a function does not run off its end, and faults are handled whatever code has set',
  (optLevel) => {
    const own = makeJit({ optLevel });
    const object = own.load(`
    declare ptr @memset(ptr, i32, i64)
    define void @nowhere() { unreachable }
    define i32 @behind() { ret i32 7 }
    define void @undefined() { %r = call ptr @memset(ptr null, i32 1, i64 1000000) ret void }
    define void @unaligned() {
      call void asm sideeffect "pushfq; orl $$0x40000,(%rsp); popfq; movl 1(%rsp),%eax", "~{rax},~{memory}"()
      ret void
    }`);
    expect(trapOf(() => object.get('nowhere')()).kind).toBe('illegal');
    expect(trapOf(() => object.get('undefined')()).kind).toBe(optLevel === 0 ? 'memory' : 'illegal');
    expect(trapOf(() => object.get('unaligned')()).kind).toBe('memory');
    expect(object.get('behind')()).toBe(7);
  },
);

describe('what an error says', () => {
  const source = `define i32 @inner(ptr %p) noinline { %v = load volatile i32, ptr %p ret i32 %v }
    define internal i32 @hidden(ptr %p) noinline { %v = call i32 @inner(ptr %p) %w = add i32 %v, 1 ret i32 %w }
    define i32 @outer(ptr %p) { %v = call i32 @hidden(ptr %p) %w = add i32 %v, 1 ret i32 %w }`;

  test('where it happened, at what address, and who had called', () => {
    const object = makeJit().load(source, { name: 'three' });
    const { kind, code, symbol, offset, address, frames, frameCount, message } = trapOf(() => object.get('outer')(0x18n));
    expect({ kind, code, symbol, address, frameCount }).toEqual({
      kind: 'memory',
      code: 'ERR_TRAP',
      symbol: 'inner',
      address: 0x18n,
      frameCount: 3,
    });
    expect(frames.map((frame) => [frame.symbol, frame.codeObject])).toEqual([
      ['inner', 'three'],
      ['', 'three'],
      ['outer', 'three'],
    ]);
    expect(message).toBe(`inner+0x${offset.toString(16)}: memory fault at 0x18`);
  });

  test('of code that has moved: the same', () => {
    const jit = makeJit({ poisonVacated: true });
    const space = jit.createSpace();
    const object = jit.compile(source);
    object.place(space.allocate(object));
    const before = trapOf(() => object.get('outer')(0x18n));
    object.relocate({ space, code: 0x10000 });
    const after = trapOf(() => object.get('outer')(0x18n));
    expect(after.frames).toEqual(before.frames);
  });

  test('code that has been freed and poisoned is no code', () => {
    const jit = makeJit({ poisonVacated: true });
    const object = jit.load('define i32 @f() { ret i32 1 }');
    const address = object.addressOf('f');
    const caller = jit.load('define i32 @call(ptr %p) { %r = call i32 %p() %s = add i32 %r, 1 ret i32 %s }').get('call');
    expect(caller(address)).toBe(2);
    object.free();
    const { kind, symbol, address: at, message } = trapOf(() => caller(address));
    expect([kind, symbol, at]).toEqual(['illegal', 'call', address]);
    expect(message).toContain('moved or freed');
    expectWorking(jit);
  });

  test('of an assertion: its text, file and line', () => {
    const object = makeJit().load(`declare void @__assert_fail(ptr, ptr, i32, ptr)
      @e = private constant [6 x i8] c"x > 0\\00" @a = private constant [4 x i8] c"a.c\\00"
      define void @f() { call void @__assert_fail(ptr @e, ptr @a, i32 12, ptr null) unreachable }`);
    const { kind, message } = trapOf(() => object.get('f')());
    expect([kind, message.replace(/0x[0-9a-f]+/, 'N')]).toEqual(['abort', 'f+N: assertion failed: x > 0 (a.c:12)']);
  });
});

test("a name that the client gives is the client's, abort too", () => {
  const abort = hostFunction('void ()', () => undefined);
  const source = 'declare void @abort() define i32 @f() { call void @abort() ret i32 5 }';
  expect(makeJit().load(source, { imports: { abort } }).get('f')()).toBe(5);
  expect(() => makeJit({ symbols: 'none' }).load(source)).toThrow('abort');
});

test('in a constructor and a destructor', () => {
  const jit = makeJit();
  const source = (
    list: string,
  ): string => `@llvm.${list} = appending global [1 x { i32, ptr, ptr }] [{ i32, ptr, ptr } { i32 1, ptr @f, ptr null }]
    define void @f() { store volatile i32 1, ptr inttoptr (i64 16 to ptr) ret void }`;
  expect(trapOf(() => jit.load(source('global_ctors'))).kind).toBe('memory');
  const object = jit.load(source('global_dtors'));
  expect(trapOf(() => object.free()).kind).toBe('memory');
  expectWorking(jit);
});

describe('what code does to the floating-point state', () => {
  const up = 0x5f80;
  const source = `declare void @llvm.x86.sse.ldmxcsr(ptr) declare void @llvm.x86.sse.stmxcsr(ptr) declare void @look() declare i32 @fesetround(i32)
    define i32 @set() { %p = alloca i32 store i32 ${up}, ptr %p call void @llvm.x86.sse.ldmxcsr(ptr %p) call void @look()
      call void @llvm.x86.sse.stmxcsr(ptr %p) %r = load i32, ptr %p ret i32 %r }
    define i32 @round() { %r = call i32 @fesetround(i32 2048) ret i32 7 }`;
  const third = (x: number): number => x / 3;

  test('is gone in host functions and afterwards, and there again for code', () => {
    const seen: number[] = [];
    const object = makeJit().load(source, { imports: { look: hostFunction('void ()', () => void seen.push(third(1))) } });
    expect((object.get('set')() as number) & 0x6000).toBe(0x4000);
    expect([...seen, third(1)]).toEqual([0.3333333333333333, 0.3333333333333333]);
    expect([object.get('round')(), third(1)]).toEqual([7, 0.3333333333333333]);
  });
});

describe('stopping code', () => {
  const jitWithLoop = (): [Jit, (block: Int32Array) => void] => {
    const jit = makeJit();
    return [jit, jit.load(loop).get('loop')];
  };

  test('withTimeout: what it returns and throws is what the function does', () => {
    const [jit, endless] = jitWithLoop();
    expect(jit.withTimeout(60_000, () => 'done')).toBe('done');
    expect(() => jit.withTimeout(60_000, () => { throw new RangeError('mine'); })).toThrow(new RangeError('mine')); // prettier-ignore
    const { kind, symbol, message } = trapOf(() => jit.withTimeout(5, () => endless(new Int32Array(1))));
    expect([kind, symbol]).toEqual(['interrupt', 'loop']);
    expect(message).toContain('5 ms are over');
  });

  test('withTimeout nests: the time that is over first counts', () => {
    const [jit, endless] = jitWithLoop();
    const run = (outer: number, inner: number): string =>
      trapOf(() => jit.withTimeout(outer, () => jit.withTimeout(inner, () => endless(new Int32Array(1))))).message;
    expect(run(60_000, 5)).toContain(' 5 ms');
    expect(run(6, 60_000)).toContain(' 6 ms');
  });

  test('once the time is over, everything that is entered stops; afterwards nothing does', () => {
    const [jit, endless] = jitWithLoop();
    const add = jit.load('define i64 @sum(i64 %n) { br label %l l: %i = phi i64 [0, %0], [%j, %l] %j = add i64 %i, 1 %c = icmp eq i64 %j, %n br i1 %c, label %e, label %l e: ret i64 %j }').get('sum'); // prettier-ignore
    const kindsSeen: string[] = [];
    jit.withTimeout(2, () => {
      for (let i = 0; i < 3; i++) kindsSeen.push(trapOf(() => endless(new Int32Array(1))).kind);
    });
    expect(kindsSeen).toEqual(['interrupt', 'interrupt', 'interrupt']);
    for (let i = 0; i < 100; i++) expect(add(100_000n)).toBe(100_000n);
  });

  test('a loop of JS that calls short functions stops at the next call', () => {
    const jit = makeJit();
    const one = jit.load('define i32 @one() { ret i32 1 }').get('one');
    const loops = (): void => {
      for (const end = Date.now() + 20_000; Date.now() < end;) one();
    };
    const error = trapOf(() => jit.withTimeout(5, loops));
    expect([error.kind, error.symbol, error.frames.map(({ symbol }) => symbol)]).toEqual(['interrupt', 'one', ['one']]);
    expect(one()).toBe(1);
  });

  test('a loop of host calls stops', () => {
    const jit = makeJit();
    const nothing = hostFunction('void ()', () => undefined);
    const f = jit.load('declare void @nothing() define void @f() { br label %l l: call void @nothing() br label %l }', { imports: { nothing } }).get('f'); // prettier-ignore
    expect(trapOf(() => jit.withTimeout(5, () => f())).kind).toBe('interrupt');
  });

  // Its unwind records follow rbp, which the assembly has for something else nearly all of the time.
  test.each([0, 2] as const)('code that can often not be walked, at O%s: it is stopped where it can be', (optLevel) => {
    const spin = makeJit({ optLevel }).load(`
define void @spin() "frame-pointer"="all" {
  br label %next
next:
  call void asm sideeffect "pushq %rbp; movl $$8, %ebp; movl $$5, %ecx; 1: decl %ecx; jnz 1b; popq %rbp", "~{rcx},~{flags},~{memory}"()
  br label %next
}`).get('spin'); // prettier-ignore
    const jit = makeJit();
    for (let i = 0; i < 20; i++) {
      const { kind, symbol } = trapOf(() => jit.withTimeout(2, () => spin()));
      expect([kind, symbol]).toEqual(['interrupt', 'spin']);
    }
  });

  test('bad arguments', () => {
    const jit = makeJit();
    expect(() => jit.withTimeout(-1, () => 1)).toThrow(RangeError);
    expect(() => jit.withTimeout(1.5, () => 1)).toThrow(RangeError);
    expect(() => jit.withTimeout(1, undefined as never)).toThrow(TypeError);
    expect(() => interrupt('1' as never)).toThrow(TypeError);
    expect(interrupt(jit.id)).toBe(false);
    expect(interrupt(0xffff_ffff)).toBe(false);
  });

  const worker = (body: string): Worker => {
    const dist = JSON.stringify(join(__dirname, '../dist/index.js'));
    const prelude = `const { Jit } = require(${dist}); const { parentPort } = require('node:worker_threads');
      const jit = new Jit(), loop = jit.load(${JSON.stringify(loop)}).get('loop');`;
    return new Worker(`${prelude}\n${body}`, { eval: true });
  };
  const messageOf = (from: Worker): Promise<unknown> => new Promise((resolve) => from.once('message', resolve));

  test('interrupt stops code of another thread', async () => {
    const other =
      worker(`parentPort.postMessage(jit.id); let kind; try { loop(new Int32Array(1)); } catch (error) { kind = error.kind; }
      parentPort.postMessage(kind);`);
    const id = (await messageOf(other)) as number;
    const stopped = messageOf(other);
    while (!interrupt(id)) await new Promise((resolve) => setImmediate(resolve));
    expect(await stopped).toBe('interrupt');
    await other.terminate();
  });

  test.each(['loop(new Int32Array(1))', 'for (;;) try { loop(new Int32Array(1)); } catch {}'])(
    'worker.terminate() ends a worker that runs %s',
    async (body) => {
      const other = worker(`parentPort.postMessage(1); ${body}`);
      await messageOf(other);
      expect(await other.terminate()).toBe(1);
    },
  );

  test('process.exit() ends a process whose worker loops', async () => {
    const source = `const nomad = require(${JSON.stringify(join(__dirname, '../dist/index.js'))});
      const loop = new nomad.Jit().load(${JSON.stringify(loop)}).get('loop'); require('node:worker_threads').parentPort.postMessage(1); loop(new Int32Array(1));`;
    const script = `new (require('node:worker_threads').Worker)(${JSON.stringify(source)}, { eval: true }).on('message', () => process.exit(7));`;
    expect(await runChild(script)).toEqual({ code: 7, signal: null, stdout: '', stderr: '' });
  });
});

describe('handlers of others', () => {
  test('one that is set while a compile is under way stays, before ours and after', async () => {
    const script = `const jit = new nomad.Jit(); let heard = 0;
      const big = 'define i32 @f(i32 %n) { ' + Array.from({ length: 5000 }, (_, i) => '%v' + i + ' = mul i32 ' + (i ? '%v' + (i - 1) : '%n') + ', 3 ').join('') + 'ret i32 %v4999 }';
      const signal = () => new Promise((resolve) => { process.kill(process.pid, 'SIGTRAP'); setTimeout(resolve, 20); });
      const compile = jit.compileAsync(big); process.on('SIGTRAP', () => heard++);
      compile.then(signal).then(() => jit.compile(big)).then(signal).then(() => {
        let kind; try { jit.load('define void @t() { call void asm sideeffect "int3", ""() ret void }').get('t')(); } catch (e) { kind = e.kind; }
        console.log(JSON.stringify([heard, kind]));
        process.exit();
      });`;
    expect(await childResult(script)).toEqual([2, 'illegal']);
  });

  test("V8's for WebAssembly works beside ours", () => {
    // (module (memory 1) (func (export "f") (param i32) (result i32) local.get 0 i32.load))
    const bytes = Uint8Array.from([0, 97, 115, 109, 1, 0, 0, 0, 1, 6, 1, 96, 1, 127, 1, 127, 3, 2, 1, 0, 5, 3, 1, 0, 1, 7, 5, 1, 1, 102, 0, 0, 10, 9, 1, 7, 0, 32, 0, 40, 2, 0, 11]); // prettier-ignore
    const { f } = new WebAssembly.Instance(new WebAssembly.Module(bytes)).exports as { f: (at: number) => number };
    const jit = makeJit();
    const nul = jit.load('define i32 @f(ptr %p) { %v = load i32, ptr %p ret i32 %v }').get('f');
    for (let i = 0; i < 3; i++) {
      expect(() => f(0x7fff_ffff)).toThrow(WebAssembly.RuntimeError);
      expect(trapOf(() => nul(8n)).kind).toBe('memory');
      jit.compile('define i32 @g() { ret i32 1 }');
    }
    const code = jit.load('declare i32 @wasm(i32) define i32 @h(i32 %n) { %r = call i32 @wasm(i32 %n) ret i32 %r }', { imports: { wasm: hostFunction('i32 (i32)', f) } }); // prettier-ignore
    expect(() => code.get('h')(0x7fff_ffff)).toThrow(WebAssembly.RuntimeError);
  });
});

describe('what stays fatal says so', () => {
  const load = (source: string, call: string): string =>
    `nomad.Jit; const f = new nomad.Jit().load(${JSON.stringify(source)}); ${call}`;
  const fatal: Array<[string, string, string, RegExp, string?]> = [
    [
      'a fault above frames that are gone',
      'define void @f() "frame-pointer"="all" { call void asm sideeffect "movl $$8, %ebp; ud2", "~{memory}"() ret void }',
      'f.get("f")()',
      /^nomad-jit: signal 4 at 0x[0-9a-f]+ \('f' in code object 'object#1'\+0x9\), address 0x[0-9a-f]+, can't become a TrapError\n$/,
      'SIGILL',
    ],
    [
      'a return to nowhere',
      'define void @f() "frame-pointer"="all" { call void asm sideeffect "movq $$0x41414141, 8(%rbp)", "~{memory}"() ret void }',
      'f.get("f")()',
      /^nomad-jit: signal 11 at 0x41414141 \(not in code\), address 0x41414141, can't become a TrapError\n$/,
    ],
    [
      'a fault in printf',
      'declare i32 @printf(ptr, ...) @s = constant [3 x i8] c"%s\\00" define void @f(ptr %p) { %r = call i32 (ptr, ...) @printf(ptr @s, ptr %p) ret void }',
      'f.get("f")(16n)',
      /^nomad-jit: signal 11 at 0x[0-9a-f]+ \(not in code\), address 0x10, can't become a TrapError\n$/,
    ],
    [
      'a fault on a thread that code has made',
      `declare i32 @pthread_create(ptr, ptr, ptr, ptr) declare i32 @pthread_join(i64, ptr) define ptr @run(ptr %p) { store volatile i32 1, ptr inttoptr (i64 24 to ptr) ret ptr null }
       define void @f() { %t = alloca i64 %a = call i32 @pthread_create(ptr %t, ptr null, ptr @run, ptr null) %i = load i64, ptr %t %b = call i32 @pthread_join(i64 %i, ptr null) ret void }`,
      'f.get("f")()',
      /^nomad-jit: signal 11 at 0x[0-9a-f]+ \(code, on a thread where no call has entered it\), address 0x18, can't become a TrapError\n$/,
    ],
  ];

  test.each(fatal)('%s', async (_, source, call, message, expected = 'SIGSEGV') => {
    const { signal, code, stderr } = await runChild(load(source, call), { before: 'ulimit -c 0' });
    expect([signal, code]).toEqual([expected, null]);
    expect(stderr).toMatch(message);
  });
});
