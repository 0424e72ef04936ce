/**
 * Ways into code that no callable makes, and ways out of it that no return makes (I16): whatever is on a stack is known, or pinned.
 *
 * Oracle: what the programs compute, known beforehand. Code that has been left is traps, so what was missed ends the process.
 */
import { hostFunction, PinnedError, StateError, type CodeObject } from 'nomad-jit';
import { makeGround } from './support/hosts';
import { errorOf } from './support/jits';
import { compileC } from './support/tools';

/** 'moved', or the class of the error that `run` throws. */
function outcomeOf(run: () => unknown): string {
  try {
    run();
    return 'moved';
  } catch (error) {
    return (error as Error).constructor.name;
  }
}

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

// In a process of its own timers are nobody else's; here they are few.
describe('a signal handler that is code', () => {
  const counting = compileC(
    'c',
    `
#include <signal.h>
#include <sys/time.h>
static volatile int count;
static void handler(int signal) { count++; }
static const char big[4096] = {1};
int start(void) { struct itimerval t = {{0, 200}, {0, 200}}; return signal(SIGVTALRM, handler) == SIG_ERR || setitimer(ITIMER_VIRTUAL, &t, 0); }
int end(void) { struct itimerval t = {{0, 0}, {0, 0}}; setitimer(ITIMER_VIRTUAL, &t, 0); signal(SIGVTALRM, SIG_DFL); return count + big[1]; }`,
  );

  test('sees code before or after a move that overlaps, never half of it', () => {
    const { add, space } = makeGround();
    const object = add(counting);
    const code = object.placement!.code;
    expect(object.get('start')()).toBe(0);
    let moved = 0;
    for (let i = 0; i < 20_000; i++)
      if (outcomeOf(() => object.relocate({ space, code: code + 16 * (i % 2) })) === 'moved') moved++;
    expect(object.get('end')()).toBeGreaterThan(0);
    expect(moved).toBeGreaterThan(10_000);
  });
});
