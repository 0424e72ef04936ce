/**
 * Code that is entered, waits or is left in ways that few programs know: assembly, handlers of signals, the ends of threads.
 * Oracle: what the same program gives when nothing moves.
 */
import { readFileSync } from 'node:fs';
import { hostFunction, StateError, TrapError } from 'nomad-jit';
import { i32Host, makeGround } from './support/hosts';
import { errorOf, outcomeOf } from './support/jits';
import { compileC } from './support/tools';

describe('assembly', () => {
  const other = 'define i32 @g() { ret i32 8 }';
  const outcomeBeside = (lines: string) => {
    const { add, nextCode } = makeGround();
    const assembly = ['.globl odd', 'odd:', ...lines.split('|'), 'retq'].map((line) => `module asm "${line}"\n`).join('');
    add(`${assembly}define i32 @f() {\n ret i32 7\n}`);
    const moved = add(other);
    return outcomeOf(() => moved.relocate(nextCode()));
  };

  test.each([
    ...[
      'movq %rsi, %rsp',
      'movq %rsi,%rsp # to another',
      'movq %rsi, %rsp /* so */',
      '1: movq %rsi, %rsp',
      'a: b: movq %rsi, %rsp',
    ],
    ...[
      'nop; movq (%rdi), %rsp',
      'MOVQ\\09%rsi, %rsp',
      'xchgq %rsp, %rsi',
      'popq %rsp',
      'leaq 8(%rsi), %rsp',
      'cmovneq %rsi, %rsp',
    ],
    ...['addq %rsi, %rsp', 'subq %rsi, %rsp', 'orq %rsi, %rsp', 'movq 8(%rsp), %rsp', 'leaq (%rsp,%rsi), %rsp', 'incq %rsp'],
    ...['movq %rsi, %rbp|leave', 'movq (%rdi), %rbp|movq %rbp, %rsp', 'leaq 8(%rsi), %rbp|leaq -8(%rbp), %rsp'],
    ...['.intel_syntax noprefix|mov rsp, rsi|.att_syntax', '.intel_syntax noprefix|mov rsp, [rdi]|.att_syntax'],
  ])('%s may change to another stack: all code is pinned', (lines) => expect(outcomeBeside(lines)).toBe('PinnedError'));

  test.each([
    ...['pushq %rbp|movq %rsp, %rbp|subq $$64, %rsp|andq $$-32, %rsp|leave', 'pushq %rsp|addq $$8, %rsp', 'cmpq %rsp, %rax'],
    ...['leaq -128(%rsp), %rsp|leaq 128(%rsp), %rsp', 'movq %rsp, 8(%rdi)', 'movq %rbp, %rsp', 'testq %rsp, %rsp', 'popq %rbp'],
    ...['# movq %rsi, %rsp', '/* movq %rsi, %rsp */ nop', '.intel_syntax noprefix|sub rsp, 8|add rsp, 8|.att_syntax'],
  ])('%s stays on its stack', (lines) => expect(outcomeBeside(lines.replaceAll('$$', '$'))).toBe('moved'));
});

describe('handlers of signals', () => {
  test('throw and catch right after a move', () => {
    const { add, nextCode } = makeGround();
    const object = add(
      compileC(
        'c++',
        `
#include <signal.h>
static volatile int n;
static __attribute__((noinline)) void deep(int k) { if (k == 0) throw 5; deep(k - 1); n = n; }
static void handler(int) { try { deep(3); } catch (int i) { n += i; } }
extern "C" void start() { signal(SIGUSR2, handler); }
extern "C" int count() { return n; }
extern "C" void end() { signal(SIGUSR2, SIG_IGN); }`,
      ),
    );
    object.get('start')();
    for (let i = 1; i <= 5; i++) {
      object.relocate(nextCode());
      process.kill(process.pid, 'SIGUSR2');
      expect(object.get('count')()).toBe(5 * i);
    }
    object.get('end')();
  });

  test('are left by a JS exception with the signals blocked that were before', () => {
    const { add } = makeGround();
    const host = i32Host(() => {
      throw new RangeError('of the host function');
    });
    const source = compileC(
      'c',
      `
#include <signal.h>
#include <string.h>
extern int host(int);
static void handler(int signal) { host(signal); }
int run(void) {
  struct sigaction action;
  memset(&action, 0, sizeof action);
  action.sa_handler = handler;
  sigfillset(&action.sa_mask);
  sigaction(SIGTRAP, &action, 0);
  __asm__ volatile("int3");
  return 1;
}
int fail(void) { return *(volatile int *)8; }`,
    );
    const object = add(source, { imports: { host } });
    const blocked = (): string => /^SigBlk:\s*(\w+)$/m.exec(readFileSync('/proc/thread-self/status', 'utf8'))![1]!;
    const before = blocked();
    expect(() => object.get('run')()).toThrow('of the host function');
    expect(blocked()).toBe(before);
    expect(errorOf(() => object.get('fail')())).toBeInstanceOf(TrapError);
  });

  test('call no host function where they have interrupted something else than code', () => {
    const { add } = makeGround();
    let calls = 0;
    const step = i32Host(() => ++calls);
    const source = compileC(
      'c',
      `
#include <signal.h>
extern int step(int);
static void handler(int signal) { step(signal); }
void inLibrary(void) { signal(SIGUSR2, handler); raise(SIGUSR2); }
void inCode(void) { signal(SIGTRAP, handler); __asm__ volatile("int3"); }
void end(void) { signal(SIGUSR2, SIG_DFL); }`,
    );
    const object = add(source, { imports: { step } });
    const error = errorOf(() => object.get('inLibrary')());
    expect(error).toBeInstanceOf(StateError);
    expect(error.message).toContain('by a signal handler that has not interrupted code');
    expect(calls).toBe(0);
    object.get('end')();
  });
});

describe('threads', () => {
  test('many at once, one after the other, each with a stack of another size: they are forgotten', () => {
    const { add, nextCode } = makeGround();
    const object = add(
      compileC(
        'c',
        `
#include <pthread.h>
static pthread_barrier_t barrier;
static void *wait(void *arg) { pthread_barrier_wait(&barrier); return arg; }
static void *nothing(void *arg) { return arg; }
int many(int n) {
  pthread_t threads[400];
  pthread_attr_t attributes;
  pthread_attr_init(&attributes);
  pthread_attr_setstacksize(&attributes, 65536);
  pthread_barrier_init(&barrier, 0, n + 1);
  for (int i = 0; i < n; i++) if (pthread_create(&threads[i], &attributes, wait, 0)) return -1;
  pthread_barrier_wait(&barrier);
  for (int i = 0; i < n; i++) pthread_join(threads[i], 0);
  return n;
}
int inTurn(int n) {
  for (int i = 0; i < n; i++) {
    pthread_t thread;
    pthread_attr_t attributes;
    pthread_attr_init(&attributes);
    pthread_attr_setstacksize(&attributes, 65536 + 4096 * i);
    if (pthread_create(&thread, &attributes, nothing, 0)) return -1;
    pthread_join(thread, 0);
  }
  return n;
}`,
      ),
    );
    expect(object.get('many')(300)).toBe(300);
    object.relocate(nextCode());
    expect(object.get('inTurn')(300)).toBe(300);
    object.relocate(nextCode());
    expect(object.get('many')(10)).toBe(10);
  });

  test('JS can not be ended by pthread_exit, thrd_exit or a cancellation', () => {
    const { add, nextCode } = makeGround();
    const object = add(
      compileC(
        'c',
        `
#include <pthread.h>
#include <threads.h>
int end(int how) {
  if (how == 0) pthread_exit(0);
  if (how == 1) thrd_exit(0);
  pthread_cancel(pthread_self());
  pthread_testcancel();
  return 3;
}`,
      ),
    );
    for (const how of [0, 1]) {
      const error = errorOf(() => object.get('end')(how));
      expect(error).toBeInstanceOf(StateError);
      expect(error.message).toContain('the end of a thread that runs JS');
    }
    object.relocate(nextCode());
    const error = errorOf(() => object.get('end')(2));
    expect(error).toBeInstanceOf(TrapError);
    expect(error).toMatchObject({ kind: 'exception' });
  });
});

// A personality of the program's own sees what C++ does not; it finds its landing pad as every other one does.
test('code that catches a trap by a personality of its own does not disturb the next one', () => {
  const { add } = makeGround();
  const personality = add(
    compileC(
      'c',
      `
#include <stdint.h>
#include <unwind.h>
static uint64_t number(const unsigned char **at) {
  uint64_t value = 0; int shift = 0; unsigned char byte;
  do { byte = *(*at)++; value |= (uint64_t)(byte & 127) << shift; shift += 7; } while (byte & 128);
  return value;
}
_Unwind_Reason_Code mine(int version, _Unwind_Action actions, _Unwind_Exception_Class type, struct _Unwind_Exception *exception, struct _Unwind_Context *context) {
  const unsigned char *at = (const void *)_Unwind_GetLanguageSpecificData(context);
  uintptr_t start = _Unwind_GetRegionStart(context), ip = _Unwind_GetIP(context) - 1;
  if (!at || *at++ != 0xff) return _URC_CONTINUE_UNWIND;
  if (*at++ != 0xff) number(&at);
  unsigned char encoding = *at++;
  uint64_t length = number(&at);
  for (const unsigned char *end = at + length; at < end;) {
    uint64_t base, size, pad;
    if (encoding == 1) { base = number(&at); size = number(&at); pad = number(&at); }
    else { const uint32_t *words = (const void *)at; base = words[0]; size = words[1]; pad = words[2]; at += 12; }
    uint64_t action = number(&at);
    if (ip < start + base || ip >= start + base + size || !pad || !action) continue;
    if (actions & _UA_SEARCH_PHASE) return _URC_HANDLER_FOUND;
    _Unwind_SetGR(context, 0, (uintptr_t)exception);
    _Unwind_SetGR(context, 1, 1);
    _Unwind_SetIP(context, start + pad);
    return _URC_INSTALL_CONTEXT;
  }
  return _URC_CONTINUE_UNWIND;
}`,
    ),
  );
  const object = add(
    `
declare i32 @mine(...)
declare void @_Unwind_DeleteException(ptr)
declare void @nothing()
define void @bad() noinline {
 call void @nothing()
 store volatile i32 1, ptr null
 ret void
}
define i32 @run() personality ptr @mine {
  invoke void @bad() to label %ok unwind label %pad
ok:
  ret i32 1
pad:
  %caught = landingpad { ptr, i32 } catch ptr null
  %exception = extractvalue { ptr, i32 } %caught, 0
  call void @_Unwind_DeleteException(ptr %exception)
  ret i32 2
}`,
    { imports: { mine: personality.get('mine').entry, nothing: hostFunction('void ()', () => undefined) } },
  );
  for (let i = 0; i < 20; i++) {
    expect(object.get('run')()).toBe(2);
    expect(errorOf(() => object.get('bad')())).toBeInstanceOf(TrapError);
  }
});
