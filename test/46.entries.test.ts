/**
 * Ways into code that no callable makes, and ways out of it that no return makes (I16): whatever is on a stack is known, or pinned.
 *
 * Oracle: what the programs compute, known beforehand. Code that has been left is traps, so what was missed ends the process.
 */
import { hostFunction, PinnedError, StateError, type CodeObject } from 'nomad-jit';
import { makeGround } from './support/hosts';
import { childResult } from './support/child';
import { errorOf, outcomeOf } from './support/jits';
import { compileC } from './support/tools';

/** `start()` has libuv call `tick`, which calls the host function `step` with 20, and stores twice of what that returns to `result`. */
const ticking = `
declare i32 @step(i32)
declare ptr @uv_default_loop()
declare i64 @uv_handle_size(i32)
declare ptr @malloc(i64)
declare i32 @uv_idle_init(ptr, ptr)
declare i32 @uv_idle_start(ptr, ptr)
declare i32 @uv_idle_stop(ptr)
@result = global i32 0
define internal void @tick(ptr %handle) {
  %a = call i32 @uv_idle_stop(ptr %handle)
  %r = call i32 @step(i32 20)
  %d = mul i32 %r, 2
  store i32 %d, ptr @result
  ret void
}
define void @start() {
  %handle = call ptr @malloc(i64 1024)
  %loop = call ptr @uv_default_loop()
  %a = call i32 @uv_idle_init(ptr %loop, ptr %handle)
  %b = call i32 @uv_idle_start(ptr %handle, ptr @tick)
  ret void
}`;

const turns = (count: number): Promise<void> =>
  new Promise((resolve) => {
    const next = (left: number): unknown => (left === 0 ? resolve() : setTimeout(next, 1, left - 1));
    next(count);
  });

describe('code that libuv calls', () => {
  test('is pinned and is not freed while a host function runs, and moves afterwards', async () => {
    const { add, nextCode, jit } = makeGround();
    const outcomes: string[] = [];
    const step = hostFunction('i32 (i32)', (n: number) => {
      outcomes.push(
        outcomeOf(() => object.relocate(nextCode())),
        outcomeOf(() => object.free()),
        outcomeOf(() => jit.dispose()),
      );
      return n + 1;
    });
    const object: CodeObject = add(ticking, { imports: { step } });
    object.get('start')();
    await turns(5);
    expect(outcomes).toEqual(['PinnedError', 'StateError', 'StateError']);
    expect(object.readGlobal('result')).toBe(42);
    object.relocate(nextCode());
    object.get('start')();
    await turns(5);
    expect(outcomes).toHaveLength(6);
  });

  test('runs promises that its host functions have settled before anything else', async () => {
    const { add } = makeGround();
    const order: string[] = [];
    const step = hostFunction('i32 (i32)', () => {
      void Promise.resolve().then(() => order.push('promise'));
      setImmediate(() => order.push('immediate'));
      return 0;
    });
    const object = add(ticking, { imports: { step } });
    object.get('start')();
    await turns(5);
    expect(order).toEqual(['promise', 'immediate']);
  });
});

describe('a stack of its own', () => {
  const generator = compileC(
    'c',
    `
#include <stdlib.h>
#include <ucontext.h>
extern int step(int);
static ucontext_t here, there;
static int produced;
static void generate(void) { for (int i = 1;; i++) { produced = i; swapcontext(&there, &here); } }
int start(void) {
  getcontext(&there);
  there.uc_stack.ss_sp = malloc(65536); there.uc_stack.ss_size = 65536; there.uc_link = 0;
  makecontext(&there, generate, 0);
  swapcontext(&here, &there);
  return produced;
}
int next(void) { swapcontext(&here, &there); return produced; }
static int got;
static void asking(void) { got = step(5); swapcontext(&there, &here); }
int ask(void) {
  getcontext(&there);
  there.uc_stack.ss_sp = malloc(65536); there.uc_stack.ss_size = 65536; there.uc_link = 0;
  makecontext(&there, asking, 0);
  swapcontext(&here, &there);
  return got;
}`,
  );

  test('pins what is suspended on it, when nothing else runs', () => {
    const { add, nextCode } = makeGround();
    const object = add(generator, { imports: { step: hostFunction('i32 (i32)', (n) => n) } });
    expect(object.get('start')()).toBe(1);
    expect(outcomeOf(() => object.relocate(nextCode()))).toBe('PinnedError');
    expect(errorOf(() => object.free())).toBeInstanceOf(StateError);
    expect([object.get('next')(), object.get('next')()]).toEqual([2, 3]);
  });

  // Each of `start`, `next` and `end` goes to the coroutine and back, by one way of switching.
  const switching = compileC(
    'c',
    `
#include <setjmp.h>
#include <stdlib.h>
#include <ucontext.h>
static ucontext_t here, there;
static jmp_buf hereBuffer, thereBuffer;
static volatile int way, produced, isOver, isBack;
static void __attribute__((noinline)) change(ucontext_t *from, ucontext_t *to, jmp_buf fromBuffer, jmp_buf toBuffer, int isFirst) {
  if (way == 0) { swapcontext(from, to); return; }
  if (way == 2 && !isFirst) { if (!_setjmp(fromBuffer)) _longjmp(toBuffer, 1); return; }
  if (way == 2 && _setjmp(fromBuffer)) return;
  isBack = 0;
  getcontext(from);
  if (isBack) return;
  isBack = 1;
  setcontext(to);
}
static int __attribute__((noinline)) deep(int n) {
  volatile int x = n;
  if (n == 0) { change(&there, &here, thereBuffer, hereBuffer, 0); return 0; }
  return deep(n - 1) + x;
}
static void generate(void) {
  for (int i = 1; !isOver; i++) { produced = i; if (deep(20) != 210) abort(); }
  produced = -1;
}
static int go(int isFirst) { change(&here, &there, hereBuffer, thereBuffer, isFirst); return produced; }
int start(int how) {
  way = how;
  isOver = 0;
  getcontext(&there);
  there.uc_stack.ss_sp = malloc(65536); there.uc_stack.ss_size = 65536; there.uc_link = &here;
  makecontext(&there, generate, 0);
  return go(1);
}
int next(void) { return go(0); }
int end(void) { isOver = 1; return go(0); }`,
  );

  test.each([
    ['jitlink', 'swapcontext', 0],
    ['jitlink', 'getcontext and setcontext', 1],
    ['jitlink', 'setjmp and longjmp', 2],
    ['runtimedyld', 'swapcontext', 0],
    ['runtimedyld', 'getcontext and setcontext', 1],
    ['runtimedyld', 'setjmp and longjmp', 2],
  ] as const)('%s: pins what waits there, and nothing else, until it is over: by %s', (linker, _, way) => {
    const { add, nextCode } = makeGround(4096, { linker });
    const object = add(switching);
    const other = add('define i32 @g() {\n ret i32 8\n}');
    const [start, next, end] = ['start', 'next', 'end'].map((name) => object.get(name));
    expect(start!(way)).toBe(1);
    for (let i = 2; i < 6; i++) {
      expect(errorOf(() => object.relocate(nextCode()))).toBeInstanceOf(PinnedError);
      expect(errorOf(() => object.free())).toBeInstanceOf(StateError);
      other.relocate(nextCode());
      expect([next!(), other.get('g')()]).toEqual([i, 8]);
    }
    if (way === 2) return; // uc_link leads to a frame that is gone
    expect(end!()).toBe(-1);
    object.relocate(nextCode());
    expect(start!(way)).toBe(1);
  });

  test('that nobody has told of pins all code', async () => {
    const source = compileC(
      'c',
      `
#define _GNU_SOURCE
#include <stdlib.h>
#include <ucontext.h>
static ucontext_t here, there;
static int produced;
static void generate(void) { for (int i = 1;; i++) { produced = i; swapcontext(&there, &here); } }
int start(void) {
  getcontext(&there);
  there.uc_mcontext.gregs[REG_RSP] = (long)malloc(65536) + 65520 - 8;
  there.uc_mcontext.gregs[REG_RIP] = (long)generate;
  swapcontext(&here, &there);
  return produced;
}
int next(void) { swapcontext(&here, &there); return produced; }`,
    );
    const script = `
      const jit = new nomad.Jit();
      const space = jit.createSpace();
      const add = (source, i) => jit.compile(source).place({ space, code: 65536 * i, constants: 4096 * i, data: 4096 * i });
      const [object, other] = [add(${JSON.stringify(source)}, 0), add('define i32 @g() {\\n ret i32 8\\n}', 1)];
      const refused = [];
      const move = (moved, i) => { try { moved.relocate({ space, code: 65536 * i }); } catch (error) { refused.push(error.name); } };
      move(other, 2);
      const seen = [object.get('start')()];
      move(object, 3);
      move(other, 4);
      seen.push(object.get('next')(), other.get('g')());
      console.log(JSON.stringify([seen, refused]));`;
    expect(await childResult(script)).toEqual([
      [1, 2, 8],
      ['PinnedError', 'PinnedError'],
    ]);
  });

  test('has no JS: a host function does not run there, and the caller hears of it', () => {
    const { add } = makeGround();
    let calls = 0;
    const object = add(generator, { imports: { step: hostFunction('i32 (i32)', () => ++calls) } });
    const error = errorOf(() => object.get('ask')());
    expect(error).toBeInstanceOf(StateError);
    expect(error.message).toMatch(/another stack/);
    expect(calls).toBe(0);
  });

  test('that assembly changes to pins all code, for nobody can know what waits there', () => {
    const { add, nextCode } = makeGround();
    const switcher = add(
      'module asm ".globl switch_to"\nmodule asm "switch_to:"\nmodule asm "movq %rdi, %rsp"\nmodule asm "retq"\ndefine i32 @f() {\n ret i32 7\n}',
    );
    const other = add('define i32 @g() {\n ret i32 8\n}');
    expect(errorOf(() => other.relocate(nextCode()))).toBeInstanceOf(PinnedError);
    expect([switcher.get('f')(), other.get('g')()]).toEqual([7, 8]);
  });
});

describe('longjmp', () => {
  const jumping = compileC(
    'c',
    `
#include <setjmp.h>
extern int step(int);
static jmp_buf buffer;
int outer(int x) { if (setjmp(buffer)) return x + 1; return step(x); }
void jump(void) { longjmp(buffer, 1); }
static void deep(int n) { if (n == 0) longjmp(buffer, 1); deep(n - 1); }
int own(int x) { if (setjmp(buffer)) return x + 2; deep(10); return -1; }`,
  );

  test('over JS frames is refused before it harms; the code is left as by a host function that throws', () => {
    const { add, jit, nextCode } = makeGround();
    let seen: unknown;
    const step = hostFunction('i32 (i32)', (n: number) => {
      seen = errorOf(() => object.get('jump')());
      return n * 10;
    });
    const object: CodeObject = add(jumping, { imports: { step } });
    expect(object.get('outer')(4)).toBe(40);
    expect(seen).toBeInstanceOf(StateError);
    expect((seen as Error).message).toMatch(/longjmp over the frames of JS/);
    expect(jit.stackRoots().exact).toHaveLength(0);
    object.relocate(nextCode());
    expect(object.get('own')(5)).toBe(7);
  });
});

/**
 * A move takes some tens of microseconds, and the handler is at the end of what is moved: half of it would often be seen. It enters code
 * once more, by an address.
 */
const counting = `
@sink = global i64 0
@count = global i64 0
declare ptr @signal(i32, ptr)
declare i32 @setitimer(i32, ptr, ptr)
@timer = global [4 x i64] [i64 0, i64 70, i64 0, i64 70]
define i64 @big(i64 %x) {
  %a0 = add i64 %x, 1
  BODY
  ret i64 %a20000
}
@step = global ptr @counts
define internal void @counts() {
  %c = load volatile i64, ptr @count
  %d = add i64 %c, 1
  store volatile i64 %d, ptr @count
  ret void
}
define internal void @handler(i32 %s) {
  %f = load volatile ptr, ptr @step
  call void %f()
  ret void
}
@alarm = constant [16 x i64] [i64 8192, i64 0, i64 0, i64 0, i64 0, i64 0, i64 0, i64 0, i64 0, i64 0, i64 0, i64 0, i64 0, i64 0, i64 0, i64 0]
declare i32 @pthread_sigmask(i32, ptr, ptr)
define void @keepOff() {
  %r = call i32 @pthread_sigmask(i32 0, ptr @alarm, ptr null)
  ret void
}
define void @start() {
  %a = call ptr @signal(i32 14, ptr @handler)
  %b = call i32 @setitimer(i32 0, ptr @timer, ptr null)
  ret void
}`;

// In a process of its own timers are nobody else's. The kernel gives their signals to the main thread, or if that blocks them to
// another one of Node's.
test.each([
  ['jitlink', 'this thread'],
  ['jitlink', 'other threads'],
  ['runtimedyld', 'this thread'],
  ['runtimedyld', 'other threads'],
])(
  '%s: a signal handler that is code, on %s, sees it before or after a move that overlaps, never half of it',
  async (linker, where) => {
    const script = `
      const jit = new nomad.Jit({ linker: '${linker}', optLevel: 0 });
      const space = jit.createSpace();
      const body = Array.from({ length: 20_000 }, (_, i) => '%a' + (i + 1) + ' = add i64 %a' + i + ', ' + (0x123456789 + i * 7919) + ' store volatile i64 %a' + (i + 1) + ', ptr @sink\\n');
      const object = jit.compile(${JSON.stringify(counting)}.replace('BODY', body.join('')));
      object.place({ space, code: 0, constants: 0, data: 0 });
      ${where === 'this thread' ? '' : "object.get('keepOff')();"}
      object.get('start')();
      let moves = 0;
      let pinned = 0;
      while (object.readGlobal('count') < 4_000n)
        try {
          object.relocate({ space, code: 32 * (++moves & 1) });
        } catch (error) {
          if (!(error instanceof nomad.PinnedError)) throw error;
          pinned++; // a handler was in code on another thread, and did not end
        }
      console.log(moves > 500 && pinned < moves / 20);`;
    expect(await childResult<boolean>(script)).toBe(true);
  },
);
