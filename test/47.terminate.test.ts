/**
 * std::terminate, wherever it is called for code, ends the call.
 *
 * Oracle: what C++ says of each program; `count` and `outer` show that the next call finds all as it was.
 */
import { hostFunction, TrapError, type CodeObject } from 'nomad-jit';
import { childResult } from './support/child';
import { makeGround } from './support/hosts';
import { errorOf } from './support/jits';
import { compileC } from './support/tools';

const source = compileC(
  'c++',
  `
#include <exception>
#include <stdexcept>
#include <stdlib.h>
#include <ucontext.h>
extern "C" int host(int);
struct Throws { ~Throws() noexcept(false) { throw 2; } };
struct NotCopied { NotCopied() {} NotCopied(const NotCopied &) { throw 1; } };
static ucontext_t here, co;
static void body() { throw std::runtime_error("lost"); }
static int compare(const void *, const void *) { throw; }
static std::terminate_handler before;
static void chained() { before(); }
static int calls, how;
static volatile int spins;
static void handler() {
  ++calls;
  switch (how) {
  case 1: abort();
  case 2: *(volatile int *)8 = 1; break;
  case 3: for (;;) spins++;
  case 4: host(4); break;
  case 5: throw 3;
  }
}
extern "C" {
int nothing() { throw; }
int twice() { try { Throws it; throw 1; } catch (int) {} return 1; }
int copied() { try { throw NotCopied(); } catch (NotCopied it) { return 2; } return 3; }
static void fail() { throw 2; }
int inNoexcept() noexcept { fail(); return 1; }
int inSort() { int array[] = {3, 2, 1}; qsort(array, 3, 4, compare); return 1; }
int called() { std::terminate(); }
int onCoroutine() {
  static char stack[65536];
  getcontext(&co);
  co.uc_stack.ss_sp = stack; co.uc_stack.ss_size = sizeof stack; co.uc_link = &here;
  makecontext(&co, body, 0);
  swapcontext(&here, &co);
  return 1;
}
int withHandler(int h) { how = h; std::set_terminate(handler); throw; }
int inChain() { if (!before) before = std::set_terminate(chained); throw; }
int byName() { std::set_terminate(__gnu_cxx::__verbose_terminate_handler); throw; }
int asked() { std::get_terminate()(); return 1; }
int givenBack() { auto old = std::set_terminate(handler); how = 0; std::set_terminate(old); int count = calls; try { throw 1; } catch (int) {} return std::get_terminate() == old ? calls - count : -1; }
int asCoroutine() {
  static char stack[65536];
  getcontext(&co);
  co.uc_stack.ss_sp = stack; co.uc_stack.ss_size = sizeof stack; co.uc_link = &here;
  makecontext(&co, (void (*)())std::terminate, 0);
  swapcontext(&here, &co);
  return 1;
}
int isMine() { return std::get_terminate() == handler; }
int count() { return calls; }
int outer() { try { throw 7; } catch (int) { host(2); try { throw; } catch (int caught) { return caught; } } return 0; }
}`,
);

function makeObject(host: (x: number) => number) {
  const ground = makeGround();
  return { ...ground, object: ground.add(source, { imports: { host: hostFunction('i32 (i32)', host) } }) };
}

const called = 'std::terminate() was called';

test.each([
  ['nothing', called],
  ['twice', `${called}, for an exception of type int`],
  ['copied', `${called}, for an exception of type int`],
  ['inNoexcept', `${called}, for an exception of type int`],
  ['inSort', called],
  ['called', called],
  ['asked', called],
  ['inChain', called],
  ['byName', called],
  ['asCoroutine', called],
  ['onCoroutine', `${called}, for an exception of type std::runtime_error`],
])('%s: a TrapError, and C++ has forgotten it', (name, message) => {
  const { object } = makeObject((x) => x);
  for (let i = 0; i < 20; i++) {
    const error = errorOf(() => object.get(name)());
    expect(error).toBeInstanceOf(TrapError);
    expect(error).toMatchObject({ kind: 'abort', message: expect.stringContaining(message) as string });
    expect(errorOf(() => object.get('nothing')()).message).toMatch(/^nothing\+0x[0-9a-f]+: std::terminate\(\) was called$/);
    expect(object.get('outer')()).toBe(7);
  }
});

test('what code handles when it calls a host function is still handled afterwards', () => {
  const errors: Error[] = [];
  const { object } = makeObject((x) => {
    errors.push(errorOf(() => object.get('inSort')()));
    return x;
  });
  expect(object.get('outer')()).toBe(7);
  expect(errors.map(({ message }) => message)).toEqual([expect.stringContaining('did not catch: int')]);
});

// `throw;` in libstdc++ calls the handler, which would be left by way of libstdc++'s own `catch (...)`.
test.each([
  [0, TrapError, called],
  [1, TrapError, 'abort() was called'],
  [2, TrapError, 'memory fault at 0x8'],
  [3, TrapError, 'stopped, because'],
  [4, RangeError, 'of the host function'],
  [5, TrapError, called],
] as const)("code's own handler runs first, and may fail in its own way (%d)", (how, type, message) => {
  const { object, jit } = makeObject(() => {
    throw new RangeError('of the host function');
  });
  for (let i = 1; i <= 5; i++) {
    // Only the fourth goes on until then.
    const error = errorOf(() => jit.withTimeout(how === 3 ? 30 : 60_000, () => object.get('withHandler')(how)));
    expect(error).toBeInstanceOf(type);
    expect(error.message).toContain(message);
    expect(how === 3 || object.get('count')() === i).toBe(true);
  }
  expect([object.get('isMine')(), object.get('givenBack')(), object.get('isMine')()]).toEqual([1, 0, 1]);
});

test('a handler whose Jit is gone harms nobody', async () => {
  const script = `
    const make = (jit = new nomad.Jit()) => jit.load(${JSON.stringify(source)}, { imports: { host: nomad.hostFunction('i32 (i32)', (x) => x) } });
    const messages = [];
    const run = (f, ...values) => { try { f(...values); } catch (error) { messages.push(error.message.split(': ')[1]); } };
    const jit = new nomad.Jit();
    run(make(jit).get('withHandler'), 0);
    jit.dispose();
    for (let i = 0; i < 3; i++) run(make().get('nothing'));
    console.log(JSON.stringify(messages));`;
  expect(await childResult(script)).toEqual(Array(4).fill(called));
});

describe('exception specifications of C++14', () => {
  // `f` lets an int pass, and `g` has something else go on as std::bad_exception. Destructor and handler call `step`.
  const specified = compileC(
    'c++',
    `
#include <exception>
extern "C" int step(int);
struct Moves { ~Moves() { step(1); } };
static int how;
static void unexpected() {
  step(2);
  switch (how) {
  case 0: throw 5;
  case 1: throw 'c';
  case 2: throw;
  case 3: *(volatile int *)8 = 1; break;
  case 4: step(3); break;
  }
}
static __attribute__((noinline)) void thrower() { throw 2.5; }
static __attribute__((noinline)) void f() throw(int) { Moves it; thrower(); }
static __attribute__((noinline)) void g() throw(int, std::bad_exception) { Moves it; thrower(); }
extern "C" int run(int h) { how = h; std::set_unexpected(unexpected); try { f(); } catch (int i) { return i; } return -1; }
extern "C" int runBad(int h) {
  how = h; std::set_unexpected(unexpected);
  try { g(); } catch (int i) { return i; } catch (std::bad_exception &) { return 77; }
  return -1;
}
extern "C" int onTheirWay() { return std::uncaught_exception(); }`,
    '-std=c++14',
    '-w',
  );

  test.each([
    [0, 5, 5],
    [1, `${called}, for an exception of type char`, 77],
    [2, `${called}, for an exception of type double`, 77],
    [3, 'memory fault at 0x8', 'memory fault at 0x8'],
    [4, 'of the host function', 'of the host function'],
    [5, `${called}, for an exception of type double`, `${called}, for an exception of type double`],
  ] as const)('that are violated, while the function moves (%d)', (how, result, resultBad) => {
    const { add, nextCode } = makeGround();
    let moves = 0;
    const step = hostFunction('i32 (i32)', (x: number) => {
      if (x === 3) throw new RangeError('of the host function');
      object.relocate(nextCode());
      return ++moves;
    });
    const object: CodeObject = add(specified, { imports: { step } });
    const outcome = (name: string): unknown => {
      try {
        return object.get(name)(how);
      } catch (error) {
        return (error as Error).message.replace(/^[^ ]*\+0x[0-9a-f]+: /, '').replace(/^code of .*: /, '');
      }
    };
    for (let i = 0; i < 3; i++)
      expect([outcome('run'), outcome('runBad'), object.get('onTheirWay')()]).toEqual([result, resultBad, 0]);
    expect(moves).toBe(12);
  });
});
