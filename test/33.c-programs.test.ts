/**
 * What C and C++ programs expect of the system below them: constructors, destructors, exit handlers, thread-local variables, libc.
 */
import { StateError, UnresolvedSymbolError, type CodeObject, type Jit } from 'nomad-jit';
import { codeAt, errorOf, expectWorking, makeJit } from './support/jits';
import { calling } from './support/programs';
import { compileC } from './support/tools';

/** A log that outlives other Jits: `log(int)`, as an address to import, and what was logged. */
function makeLog(): { address: bigint; entries: () => number[] } {
  const object = makeJit().load(`@entries = global [100 x i32] zeroinitializer
@count = global i32 0
define void @log(i32 %x) {
  %n = load i32, ptr @count
  %at = getelementptr [100 x i32], ptr @entries, i32 0, i32 %n
  store i32 %x, ptr %at
  %next = add i32 %n, 1
  store i32 %next, ptr @count
  ret void
}
define i32 @entry(i32 %i) {
  %at = getelementptr [100 x i32], ptr @entries, i32 0, i32 %i
  %x = load i32, ptr %at
  ret i32 %x
}`);
  const entry = object.get('entry');
  const entries = () => Array.from({ length: object.readGlobal('count') as number }, (_, i) => entry(i));
  return { address: object.get('log').entry, entries };
}

/** Constructors 1 and 2, destructors 9 and 8, and exit handlers, all of which log; `run` registers the exit handlers 3 and 4. */
const structors = `declare void @log(i32)
declare i32 @atexit(ptr)
declare i32 @__cxa_atexit(ptr, ptr, ptr)
@__dso_handle = external global i8
@llvm.global_ctors = appending global [2 x { i32, ptr, ptr }] [{ i32, ptr, ptr } { i32 200, ptr @second, ptr null }, { i32, ptr, ptr } { i32 100, ptr @first, ptr null }]
@llvm.global_dtors = appending global [2 x { i32, ptr, ptr }] [{ i32, ptr, ptr } { i32 200, ptr @late, ptr null }, { i32, ptr, ptr } { i32 100, ptr @early, ptr null }]
define internal void @first() {
  call void @log(i32 1)
  ret void
}
define internal void @second() {
  call void @log(i32 2)
  ret void
}
define internal void @early() {
  call void @log(i32 8)
  ret void
}
define internal void @late() {
  call void @log(i32 9)
  ret void
}
define internal void @handler() {
  call void @log(i32 3)
  ret void
}
define internal void @handlerWith(ptr %x) {
  %n = ptrtoint ptr %x to i64
  %i = trunc i64 %n to i32
  call void @log(i32 %i)
  ret void
}
define void @run() {
  %a = call i32 @atexit(ptr @handler)
  %b = call i32 @__cxa_atexit(ptr @handlerWith, ptr inttoptr (i64 4 to ptr), ptr @__dso_handle)
  ret void
}`;

function loadStructors(jit: Jit, log: bigint): CodeObject {
  return jit.load(structors, { name: 'structors', imports: { log } });
}

describe('constructors and destructors (trap 11)', () => {
  test('constructors run once, at the first placement, by priority', () => {
    const jit = makeJit();
    const { address, entries } = makeLog();
    const object = jit.compile(structors, { imports: { log: address } });
    expect(entries()).toEqual([]);
    const space = jit.createSpace();
    object.place(space.allocate(object));
    expect(entries()).toEqual([1, 2]);
    for (let i = 50; i < 60; i++) object.relocate(codeAt(space, i));
    expect(entries()).toEqual([1, 2]);
  });

  test('free runs exit handlers, the last one first, then destructors, after moves too', () => {
    const jit = makeJit();
    const { address, entries } = makeLog();
    const object = loadStructors(jit, address);
    object.get('run')();
    object.relocate(codeAt(object.placement!.space, 77));
    object.free();
    expect(entries()).toEqual([1, 2, 4, 3, 9, 8]);
    expectWorking(jit);
  });

  test('dispose runs them too, once', () => {
    const jit = makeJit();
    const { address, entries } = makeLog();
    loadStructors(jit, address).get('run')();
    jit.dispose();
    jit.dispose();
    expect(entries()).toEqual([1, 2, 4, 3, 9, 8]);
  });

  test('what was never placed runs nothing', () => {
    const jit = makeJit();
    const { address, entries } = makeLog();
    jit.compile(structors, { imports: { log: address } }).free();
    jit.compile(structors, { imports: { log: address } });
    jit.dispose();
    expect(entries()).toEqual([]);
  });

  test('static objects of C++ with destructors', () => {
    const source = `extern "C" void log(int);
      struct Noisy { int id; Noisy(int i) : id(i) { log(i); } ~Noisy() { log(-id); } };
      static Noisy a(1), b(2);
      extern "C" int touch() { static Noisy c(3); return a.id + b.id + c.id; }`;
    const { address, entries } = makeLog();
    const object = makeJit().load(compileC('c++', source, '-fno-threadsafe-statics'), { imports: { log: address } });
    expect(object.get('touch')()).toBe(6);
    object.relocate(codeAt(object.placement!.space, 77));
    expect(object.get('touch')()).toBe(6);
    object.free();
    expect(entries()).toEqual([1, 2, 3, -3, -2, -1]);
  });
});

const threadLocal = `@seeded = thread_local global i32 40
@zero = internal thread_local global [100 x i8] zeroinitializer
declare ptr @llvm.threadlocal.address.p0(ptr)
define i32 @next() {
  %at = call ptr @llvm.threadlocal.address.p0(ptr @seeded)
  %old = load i32, ptr %at
  %new = add i32 %old, 1
  store i32 %new, ptr %at
  ret i32 %new
}
define i8 @peek(i32 %i) {
  %base = call ptr @llvm.threadlocal.address.p0(ptr @zero)
  %at = getelementptr i8, ptr %base, i32 %i
  %old = load i8, ptr %at
  store i8 7, ptr %at
  ret i8 %old
}`;

describe('thread-local variables (trap 11)', () => {
  test('begin with their initial value and survive moves of code and data', () => {
    const object = makeJit().load(threadLocal);
    const { space, data } = object.placement!;
    const [next, peek] = [object.get('next'), object.get('peek')];
    for (let i = 1; i <= 20; i++) {
      expect(next()).toBe(40 + i);
      object.relocate({ space, code: 65536 + 4096 * i, data: data! + 1024 * i });
    }
    expect([peek(99), peek(99), peek(98)]).toEqual([0, 7, 0]);
  });

  test('the next code object at the same place begins anew', () => {
    const jit = makeJit();
    for (let i = 0; i < 10; i++) {
      const object = jit.load(threadLocal);
      expect([object.get('next')(), object.get('next')()]).toEqual([41, 42]);
      object.free();
    }
  });
});

describe('setjmp, recursion, large frames', () => {
  test('setjmp and longjmp', () => {
    const source = `#include <setjmp.h>
      static jmp_buf env; static void deep(int n) { if (n == 0) longjmp(env, 5); deep(n - 1); }
      int run(int n) { int r = setjmp(env); if (r == 0) deep(n); return r * 10 + n; }`;
    const object = makeJit().load(compileC('c', source));
    const run = object.get('run');
    for (let i = 0; i < 5; i++) {
      expect(run(i)).toBe(50 + i);
      object.relocate(codeAt(object.placement!.space, 100 + i));
    }
  });

  test('recursion, 10,000 deep', () => {
    const source = 'int depth(int n) { volatile char frame[32]; frame[0] = 1; return n == 0 ? 0 : frame[0] + depth(n - 1); }';
    expect(makeJit().load(compileC('c', source)).get('depth')(10_000)).toBe(10_000);
  });
});

describe('symbols', () => {
  const usesLibc =
    'declare i32 @wctob(i32)\ndeclare i32 @toupper(i32)\ndeclare i32 @rand()\n' +
    'define i32 @f(i32 %x) {\n %a = call i32 @wctob(i32 %x)\n %b = call i32 @toupper(i32 %a)\n %c = call i32 @rand()\n ret i32 %b\n}';

  test("'process', the default: code links to libc", () => {
    expect(makeJit().load(usesLibc).get('f')(97)).toBe(65);
    expect(makeJit({ symbols: 'process' }).load(usesLibc).get('f')(97)).toBe(65);
  });

  test("'none': code links to nothing of the process; imports and definitions still work", () => {
    const jit = makeJit({ symbols: 'none' });
    const error = errorOf(() => jit.compile(usesLibc));
    expect(error).toBeInstanceOf(UnresolvedSymbolError);
    expect([...(error.symbols ?? [])].sort()).toEqual(['rand', 'toupper', 'wctob']);
    jit.define('g', jit.load('define i32 @g(i32 %x) { ret i32 8 }').get('g'));
    expect(jit.load(calling('f', 'g', 1)).get('f')(0)).toBe(9);
    expectWorking(jit);
  });

  test('a list: those and no others', () => {
    const jit = makeJit({ symbols: ['wctob', 'toupper'] });
    expect(errorOf(() => jit.compile(usesLibc)).symbols).toEqual(['rand']);
    expect(jit.load(calling('f', 'wctob', 1)).get('f')(97)).toBe(98);
    expectWorking(jit);
  });

  test('what the compiler calls of its own accord is there under every policy', () => {
    const source =
      'define void @copy(ptr %to, ptr %from, i64 %n) {\n call void @llvm.memcpy.p0.p0.i64(ptr %to, ptr %from, i64 %n, i1 false)\n ret void\n}';
    const [to, from] = [new Uint8Array(100), Uint8Array.from({ length: 100 }, (_, i) => i)];
    makeJit({ symbols: 'none' }).load(source).get('copy')(to, from, 100);
    expect(to).toEqual(from);
  });

  test("node's own exports don't shadow a module's functions (trap 19)", () => {
    const source =
      'define i32 @inflate(i32 %x) noinline { ret i32 77 }\ndefine i32 @f(i32 %x) {\n %y = call i32 @inflate(i32 %x)\n ret i32 %y\n}';
    expect(makeJit().load(source).get('f')(1)).toBe(77);
  });
});

test('calls from a disposed Jit are StateErrors', () => {
  const jit = makeJit();
  const f = jit.load('define i32 @f() { ret i32 1 }').get('f');
  jit.dispose();
  expect(errorOf(() => f())).toBeInstanceOf(StateError);
});
