/**
 * Coroutines of <ucontext.h> in odd places. Oracle: what the same program gives when nothing moves.
 */
import { PinnedError, StateError, TrapError, type CodeObject } from 'nomad-jit';
import { i32Host, makeGround } from './support/hosts';
import { errorOf, outcomeOf } from './support/jits';
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

test('one on an array of a frame that is gone, deep in the stack: nothing is pinned', () => {
  const { add, nextCode } = makeGround();
  const object = add(
    compileC(
      'c',
      `
#include <ucontext.h>
static ucontext_t here, co;
static int n;
static void body(void) { for (;;) { n++; swapcontext(&co, &here); } }
static __attribute__((noinline)) int deep(int k) {
  char stack[16384];
  stack[k] = 1;
  if (k > 0) return deep(k - 1) + stack[k];
  getcontext(&co);
  co.uc_stack.ss_sp = stack; co.uc_stack.ss_size = sizeof stack; co.uc_link = &here;
  makecontext(&co, body, 0);
  swapcontext(&here, &co);
  return n;
}
int run(int k) { return deep(k); }`,
    ),
  );
  expect(object.get('run')(20)).toBe(21);
  object.relocate(nextCode());
  expect(object.get('run')(20)).toBe(22);
});
