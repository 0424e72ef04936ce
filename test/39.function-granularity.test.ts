/**
 * A code object for each function: what refers to what, moves of one at a time, deaths, and what ties functions to the rest of their module.
 * Oracle: known answers, and the same module compiled whole.
 */
import {
  CompileResult,
  CopyingCollector,
  Jit,
  StateError,
  UnresolvedSymbolError,
  UnsupportedError,
  type CodeObject,
} from 'nomad-jit';
import { i32Host } from './support/hosts';
import { errorOf, makeJit, rejectionOf } from './support/jits';
import { cxxThrowAndCatch, computedGoto, jumpTable, dispatchModel } from './support/programs';
import { randomIntegers, seed } from './support/random';
import { expectSame } from './support/same';
import { compileC } from './support/tools';

const program = compileC(
  'c',
  `#include <stdlib.h>
   #include <string.h>
   #define APART __attribute__((noinline))
   int helper(int);
   static int state = 5;
   int shared[3] = {1, 2, 3};
   static const char *const names[] = {"zero", "one", "two"};
   APART static int private(int x) { return x * 3 + state; }
   APART int isOdd(unsigned x);
   APART int isEven(unsigned x) { if (x == 0) return 1; int r = isOdd(x - 1); __asm__ volatile(""); return r; }
   APART int isOdd(unsigned x) { if (x == 0) return 0; int r = isEven(x - 1); __asm__ volatile(""); return r; }
   int pick(int op, int x) {
     switch (op) { case 0: return x + 1; case 1: return x * 2; case 2: return helper(x); case 3: return x ^ 7;
                   case 4: return private(x); case 5: return abs(x) + 3; default: return names[op % 3][0]; }
   }
   double scale(double x) { return x * 3.25 + 0.5; }
   double scaleToo(double x) { return x * 3.25 + 0.75; }
   int bump(void) { return ++state + shared[2]; }
   int length(int i) { return (int)strlen(names[i]) + "hello"[i]; }
   typedef int (*Function)(int);
   APART Function choose(int which) { return which ? private : helper; }
   int callChosen(int which, int x) { return choose(which)(x); }
   static int less(const void *a, const void *b) { return *(const int *)a - *(const int *)b; }
   int sorted(int x) { int v[4] = {x, 3, 9, 1}; qsort(v, 4, sizeof *v, less); return v[0] * 1000 + v[1] * 100 + v[2] * 10 + v[3]; }`,
);
const helperSource = 'define i32 @helper(i32 %x) {\n %r = mul i32 %x, 7\n ret i32 %r\n}';

const variants = ([0, 2] as const).flatMap((optLevel) => (['code', 'all'] as const).map((moves) => ({ optLevel, moves })));

interface Callables {
  readonly get: (name: string) => (...args: number[]) => unknown;
}

function results({ get }: Callables): unknown[] {
  return [
    ...[0, 1, 2, 3, 4, 5, 6, 7, 8].map((op) => get('pick')(op, 4)),
    ...[get('scale')(2), get('scaleToo')(2), get('length')(2), get('isEven')(10), get('isOdd')(7)],
    ...[get('callChosen')(0, 3), get('callChosen')(1, 3), get('sorted')(5)],
  ];
}

const expected = [5, 8, 28, 3, 17, 7, 122, 111, 116, 7, 7.25, 111, 1, 1, 21, 14, 1359];

function load(
  jit: Jit,
  options: { optLevel: 0 | 2; moves: 'code' | 'all' },
): { parts: CompileResult; space: ReturnType<Jit['createSpace']>; calls: Callables } {
  const helper = jit.load(helperSource);
  const space = jit.createSpace();
  const parts = jit
    .compile(program, { ...options, name: 'mod', granularity: 'function', imports: { helper: helper.get('helper') } })
    .place(space);
  return { parts, space, calls: { get: (name) => parts.get(name) } };
}

describe.each(variants)('O$optLevel, moves: $moves', (options) => {
  test('each function is a code object; they move one by one and together', () => {
    const jit = makeJit();
    const { parts, space, calls } = load(jit, options);
    expect(parts.objects.length).toBeGreaterThanOrEqual(12);
    expect(results(calls)).toEqual(expected);
    const move = (object: CodeObject): [CodeObject, ReturnType<typeof space.allocate>] => {
      const at = space.allocate(object);
      return [object, options.moves === 'all' ? at : { space, code: at.code }];
    };
    for (const object of [...parts, ...parts]) {
      if (object.sizes.code === 0 && options.moves === 'code') continue;
      object.relocate(move(object)[1]);
      expect(results(calls)).toEqual(expected);
    }
    for (let i = 0; i < 3; i++) {
      jit.relocate(parts.objects.map(move));
      expect(results(calls)).toEqual(expected);
    }
    expect(calls.get('bump')()).toBe(9);
  });

  test('references are those of the code', () => {
    const { parts } = load(makeJit(), options);
    const named = (symbol: string): string[] =>
      parts
        .object(symbol)!
        .references.map(({ name }) => name.replace('mod:', ''))
        .sort();
    expect(named('isEven')).toEqual(['isOdd']);
    expect(named('isOdd')).toEqual(['isEven']);
    expect(named('scale')).toEqual([]);
    expect(named('bump')).toEqual(['mod']);
    expect(named('pick')).toEqual(expect.arrayContaining(['private', 'mod']));
    expect(parts.object('shared')).toBe(parts.rest);
  });

  test('constants that one function uses are its own, and so are copies of the constant pool', () => {
    const { parts } = load(makeJit(), options);
    const bytes = ({ sizes }: CodeObject): number => (options.moves === 'code' ? sizes.constants : sizes.code);
    expect(bytes(parts.object('length')!)).toBeGreaterThan(0);
    expect(parts.object('scale')!.references).toEqual([]);
    expect(parts.rest.sizes.data).toBeGreaterThan(0);
  });
});

test('each function dies on its own, and what it refers to with the last who refers to it', async () => {
  const jit = makeJit();
  const collector = new CopyingCollector(jit);
  const helper = collector.compile(helperSource);
  let parts: CompileResult | undefined = collector.compile(program, {
    granularity: 'function',
    imports: { helper: helper.get('helper') },
  });
  const scale = parts.get('scale');
  const isEven = parts.get('isEven');
  const bump = parts.get('bump');
  expect(results({ get: (name) => parts!.get(name) })).toEqual(expected);
  const all = parts.objects.length;
  expect(collector.collect('major').liveObjects).toBe(all + 1);
  parts = undefined;
  const settle = async (): Promise<number> => {
    for (let i = 0; i < 10; i++) {
      await new Promise((resolve) => setTimeout(resolve, 5));
      globalThis.gc!();
      collector.collect('major');
    }
    return collector.collect('major').liveObjects;
  };
  expect(await settle()).toBe(5 + 1); // scale, isEven, isOdd, bump, the rest; helper
  expect([scale(2), isEven(8), bump()]).toEqual([7, 1, 9]);
  expect(collector.collect('minor').liveObjects).toBe(6);
});

test('the same as a whole, in a collector, moved at every call of a host function', () => {
  const jit = makeJit();
  const collector = new CopyingCollector(jit, { zeal: true });
  const source = compileC(
    'c',
    `int host(int);
     static int count;
     __attribute__((noinline)) static int twice(int x) { count++; return host(x) * 2; }
     __attribute__((noinline)) int deep(int x) { return x <= 0 ? twice(1) : deep(x - 1) + twice(x); }
     int counted(void) { return count; }`,
  );
  const host = i32Host((x) => x + 1);
  const whole = collector.compile(source, { imports: { host } });
  const parts = collector.compile(source, { imports: { host }, granularity: 'function' });
  for (const depth of [0, 3, 20]) expect(parts.get('deep')(depth)).toBe(whole.get('deep')(depth));
  expect(parts.get('counted')()).toBe(whole.get('counted')());
});

test(`random modules: as compiled whole, whatever moves (seed ${seed})`, () => {
  const next = randomIntegers();
  for (let round = 0; round < 12; round++) {
    const count = 2 + next(12);
    const lines: string[] = [
      '@state = internal global i32 3',
      '@pool = internal constant [4 x i32] [i32 1, i32 7, i32 9, i32 4]',
    ];
    for (let i = 0; i < count; i++) {
      const callee = next(count);
      const isShared = next(2) === 0;
      lines.push(
        `define ${next(3) === 0 ? 'internal ' : ''}i32 @f${i}(i32 %n) noinline {`,
        ' %stop = icmp sle i32 %n, 0',
        ' br i1 %stop, label %end, label %go',
        'go:',
        ' %less = sub i32 %n, 1',
        ` %r = call i32 @f${callee}(i32 %less)`,
        ` %at = getelementptr [4 x i32], ptr @pool, i32 0, i32 ${next(4)}`,
        ` %c = load i32, ptr ${isShared ? '%at' : '@state'}`,
        ` %s = add i32 %r, %c`,
        ' ret i32 %s',
        'end:',
        ` ret i32 ${next(100)}`,
        '}',
      );
    }
    lines.push('define i32 @main(i32 %n) {');
    for (let i = 0; i < count; i++) lines.push(` %v${i} = call i32 @f${i}(i32 %n)`);
    lines.push(` %s0 = add i32 %v0, 0`);
    for (let i = 1; i < count; i++) lines.push(` %s${i} = add i32 %s${i - 1}, %v${i}`);
    lines.push(` ret i32 %s${count - 1}`, '}');
    const jit = makeJit();
    const source = lines.join('\n');
    const optLevel = next(2) === 0 ? 0 : 2;
    const whole = jit.load(source, { optLevel }).get('main')(9);
    const space = jit.createSpace();
    const parts = jit.compile(source, { optLevel, granularity: 'function' }).place(space);
    for (let move = 0; move < 15; move++) {
      expect(parts.get('main')(9)).toBe(whole);
      const moving = parts.objects.filter(({ sizes }) => sizes.code > 0 && next(2) === 0);
      jit.relocate(moving.map((object) => [object, { space, code: space.allocate(object).code }] as const));
    }
    jit.dispose();
  }
});

describe('what ties functions to the rest', () => {
  const jitAndSpace = (): { jit: Jit; space: ReturnType<Jit['createSpace']> } => {
    const jit = makeJit();
    return { jit, space: jit.createSpace() };
  };

  test('jump tables, labels in tables, exceptions', () => {
    const { jit, space } = jitAndSpace();
    const parts = [jumpTable, computedGoto, cxxThrowAndCatch].map((source) =>
      jit.compile(source, { granularity: 'function' }).place(space),
    );
    for (let i = 0; i < 3; i++) {
      expect([0, 1, 2, 3, 4, 9].map((op) => parts[0]!.get('dispatch')(op, 11))).toEqual(
        [0, 1, 2, 3, 4, 9].map((op) => dispatchModel(op, 11)),
      );
      for (const object of parts.flatMap(({ objects }) => [...objects]))
        if (object.sizes.code > 0) object.relocate({ space, code: space.allocate(object).code });
    }
  });

  test('C++ exceptions cross parts that have moved', () => {
    const { jit, space } = jitAndSpace();
    const source = compileC(
      'c++',
      `struct Guard { int *at; ~Guard() { *at += 100; } };
       __attribute__((noinline)) static void raise(int x) { if (x > 2) throw x; }
       __attribute__((noinline)) static void pass(int x, int *log) { Guard guard{log}; raise(x); }
       extern "C" int run(int x) { int log = 0; try { pass(x, &log); return log; } catch (int y) { return log + y; } }`,
    );
    const parts = jit.compile(source, { granularity: 'function' }).place(space);
    for (let i = 0; i < 5; i++) {
      expect([1, 5].map((x) => parts.get('run')(x))).toEqual([100, 105]);
      for (const object of parts) if (object.sizes.code > 0) object.relocate({ space, code: space.allocate(object).code });
    }
  });

  test('constructors run when all is placed; exit handlers and destructors when the rest is freed', () => {
    const { jit, space } = jitAndSpace();
    const log: number[] = [];
    const note = i32Host((x) => (log.push(x), 0));
    const source = compileC(
      'c++',
      `extern "C" int note(int);
       struct Noted { int x; Noted(int x) : x(x) { note(x); } ~Noted() { note(-x); } };
       static Noted first(1), second(2);
       extern "C" int sum() { return first.x + second.x; }`,
    );
    const parts = jit.compile(source, { granularity: 'function', imports: { note } });
    expect(log).toEqual([]);
    parts.place(space);
    expect(log).toEqual([1, 2]);
    expect(parts.get('sum')()).toBe(3);
    jit.dispose();
    expect(log).toEqual([1, 2, -2, -1]);
  });
});

describe('errors', () => {
  const two =
    'define i32 @a(i32 %x) noinline {\n %r = call i32 @b(i32 %x)\n ret i32 %r\n}\ndefine i32 @b(i32 %x) noinline {\n %s = icmp eq i32 %x, 0\n br i1 %s, label %e, label %g\ng:\n %d = sub i32 %x, 1\n %r = call i32 @a(i32 %d)\n ret i32 %r\ne:\n ret i32 42\n}';

  test('who refers to what is not placed can not be placed alone; together they can', () => {
    const jit = makeJit();
    const space = jit.createSpace();
    const parts = jit.compile(two, { granularity: 'function', name: 'two' });
    const a = parts.object('a')!;
    expect(errorOf(() => a.place(space.allocate(a)))).toBeInstanceOf(StateError);
    space.release({ space, code: 0 }, a);
    expect(parts.place(space).get('a')(5)).toBe(42);
    expect(parts.place(space).get('b')(4)).toBe(42);
  });

  test('a full space: nothing is placed, nothing reserved', () => {
    const jit = makeJit();
    const small = jit.createSpace({ codeBytes: 4096, constantBytes: 0, dataBytes: 0 });
    const parts = jit.compile(program, { granularity: 'function', imports: { helper: jit.load(helperSource).get('helper') } });
    const before = small.usedBytes;
    expect(errorOf(() => parts.place(small)).code).toBe('ERR_SPACE_FULL');
    expect([small.usedBytes, ...parts.objects.map(({ state }) => state)]).toEqual([
      before,
      ...parts.objects.map(() => 'unplaced'),
    ]);
    expect(parts.place(jit.createSpace()).get('scale')(2)).toBe(7);
  });

  test('what can not be had', async () => {
    const jit = makeJit();
    expect(errorOf(() => jit.compile(two, { granularity: 'function', retain: 'object' }))).toBeInstanceOf(UnsupportedError);
    expect(errorOf(() => makeJit({ linker: 'runtimedyld' }).compile(two, { granularity: 'function' }))).toBeInstanceOf(
      UnsupportedError,
    );
    expect(errorOf(() => jit.compile(two, { granularity: 'block' as 'function' }))).toBeInstanceOf(RangeError);
    expect(await rejectionOf(jit.compileAsync(two, { granularity: 'function' } as never))).toBeInstanceOf(UnsupportedError);
    const parts = jit.load(two, { granularity: 'function', name: 'two' });
    expect(errorOf(() => parts.get('c'))).toBeInstanceOf(UnresolvedSymbolError);
    expect(parts.object('c')).toBeUndefined();
    expect(parts.name).toBe('two');
    expectSame(parts, parts.objects);
    expect(
      errorOf(() =>
        jit.compile('declare void @noSuch()\ndefine void @f() {\n call void @noSuch()\n ret void\n}', {
          granularity: 'function',
        }),
      ).symbols,
    ).toEqual(['noSuch']);
  });

  test("retain: 'none' is placed once", () => {
    const parts = makeJit().load(two, { granularity: 'function', retain: 'none' });
    expect(parts.get('a')(3)).toBe(42);
    const { placement } = parts.object('a')!;
    expect(errorOf(() => parts.object('a')!.relocate(placement!))).toBeInstanceOf(StateError);
  });
});

test('functions whose names look like constant pools', () => {
  const jit = makeJit();
  for (const name of ['cstm', 'cst8', 'cst16'])
    for (const granularity of ['function', 'module'] as const) {
      const source = jumpTable.replaceAll('@dispatch', `@${name}`);
      const space = jit.createSpace();
      const object =
        granularity === 'function' ? jit.compile(source, { granularity }).place(space).object(name)! : jit.load(source);
      for (let i = 0; i < 3; i++) {
        expect([0, 1, 2, 3, 4, 9].map((op) => object.get(name)(op, 11))).toEqual(
          [0, 1, 2, 3, 4, 9].map((op) => dispatchModel(op, 11)),
        );
        object.relocate({ space, code: space.allocate(object).code });
      }
    }
});
