/**
 * Leaving code because a host function threw. Oracle: the identity of what was thrown, logs of destructors, known results.
 */
import { Worker } from 'node:worker_threads';
import { hostFunction, TrapError, type Callable } from 'nomad-jit';
import { prelude, runChild } from './support/child';
import { callingHost, descending, i32Host, makeGround, sortingByHost, withNoCodegen } from './support/hosts';
import { expectWorking, makeJit } from './support/jits';
import { leastGrowth } from './support/memory';
import { compileC } from './support/tools';

/** Throws anything. */
function raise(value: unknown): never {
  throw value as Error;
}

/** What `run` throws, in a box, so that `undefined` is seen; fails the test if it throws nothing. */
function thrownBy(run: () => unknown): { value: unknown } {
  try {
    run();
  } catch (value) {
    return { value };
  }
  throw new Error('nothing was thrown');
}

const values: Array<[string, unknown]> = [
  ...([
    ['an Error', new Error('e')],
    ['an object', { a: 1 }],
    ['a frozen object', Object.freeze([])],
  ] as Array<[string, unknown]>),
  ...([
    ['undefined', undefined],
    ['null', null],
    ['0', 0],
    ['NaN', NaN],
    ['a string', 'text'],
    ['true', true],
  ] as Array<[string, unknown]>),
  ...([
    ['a bigint', 5n],
    ['a symbol', Symbol('s')],
    ['a function', () => 1],
    ['a promise', Promise.resolve()],
  ] as Array<[string, unknown]>),
];

describe.each(['0', '1'])('what is thrown arrives at the JS caller as it is, NOMAD_JIT_NO_CODEGEN=%s', (noCodegen) => {
  const throwing = (value: unknown, calls: number[]) => (x: number) => {
    calls.push(x);
    if (x > 0) raise(value);
    return 7;
  };

  test.each(values)('%s, through one frame, many frames, and qsort', (_, value) => {
    const calls: number[] = [];
    const jit = withNoCodegen(noCodegen, () => makeJit());
    const host = i32Host(throwing(value, calls));
    const compare = hostFunction('i32 (i32, i32)', throwing(value, calls));
    const [f, descend, sort] = withNoCodegen(noCodegen, () => [
      jit.load(callingHost('f'), { imports: { host } }).get('f'),
      jit.load(descending, { imports: { host: i32Host(() => throwing(value, calls)(1)) } }).get('descend'),
      jit.load(sortingByHost, { imports: { host: compare } }).get('sort'),
    ]) as [Callable, Callable, Callable];
    for (let round = 0; round < 3; round++) {
      expect(Object.is(thrownBy(() => f(1)).value, value)).toBe(true);
      expect(f(0)).toBe(8);
      expect(Object.is(thrownBy(() => descend(30)).value, value)).toBe(true);
      expect(Object.is(thrownBy(() => sort(Int32Array.of(3, 1, 2, 9, 8), 5)).value, value)).toBe(true);
      expect(sort(Int32Array.of(-3, -1), 2)).toBe(5);
    }
    expect(calls).toEqual([1, 0, 1, 3, -3, 1, 0, 1, 3, -3, 1, 0, 1, 3, -3]);
    expectWorking(jit);
  });
});

const cxx = `
extern "C" int host(int);
extern "C" void note(int);
struct Noisy { int id; Noisy(int i) : id(i) {} ~Noisy() { note(id); } };
static int quiet(int x) noexcept;
extern "C" __attribute__((noinline)) int inner(int x) { Noisy a(1); Noisy b(2); int y = host(x); Noisy c(3); return y + a.id + b.id + c.id; }
extern "C" __attribute__((noinline)) int outer(int x) { Noisy d(4); return inner(x) + d.id; }
extern "C" __attribute__((noinline)) int catching(int x) { Noisy d(5); try { Noisy e(6); return outer(x); } catch (...) { note(-1); return -1; } }
extern "C" int beyond(int x) { Noisy d(7); return catching(x) + 1; }
extern "C" __attribute__((noinline)) int strict(int x) noexcept { return host(x); }
extern "C" int throughStrict(int x) { Noisy d(8); return strict(x) + 1; }
extern "C" int throws(int x) { Noisy a(1); if (x == 0) throw 5; return host(x); }
extern "C" int catches(int x) { try { Noisy b(2); return throws(x); } catch (int e) { note(-2); return e * 100; } }
extern "C" int rethrows(int x) { try { throw 5; } catch (int e) { Noisy b(9); return host(x) + e; } }
extern "C" int inDestructor(int x) { struct Late { int x; ~Late() noexcept(false) { note(host(x)); } } late{x}; Noisy a(1); return 3; }
`;

describe('C++ frames', () => {
  const makeCxx = (options?: { noCatch?: boolean }) => {
    const log: number[] = [];
    const error = new Error('mine');
    const host = i32Host((x) => {
      log.push(100 + x);
      if (x > 0) throw error;
      return 10;
    });
    const ir = compileC('c++', options?.noCatch === true ? cxx.replace(/^.*catch.*$/gm, '') : cxx);
    const imports = { host, note: hostFunction('void (i32)', (x: number) => void log.push(x)) };
    const object = makeJit().load(ir, { imports });
    const outcome = (name: string, x: number): [unknown, number[]] => {
      log.length = 0;
      try {
        return [object.get(name)(x), [...log]];
      } catch (thrown) {
        return [thrown === error ? 'mine' : thrown, [...log]];
      }
    };
    return { outcome, object, log };
  };

  test('destructors run on the way out, innermost first, and once', () => {
    const { outcome } = makeCxx();
    for (let round = 0; round < 3; round++) {
      expect(outcome('outer', 1)).toEqual(['mine', [101, 2, 1, 4]]);
      expect(outcome('outer', 0)).toEqual([20, [100, 3, 2, 1, 4]]);
    }
  });

  // With the destructors of the frame that would catch: one landing pad leads to both.
  test('catch (...) is passed over', () => {
    const { outcome } = makeCxx();
    const [thrown, log] = outcome('beyond', 1);
    expect([thrown, log]).toEqual(['mine', [101, 2, 1, 4, 7]]);
    expect(outcome('beyond', 0)[0]).toBe(21);
  });

  test('noexcept does not end the process', () => {
    const { outcome } = makeCxx();
    expect(outcome('throughStrict', 1)).toEqual(['mine', [101, ...outcome('throughStrict', 1)[1].slice(1)]]);
    expect(outcome('throughStrict', 0)).toEqual([11, [100, 8]]);
  });

  test('exceptions of C++ itself work before and after', () => {
    const { outcome } = makeCxx();
    for (let round = 0; round < 3; round++) {
      expect(outcome('catches', 0)).toEqual([500, [1, 2, -2]]);
      expect(outcome('catches', 1)[0]).toBe('mine');
    }
  });

  test('out of a catch block, whose exception is destroyed then', () => {
    const { outcome } = makeCxx();
    for (let round = 0; round < 3; round++) {
      expect(outcome('rethrows', 1)).toEqual(['mine', [101, 9]]);
      expect(outcome('rethrows', 0)).toEqual([15, [100, 9]]);
      expect(outcome('catches', 0)).toEqual([500, [1, 2, -2]]);
    }
  });

  test('out of a destructor', () => {
    const { outcome } = makeCxx();
    expect(outcome('inDestructor', 1)).toEqual(['mine', [1, 101]]);
    expect(outcome('inDestructor', 0)).toEqual([3, [1, 100, 10]]);
  });

  test('a destructor that runs on the way out calls host functions, and enters code, and another exception is caught on the way', () => {
    const log: string[] = [];
    const jit = makeJit();
    const object = jit.load(compileC('c++', cxx), {
      imports: {
        host: i32Host((x) => {
          if (x > 0) throw new RangeError('outer one');
          return 4;
        }),
        note: hostFunction('void (i32)', (id: number) => {
          log.push(`${id}:${String(object.get('strict')(0))}`);
          const inner = thrownBy(() => object.get('strict')(1)).value as Error;
          log.push(inner.message);
        }),
      },
    });
    expect((thrownBy(() => object.get('outer')(1)).value as Error).message).toBe('outer one');
    expect(log).toEqual(['2:4', 'outer one', '1:4', 'outer one', '4:4', 'outer one']);
  });

  test('functions that IR declares nounwind are left all the same', () => {
    const source = `declare i32 @host(i32) nounwind
define internal i32 @inner(i32 %x) noinline nounwind {\n %y = call i32 @host(i32 %x) nounwind\n %z = add i32 %y, 1\n ret i32 %z\n}
define i32 @f(i32 %x) nounwind {\n %y = call i32 @inner(i32 %x) nounwind\n %z = add i32 %y, 1\n ret i32 %z\n}`;
    for (const optLevel of [0, 2] as const) {
      const host = i32Host((x) => {
        if (x > 0) raise(values);
        return 5;
      });
      const f = makeJit().load(source, { optLevel, imports: { host } }).get('f');
      expect([f(0), thrownBy(() => f(1)).value, f(0)]).toEqual([7, values, 7]);
    }
  });
});

describe('nested', () => {
  test('caught in the middle: levels above go on, and each level has its own', () => {
    const jit = makeJit();
    const log: string[] = [];
    const host = i32Host((n) => {
      if (n === 0) throw new Error('bottom');
      if (n % 3 !== 0) return step(n - 1);
      const { value } = thrownBy(() => step(n - 1));
      log.push(`${n} caught ${(value as Error).message}`);
      if (n === 9) return 1000;
      throw new Error(`from ${n}`);
    });
    const step: Callable = jit.load(callingHost('step', 1), { imports: { host } }).get('step');
    // step(9) = 1001: everything below has been left
    expect([step(9), step(11)]).toEqual([1001, 1003]);
    expect(log.slice(0, 3)).toEqual(['3 caught bottom', '6 caught from 3', '9 caught from 6']);
    expect(jit.stackRoots()).toEqual({ exact: [], ambiguous: [] });
  });

  test('in a finally block code is entered while an exception is on its way', () => {
    const jit = makeJit();
    const other: Callable = jit.load(callingHost('other', 5), { imports: { host: i32Host((x) => x * 2) } }).get('other');
    const seen: unknown[] = [];
    const host = i32Host((n) => {
      try {
        if (n === 0) raise(seen);
        return step(n - 1);
      } finally {
        seen.push(other(n));
      }
    });
    const step: Callable = jit.load(callingHost('step'), { imports: { host } }).get('step');
    expect(thrownBy(() => step(4)).value).toBe(seen);
    expect(seen).toEqual([5, 7, 9, 11, 13]);
  });

  test('two Jits in turn', () => {
    const jits = [makeJit(), makeJit()];
    const steps: Callable[] = [];
    const host = i32Host((n) => {
      if (n === 0) raise(steps);
      return steps[n % 2]!(n - 1);
    });
    for (const jit of jits) steps.push(jit.load(callingHost('step'), { imports: { host } }).get('step'));
    for (let round = 0; round < 3; round++) expect(thrownBy(() => steps[0]!(21)).value).toBe(steps);
    for (const jit of jits) expect(jit.stackRoots()).toEqual({ exact: [], ambiguous: [] });
    jits.forEach(expectWorking);
  });

  test('a safepoint listener that throws leaves code, and the listeners after it do not run', () => {
    const { jit, add } = makeGround();
    const ran: number[] = [];
    jit.onSafepoint(() => ran.push(1));
    const stop = jit.onSafepoint(() => {
      raise(ran);
    });
    jit.onSafepoint(() => ran.push(3));
    const source = 'declare void @safepoint()\ndefine i32 @f() {\n call void @safepoint()\n ret i32 8\n}';
    const f = add(source, { imports: { safepoint: jit.safepoint } }).get('f');
    expect([thrownBy(f).value, ran.length]).toEqual([ran, 1]);
    stop();
    expect([f(), ran]).toEqual([8, [1, 1, 3]]);
  });
});

describe('the limits', () => {
  test.each(['0', '1'])(
    'endless recursion through host functions is a RangeError; the next call works, NOMAD_JIT_NO_CODEGEN=%s',
    (value) => {
      const jit = withNoCodegen(value, () => makeJit());
      let depth = 0;
      const host = i32Host((n) => (depth++, n < 0 ? 1 : step(n + 1)));
      const step: Callable = withNoCodegen(value, () => jit.load(callingHost('step'), { imports: { host } })).get('step');
      for (let round = 0; round < 3; round++) {
        depth = 0;
        expect((thrownBy(() => step(0)).value as Error).name).toBe('RangeError');
        expect(depth).toBeGreaterThan(200);
        expect(step(-1)).toBe(2);
      }
      expect(jit.stackRoots().exact).toEqual([]);
    },
  );

  test('many throws do not leak, and neither do many frames', async () => {
    const f = makeJit()
      .load(compileC('c++', cxx), {
        imports: {
          host: i32Host(() => {
            throw new Error('again');
          }),
          note: hostFunction('void (i32)', () => undefined),
        },
      })
      .get('beyond');
    const throws = 7_000;
    const many = () => {
      for (let i = 0; i < throws; i++) thrownBy(() => f(1));
    };
    expect(await leastGrowth(many)).toBeLessThan(throws * 8);
  });
});

const inHost = (what: string) => `
  const jit = new nomad.Jit();
  const host = nomad.hostFunction('i32 (i32)', (x) => { ${what} });
  const source = 'declare i32 @host(i32)\\ndefine i32 @f(i32 %x) {\\n %y = call i32 @host(i32 %x)\\n ret i32 %y\\n}';
  const f = jit.load(source, { imports: { host } }).get('f');`;

describe('the end of the process or worker while code waits', () => {
  test.each([
    ['process.exit(5)', 'process.exit(5)', 5],
    ['process.exit in a nested call', 'if (x < 20) return f(x + 1); process.exit(6)', 6],
    [
      'process.exit with an exit handler that calls code',
      "if (x > 0) return 1; process.on('exit', () => f(1)); process.exit(4)",
      4,
    ],
    ['process.exitCode and return', 'process.exitCode = 3; return x', 3],
  ])('%s', async (_, what, code) => {
    const result = await runChild(`${inHost(what)} f(0);`);
    expect(result).toEqual({ code, signal: null, stdout: '', stderr: '' });
  });

  test('an exception that nobody catches ends the process with its message', async () => {
    const result = await runChild(`${inHost("throw new Error('nobody catches me')")} f(0);`);
    expect([result.code, result.signal]).toEqual([1, null]);
    expect(result.stderr).toContain('nobody catches me');
  });

  const runWorker = (what: string) => {
    const script = `const { parentPort } = require('node:worker_threads');\n${prelude}${inHost(what)}
      try { f(0); } finally { parentPort.postMessage('finally'); }`;
    const worker = new Worker(script, { eval: true });
    const posted: unknown[] = [];
    return new Promise<{ code: number; posted: unknown[] }>((resolve, reject) => {
      worker.on('error', reject);
      worker.on('exit', (code) => resolve({ code, posted }));
      worker.on('message', (message) => {
        posted.push(message);
        if (message === 'waiting') void worker.terminate();
      });
    });
  };

  test('worker.terminate() while code waits in a host function that never returns', async () => {
    for (const depth of [0, 1, 15]) {
      const what = `if (x < ${depth}) return f(x + 1); parentPort.postMessage('waiting'); for (;;);`;
      expect(await runWorker(what)).toEqual({ code: 1, posted: ['waiting'] });
    }
    expectWorking(makeJit());
  });

  test('process.exit in a worker, in a host function', async () => {
    expect(await runWorker('process.exit(9)')).toEqual({ code: 9, posted: [] });
    expectWorking(makeJit());
  });
});

// LLVM runs no cleanup in the function that has failed, so nobody gives the guard back.
test.each(['trap', 'interrupt'] as const)(
  'a function-local static is initialised by the next call if a %s has stopped it',
  (how) => {
    const jit = makeJit();
    const source = compileC(
      'c++',
      `
static volatile int mode, spins;
static int initial() { if (mode == 1) __builtin_trap(); if (mode == 2) for (;;) spins++; return 7; }
extern "C" int f(int m) { mode = m; static int value = initial(); return value; }`,
      '-fexceptions',
    );
    const f = jit.load(source).get('f');
    for (let i = 0; i < 3; i++) expect(() => jit.withTimeout(20, () => f(how === 'trap' ? 1 : 2))).toThrow(TrapError);
    expect([f(0), f(1), f(2)]).toEqual([7, 7, 7]);
  },
);
