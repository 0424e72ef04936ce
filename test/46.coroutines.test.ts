/**
 * Coroutines of <ucontext.h> in odd places, and code that fails or loops on one's stack.
 *
 * Oracle: what the same program gives when nothing moves. What fails has its kind by what it does.
 */
import { PinnedError, StateError, TrapError, type CodeObject } from 'nomad-jit';
import { childResult } from './support/child';
import { i32Host, makeGround } from './support/hosts';
import { errorOf, expectWorking, outcomeOf } from './support/jits';
import { compileC } from './support/tools';

test('on an array of a frame that waits: no host function runs there, all code is pinned, until it is over', () => {
  const { add, nextCode, jit } = makeGround();
  const source = compileC(
    'c',
    `
#include <ucontext.h>
extern int step(int);
static ucontext_t here, co;
static void body(void) { step(1); swapcontext(&co, &here); }
static void __attribute__((noinline)) setup(char *stack, long bytes) {
getcontext(&co);
co.uc_stack.ss_sp = stack; co.uc_stack.ss_size = bytes; co.uc_link = &here;
makecontext(&co, body, 0);
}
int run(void) {
char stack[65536];
setup(stack, sizeof stack);
swapcontext(&here, &co);
step(2);
swapcontext(&here, &co);
return step(3) + 41;
}`,
  );
  const seen: Array<[number, string]> = [];
  const step = i32Host((x) => {
    seen.push([x, outcomeOf(() => other.relocate(nextCode()))]);
    return 1;
  });
  const other = add('define i32 @g() { ret i32 8 }');
  const object = add(source, { imports: { step } });
  expect(errorOf(() => object.get('run')())).toBeInstanceOf(StateError); // its first call did not run
  expect(seen).toEqual([[2, 'PinnedError'], [3, 'moved']]); // prettier-ignore
  expect(jit.stackRoots().ambiguous).toEqual([]);
});

test('a context that swapcontext has saved is gone on with several times', () => {
  const { add, nextCode } = makeGround();
  const source = compileC(
    'c',
    `
#include <stdlib.h>
#include <ucontext.h>
extern int step(int);
static ucontext_t saved, co;
static volatile int n;
static void body(void) { setcontext(&saved); }
static void __attribute__((noinline)) setup(void) {
getcontext(&co);
co.uc_stack.ss_sp = malloc(65536); co.uc_stack.ss_size = 65536; co.uc_link = 0;
makecontext(&co, body, 0);
}
int run(void) { n = 0; setup(); swapcontext(&saved, &co); n++; step(n); if (n < 4) setcontext(&saved); return n; }`,
  );
  const outcomes: string[] = [];
  const step = i32Host(() => {
    outcomes.push(outcomeOf(() => object.relocate(nextCode())));
    return 0;
  });
  const object: CodeObject = add(source, { imports: { step } });
  expect(object.get('run')()).toBe(4);
  expect(outcomes).toEqual(['PinnedError', 'PinnedError', 'PinnedError', 'PinnedError']);
  object.relocate(nextCode());
  expect(object.get('run')()).toBe(4);
});

// Each way begins `second` unseen or in the first one's frame.
const nested = compileC(
  'c',
  `
#include <stdlib.h>
#include <ucontext.h>
static ucontext_t here, first, second;
static int n;
static void makeOn(ucontext_t *context, char *stack, void (*body)(void), ucontext_t *link) {
getcontext(context);
context->uc_stack.ss_sp = stack; context->uc_stack.ss_size = 65536; context->uc_link = link;
makecontext(context, body, 0);
}
static void ofSecond(void) { for (int i = 0; i < 3; i++) { n += 10; swapcontext(&second, &here); } }
static void chained(void) { n += 1; }
static void within(void) { char stack[65536]; makeOn(&second, stack, ofSecond, &first); n += 1; swapcontext(&first, &second); n += 100; }
int chain(void) {
n = 0;
makeOn(&second, malloc(65536), ofSecond, &here);
makeOn(&first, malloc(65536), chained, &second);
swapcontext(&here, &first);
return n;
}
int nest(void) {
n = 0;
char *stack = malloc(1 << 18);
getcontext(&first);
first.uc_stack.ss_sp = stack; first.uc_stack.ss_size = 1 << 18; first.uc_link = &here;
makecontext(&first, within, 0);
swapcontext(&here, &first);
return n;
}
int next(void) { swapcontext(&here, &second); return n; }`,
);

test.each([
  ['that begins where another one has ended', 'chain', [11, 21, 31, 31]],
  ["on an array of another one's frame", 'nest', [11, 21, 31, 131]],
] as const)('one %s: pinned until it is over', (_, name, results) => {
  const { add, nextCode } = makeGround();
  const object = add(nested);
  const seen = [object.get(name)()];
  for (let i = 0; i < 3; i++) {
    expect(errorOf(() => object.relocate(nextCode()))).toBeInstanceOf(PinnedError);
    seen.push(object.get('next')());
  }
  expect(seen).toEqual(results);
  object.relocate(nextCode());
});

test('one that waits in a block of code that is handling an exception keeps it when other code fails', () => {
  const { add } = makeGround();
  const object = add(
    compileC(
      'c++',
      `
#include <stdlib.h>
#include <ucontext.h>
static ucontext_t here, co;
static volatile int result;
struct Value { int x; ~Value() { x = 0; } };
static void body() { try { throw Value{4242}; } catch (Value &value) { swapcontext(&co, &here); result = value.x; } swapcontext(&co, &here); }
extern "C" {
void start() {
getcontext(&co);
co.uc_stack.ss_sp = malloc(65536); co.uc_stack.ss_size = 65536; co.uc_link = &here;
makecontext(&co, body, 0);
swapcontext(&here, &co);
__builtin_trap();
}
int next() { swapcontext(&here, &co); return result; }
}`,
    ),
  );
  expect(errorOf(() => object.get('start')())).toBeInstanceOf(TrapError);
  expect(object.get('next')()).toBe(4242);
});

test('code that waits on one outlives its Jit', () => {
  const { add, jit } = makeGround();
  const other = makeGround();
  const waiting = add(
    '@n = global i32 0 declare i32 @swapcontext(ptr, ptr) define void @wait(ptr %from, ptr %to) { %r = call i32 @swapcontext(ptr %from, ptr %to) store volatile i32 %r, ptr @n ret void }',
  );
  const main = other.add(
    compileC(
      'c',
      `
#include <stdlib.h>
#include <ucontext.h>
extern void wait(ucontext_t *, ucontext_t *);
static ucontext_t here, co;
static int n;
static void body(void) { for (;;) { n++; wait(&co, &here); } }
int start(void) {
getcontext(&co);
co.uc_stack.ss_sp = malloc(65536); co.uc_stack.ss_size = 65536; co.uc_link = 0;
makecontext(&co, body, 0);
swapcontext(&here, &co);
return n;
}
int next(void) { swapcontext(&here, &co); return n; }`,
    ),
    { imports: { wait: waiting.addressOf('wait') } },
  );
  expect(main.get('start')()).toBe(1);
  expect(errorOf(() => waiting.free())).toBeInstanceOf(StateError);
  jit.dispose();
  expect(main.get('next')()).toBe(2);
});

describe('what fails or loops on one is an error of the call that went there', () => {
  const failing = compileC(
    'c',
    `
#include <setjmp.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <ucontext.h>
static ucontext_t here, co, between;
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
enum { bytes = 65536, guard = 65536 };
static char *map(void) {
  char *memory = mmap(0, guard + bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  mprotect(memory, guard, PROT_NONE);
  return memory + guard;
}
static void make(ucontext_t *context, char *stack, void (*body)(void)) {
  getcontext(context);
  context->uc_stack.ss_sp = stack; context->uc_stack.ss_size = bytes; context->uc_link = &here;
  makecontext(context, body, 0);
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
      const error = errorOf(() => jit.withTimeout(30, () => object.get(way)(what)));
      if (!(error instanceof TrapError)) throw error;
      seen.push([error.kind, error.frames.at(-1)?.symbol]);
    }
    expect(seen).toEqual(ways.map((what) => [kinds[what], way]));
    expectWorking(jit);
    add('define i32 @g() { ret i32 1 }').relocate(nextCode());
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
