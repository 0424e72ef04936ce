/**
 * Code that fails or loops on a coroutine's stack: an error of the call that went there, and nothing is left behind.
 *
 * Oracle: what each fails by says its kind; what C++ says of `throw;` and of `std::uncaught_exceptions` says what is left.
 */
import { readFileSync } from 'node:fs';
import { StateError, TrapError, type CodeObject } from 'nomad-jit';
import { childResult } from './support/child';
import { i32Host, makeGround } from './support/hosts';
import { errorOf, expectWorking } from './support/jits';
import { compileC } from './support/tools';

function trapOf(run: () => unknown): TrapError {
  const error = errorOf(run);
  if (!(error instanceof TrapError)) throw error;
  return error;
}

const prelude = `
#include <setjmp.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <ucontext.h>
static ucontext_t here, co, between;
enum { bytes = 65536, guard = 65536 };
static char *map(void) {
  char *memory = (char *)mmap(0, guard + bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  mprotect(memory, guard, PROT_NONE);
  return memory + guard;
}
static void make(ucontext_t *context, char *stack, void (*body)(void)) {
  getcontext(context);
  context->uc_stack.ss_sp = stack; context->uc_stack.ss_size = bytes; context->uc_link = &here;
  makecontext(context, body, 0);
}
`;

describe('what fails or loops on one is an error of the call that went there', () => {
  const failing = compileC(
    'c',
    `${prelude}
static jmp_buf waiting;
static volatile int n, what;
static __attribute__((noinline)) int deep(int k) { volatile char array[2000]; array[k & 1023] = 1; return deep(k + 1) + array[0]; }
static void fail(void) {
  switch (what) {
  case 0: for (;;) n++;
  case 1: *(volatile int *)24 = 1; break;
  case 2: __asm__ volatile("divl %0" :: "r"(0), "a"(1), "d"(0)); break;
  case 3: __builtin_trap();
  case 4: deep(0); break;
  case 5: abort();
  case 6: ((void (*)(void))64)(); break;
  }
}
static void nested(void) { make(&co, map(), fail); swapcontext(&between, &co); n++; }
static void jumped(void) { if (!setjmp(waiting)) swapcontext(&co, &here); fail(); }
int bySwap(int w) { what = w; make(&co, map(), fail); swapcontext(&here, &co); return n; }
int nestedly(int w) { what = w; make(&between, map(), nested); swapcontext(&here, &between); return n; }
int bySet(int w) { what = w; make(&co, map(), fail); setcontext(&co); return n; }
int byJump(int w) { what = w; make(&co, map(), jumped); swapcontext(&here, &co); longjmp(waiting, 1); }
int onArray(int w) { char stack[bytes]; what = w; make(&co, stack, fail); swapcontext(&here, &co); return stack[0]; }`,
  );
  const kinds = ['interrupt', 'memory', 'arithmetic', 'illegal', 'stack', 'abort', 'memory'];

  test.each(['bySwap', 'nestedly', 'bySet', 'byJump', 'onArray'])('%s', (way) => {
    const { add, jit, nextCode } = makeGround();
    const object = add(failing);
    const seen: unknown[] = [];
    // An array has no guard page: what overflows it writes to the frame that has it.
    const ways = way === 'onArray' ? [0, 1, 2, 3, 5, 6] : [0, 1, 2, 3, 4, 5, 6];
    for (const what of ways) {
      const error = trapOf(() => jit.withTimeout(30, () => object.get(way)(what)));
      seen.push([error.kind, error.frames.at(-1)?.symbol]);
    }
    expect(seen).toEqual(ways.map((what) => [kinds[what], way]));
    expectWorking(jit);
    add('define i32 @g() { ret i32 1 }').relocate(nextCode());
  });

  test('what would end JS: longjmp, setcontext or uc_link over its frames, the end of the thread', () => {
    const { add } = makeGround();
    const source = compileC(
      'c',
      `${prelude}
#include <pthread.h>
extern int host(int);
static jmp_buf buffer;
static int what;
static void jump(void) { longjmp(buffer, 1); }
static void set(void) { setcontext(&between); }
static void end(void) { pthread_exit(0); }
static void link(void) { what++; }
int outer(int w) {
  volatile int times = 0;
  if (setjmp(buffer)) return -1;
  getcontext(&between);
  if (times++) return -2;
  return host(w);
}
int inner(int w) {
  static void (*const bodies[])(void) = {jump, set, end, link};
  if (w == 4) return setcontext(&between);
  make(&co, map(), bodies[w]);
  if (w == 3) { co.uc_link = &between; makecontext(&co, link, 0); }
  swapcontext(&here, &co);
  return 1;
}`,
    );
    const errors: Error[] = [];
    const host = i32Host((x) => {
      errors.push(errorOf(() => object.get('inner')(x)));
      return 5;
    });
    const object: CodeObject = add(source, { imports: { host } });
    expect([0, 1, 2, 3, 4].map((way) => object.get('outer')(way))).toEqual([5, 5, 5, 5, 5]);
    expect(errors.map(({ message }) => message)).toEqual([
      expect.stringContaining('longjmp over the frames of JS functions'),
      expect.stringContaining('setcontext over the frames of JS functions'),
      expect.stringContaining('the end of a thread that runs JS'),
      expect.stringContaining('the end of a coroutine over the frames of JS functions'),
      expect.stringContaining('setcontext over the frames of JS functions'),
    ]);
    for (const error of errors) expect(error).toBeInstanceOf(StateError);
  });

  test('many times: memory stays', async () => {
    const script = `
      const jit = new nomad.Jit();
      const object = jit.load(${JSON.stringify(failing)});
      const resident = () => process.memoryUsage.rss() / 2 ** 20;
      let right = 0;
      const run = (times) => {
        for (let i = 0; i < times; i++)
          try { object.get('onArray')(1 + i % 3); } catch (error) { if (error instanceof nomad.TrapError) right++; }
      };
      run(2000);
      const before = resident();
      run(4000);
      console.log(JSON.stringify([right, resident() - before < 8]));`;
    expect(await childResult(script)).toEqual([6000, true]);
  });

  test('worker.terminate() ends a worker that loops there', async () => {
    const script = `
      const { Worker } = require('node:worker_threads');
      const source = ${JSON.stringify(
        "const nomad = require('./dist/index.js'); const { workerData, parentPort } = require('node:worker_threads');" +
          "const object = new nomad.Jit().load(workerData); parentPort.postMessage('begins'); object.get('bySwap')(0);",
      )};
      const worker = new Worker(source, { eval: true, workerData: ${JSON.stringify(failing)} });
      worker.on('message', () => setTimeout(async () => console.log(await worker.terminate()), 50));`;
    expect(await childResult(script)).toBe(1);
  });
});

test.each([
  ['a null pointer in a leaf that a coroutine ends with', 'ofLeaf', 'memory', 'memory fault at 0x'],
  ['a full stack, in the call that changes stacks', 'full', 'stack', 'stack overflow'],
  ['longjmp by a null pointer', 'nullJump', 'memory', 'memory fault at 0x0, in longjmp'],
  ['setjmp by a null pointer', 'nullSet', 'memory', 'memory fault at 0x0, in setjmp'],
  ['makecontext by a null pointer', 'nullMake', 'memory', 'memory fault at 0x0, in makecontext'],
  ['a function where none can be', 'nowhere', 'memory', 'memory fault at 0x8000000000000000, in makecontext'],
])('%s', (_, name, kind, message) => {
  const { add } = makeGround();
  const object = add(
    compileC(
      'c',
      `${prelude}
static volatile unsigned long length;
static char *volatile nothing;
static void leaf(void) { length = strlen(nothing); }
static void tail(void) { memset(nothing, 0, 100); }
static __attribute__((noinline)) int deep(int k) { ucontext_t own; if (k == 0) return 1; getcontext(&own); swapcontext(&between, &co); return deep(k + 1) + 1; }
static void body(void) { deep(1); }
static void back(void) { for (;;) swapcontext(&co, &between); }
static ucontext_t outer;
int ofLeaf(void) { make(&co, map(), tail); swapcontext(&here, &co); return length; }
int full(void) { make(&co, map(), back); make(&outer, map(), body); swapcontext(&here, &outer); return 1; }
int nullJump(void) { longjmp(*(jmp_buf *)nothing, 1); }
int nullSet(void) { return setjmp(*(jmp_buf *)nothing) + 1; }
int nullMake(void) { makecontext((ucontext_t *)nothing, leaf, 0); return 1; }
int nowhere(void) { make(&co, map(), (void (*)(void))0x8000000000000000); return 1; }`,
      '-O1',
    ),
  );
  for (let i = 0; i < 3; i++) {
    const error = trapOf(() => object.get(name)());
    expect([error.kind, error.message]).toEqual([kind, expect.stringContaining(message)]);
  }
});

test('an alternate stack of its own, however small, is none for our handler', () => {
  const { add } = makeGround();
  const object = add(
    compileC(
      'c',
      `${prelude}
static char small[4096];
int give(void) { stack_t mine = {small, 0, sizeof small}, before; return sigaltstack(&mine, &before) == 0 && before.ss_flags == SS_DISABLE; }
int isMine(void) { stack_t now; return sigaltstack(0, &now) == 0 && now.ss_sp == small && now.ss_size == sizeof small; }
int tooSmall(void) { stack_t mine = {small, 0, 100}; return sigaltstack(&mine, 0); }
int take(void) { stack_t none = {0, SS_DISABLE, 0}; return sigaltstack(&none, 0); }
int fail(void) { return *(volatile int *)8; }`,
    ),
  );
  expect([object.get('give')(), object.get('isMine')(), object.get('tooSmall')()]).toEqual([1, 1, -1]);
  for (let i = 0; i < 3; i++) expect(trapOf(() => object.get('fail')()).kind).toBe('memory');
  expect([object.get('take')(), object.get('isMine')()]).toEqual([0, 0]);
});

test('a loop that does little but change stacks is stopped soon', () => {
  const { add, jit } = makeGround();
  const object = add(
    compileC(
      'c',
      `${prelude}
static jmp_buf mine, its;
static void body(void) { for (;;) swapcontext(&co, &here); }
static void jumping(void) { for (;;) if (!setjmp(its)) longjmp(mine, 1); }
void swap(void) { make(&co, map(), body); for (;;) swapcontext(&here, &co); }
void jump(void) { make(&co, map(), jumping); if (!setjmp(mine)) setcontext(&co); for (;;) if (!setjmp(mine)) longjmp(its, 1); }`,
    ),
  );
  // Without asking at each change, a half of them takes some hundred signals, one each millisecond.
  for (const name of ['swap', 'jump'])
    for (let i = 0; i < 50; i++) expect(trapOf(() => jit.withTimeout(1, () => object.get(name)())).kind).toBe('interrupt');
});

test('signals that were blocked there alone are not blocked afterwards', () => {
  const { add } = makeGround();
  const object = add(
    compileC(
      'c',
      `${prelude}
static void body(void) { *(volatile int *)8 = 1; }
int run(void) { make(&co, map(), body); sigaddset(&co.uc_sigmask, SIGUSR2); return swapcontext(&here, &co) + 1; }`,
    ),
  );
  const blocked = (): string => /^SigBlk:\s*(\w+)$/m.exec(readFileSync('/proc/thread-self/status', 'utf8'))![1]!;
  const before = blocked();
  expect(trapOf(() => object.get('run')()).kind).toBe('memory');
  expect(blocked()).toBe(before);
});

describe('what C++ knows of exceptions', () => {
  const source = compileC(
    'c++',
    `${prelude}
#include <exception>
extern "C" int host(int);
static int alive;
static volatile int result;
struct Value { int x; Value(int x) : x(x) { alive++; } Value(const Value &other) : x(other.x) { alive++; } ~Value() { alive--; x = 0; } };
struct Changes { ~Changes() { swapcontext(&here, &co); __builtin_trap(); } };
static void handling() { try { throw Value(42); } catch (Value &value) { swapcontext(&co, &here); result = value.x; } __builtin_trap(); }
static void waiting() { for (;;) swapcontext(&co, &here); }
extern "C" {
int start() { make(&co, map(), handling); swapcontext(&here, &co); return 1; }
int next() { swapcontext(&here, &co); return 1; }
int found() { return result; }
int inHandler() { make(&co, map(), waiting); try { throw Value(7); } catch (Value &) { swapcontext(&here, &co); __builtin_trap(); } return 0; }
int onTheWay() { make(&co, map(), waiting); try { Changes it; throw 3; } catch (int) { return 1; } return 0; }
int afterJump() { jmp_buf buffer; if (!setjmp(buffer)) longjmp(buffer, 1); try { throw Value(7); } catch (Value &) { __builtin_trap(); } return 0; }
static void yields() { try { throw Value(80); } catch (Value &value) { swapcontext(&co, &here); result = value.x; } }
int generator() { make(&co, map(), yields); swapcontext(&here, &co); swapcontext(&here, &co); return result; }
static void unwinds() { struct Yields { ~Yields() { swapcontext(&co, &here); } }; try { Yields it; throw 1; } catch (int) {} }
int unwinding(int) { make(&co, map(), unwinds); swapcontext(&here, &co); swapcontext(&here, &co); __builtin_trap(); }
int outer() { try { throw Value(70); } catch (Value &) { host(0); try { throw; } catch (Value &value) { return value.x; } } return 0; }
int recursive(int n) { if (n == 0) __builtin_trap(); try { try { throw Value(n); } catch (Value &) { return recursive(n - 1) + 1; } } catch (...) {} return 0; }
int nothing() { throw; }
int state() { return std::uncaught_exceptions() * 1000 + alive * 10 + (std::current_exception() ? 1 : 0); }
}`,
  );

  test('a coroutine ends its handler in another call, and fails there', () => {
    const { add } = makeGround();
    const object = add(source, { imports: { host: i32Host((x) => x) } });
    expect(object.get('start')()).toBe(1);
    expect(trapOf(() => object.get('next')()).kind).toBe('illegal');
    expect([object.get('found')(), object.get('state')()]).toEqual([42, 0]);
    expect(trapOf(() => object.get('nothing')()).kind).toBe('abort');
  });

  test.each(['inHandler', 'onTheWay', 'afterJump'])('the stack was changed and changed back in between: %s', (name) => {
    const { add } = makeGround();
    const object = add(source, { imports: { host: i32Host((x) => x) } });
    for (let i = 0; i < 20; i++) {
      expect(trapOf(() => object.get(name)()).kind).toBe('illegal');
      expect(object.get('state')()).toBe(0);
      expect(trapOf(() => object.get('nothing')()).kind).toBe('abort');
    }
  });

  test.each([
    ['generators that yield in handlers have ended', 'generator', 40],
    ['coroutines have ended that waited while they were unwound', 'unwinding', 40],
    ['forty handlers were left at once', 'recursive', 40],
  ])('%s: an outer handler still has its own exception', (_, name, argument) => {
    const { add } = makeGround();
    const host = i32Host(() => {
      for (let i = 0; i < 5; i++) {
        if (name === 'generator') expect(object.get(name)()).toBe(80);
        else expect(trapOf(() => object.get(name)(argument)).kind).toBe('illegal');
        expect(trapOf(() => object.get('inHandler')()).kind).toBe('illegal');
      }
      return 0;
    });
    const object: CodeObject = add(source, { imports: { host } });
    for (let i = 0; i < 3; i++) expect([object.get('outer')(), object.get('state')()]).toEqual([70, 0]);
  });
});

test('one on an array of a frame that waits goes on in a call further in', () => {
  const { add } = makeGround();
  const source = compileC(
    'c',
    `${prelude}
extern int host(int);
static volatile int n;
static void body(void) { for (;;) { n++; swapcontext(&co, &here); } }
int outer(void) { char stack[bytes]; make(&co, stack, body); swapcontext(&here, &co); return host(0) * 100 + n; }
int inner(void) { swapcontext(&here, &co); return n; }`,
  );
  const object: CodeObject = add(source, { imports: { host: i32Host(() => object.get('inner')() as number) } });
  expect(object.get('outer')()).toBe(202);
});
