/**
 * Programs with everything in them that a saved code object has to keep.
 *
 * In: nothing. Out: IR text, what it imports, and what it computes. Always true: `run` gives the same on every machine, in every Jit, wherever
 * the code object is; it calls `move` where it can be moved.
 */
import { hostFunction, type CodeObject, type CompileOptions, type Jit } from 'nomad-jit';
import { i32Host } from './hosts';
import { compileC } from './tools';

export interface SavedProgram {
  readonly name: string;
  readonly source: string;
  readonly imports?: (jit: Jit, log: number[]) => NonNullable<CompileOptions['imports']>;
  readonly run: (object: CodeObject, move: () => void) => unknown[];
}

/** Calls `name` with each argument, and moves the code object between the calls. */
function calls(name: string, args: ReadonlyArray<readonly unknown[]>): SavedProgram['run'] {
  return (object, move) =>
    args.map((each) => {
      const result: unknown = object.get(name)(...each);
      move();
      return [result, object.get(name)(...each)];
    });
}

const everything = `int helper(int); int host(int); unsigned long strlen(const char *); int toupper(int);
extern int optional(int) __attribute__((weak));
static int counters[4] = {1, 2, 3, 4};
int *volatile kept = &counters[2];
int total = 5;
const int limits[3] = {10, 20, 30};
static const char *const names[] = {"zero", "one", "two"};
static int zeros[1000];
static int add(int x) { return x + 1; }
static int (*const operations[])(int) = {add, helper, host, toupper};
int (*volatile chosen)(int) = add;
__attribute__((noinline)) static int pick(int op, int x) {
  switch (op) {
    case 0: return x + 1;
    case 1: return x * 2;
    case 2: return helper(x);
    case 3: return x ^ 7;
    case 4: return *kept + x;
    case 5: return host(x) + (int)strlen(names[x % 3]);
    case 6: return operations[x & 3](x);
    default: return names[op % 3][0] + chosen(x);
  }
}
int run(int op, int x) { zeros[x]++; total += x; return pick(op, x) + pick(op + 1, x) + zeros[x] + total + limits[x % 3] + (optional ? optional(x) : 0); }`;

const exceptions = `extern "C" int host(int); extern "C" void note(int);
struct Noisy { int id; Noisy(int i) : id(i) { note(i); } ~Noisy() { note(-id); } };
static Noisy first(7);
extern "C" __attribute__((noinline)) int thrower(int x) { Noisy a(1); int y = host(x); if (y > 5) throw y; return y; }
extern "C" int catching(int x) { Noisy d(4); try { return thrower(x); } catch (int e) { return e * 10 + host(0); } }`;

const jumping = `typedef long jmp_buf_like[25];
int _setjmp(void *) __attribute__((returns_twice)); void longjmp(void *, int) __attribute__((noreturn)); int host(int);
static jmp_buf_like place;
__attribute__((noinline)) static void deep(int n) { host(n); if (n == 0) longjmp(place, 5); deep(n - 1); }
int run(int n) { volatile int times = 0; int r = _setjmp(place); times++; if (r == 0) deep(n); return r * 100 + times * 10 + n; }`;

const threadLocals = `_Thread_local int seeded = 40; static _Thread_local char zero[100];
int next(int i) { zero[i]++; return ++seeded * 10 + zero[i]; }`;

const helper = 'define i32 @helper(i32 %x) { %r = mul i32 %x, 3 ret i32 %r }';
const host = (): ReturnType<typeof i32Host> => i32Host((x) => x + 2);
const pairs = [0, 1, 2, 3, 4, 5, 6, 8].flatMap((op) => [[op, 10 + op] as const, [op, op] as const]);

export const savedPrograms: readonly SavedProgram[] = [
  {
    name: 'calls, slots, pointers in data, constants, a jump table',
    source: compileC('c', everything),
    imports: (jit) => ({ helper: jit.load(helper).get('helper'), host: host() }),
    run: (object, move) => [calls('run', pairs)(object, move), object.readGlobal('total')],
  },
  {
    name: 'C++ exceptions, constructors, destructors',
    source: compileC('c++', exceptions),
    imports: (_, log) => ({ host: i32Host((x) => x), note: hostFunction('void (i32)', (id: number) => void log.push(id)) }),
    run: calls('catching', [[3], [9]]),
  },
  {
    name: 'setjmp',
    source: compileC('c', jumping),
    imports: () => ({ host: host() }),
    run: calls('run', [[0], [3], [9]]),
  },
  { name: 'thread-local variables', source: compileC('c', threadLocals), run: calls('next', [[0], [99], [0]]) },
  {
    name: 'nothing but libc',
    source: 'declare i32 @toupper(i32) define i32 @f(i32 %x) { %y = tail call i32 @toupper(i32 %x) ret i32 %y }',
    run: calls('f', [[97], [98]]),
  },
];
