/**
 * Two linkers, two ways to keep code movable: nobody can tell which one a code object came from. Oracle: known answers, the other linker's
 * bytes, and a fresh link after each move (`verifyMoves`).
 */
import { Jit, StateError, type CodeObject, type CompileOptions, type JitOptions } from 'nomad-jit';
import { i32Host } from './support/hosts';
import { errorOf, makeJit } from './support/jits';
import {
  computedGoto,
  counter,
  cxxThrowAndCatch,
  dispatchModel,
  jumpTable,
  mix,
  mixModel,
  sortWithLibc,
} from './support/programs';
import { randomIntegers, seed } from './support/random';
import { compileC } from './support/tools';

const linkers = ['jitlink', 'runtimedyld'] as const;
const kept = ['relocations', 'object'] as const;
const variants = linkers.flatMap((linker) =>
  kept.flatMap((retain) =>
    ([0, 2] as const).flatMap((optLevel) => (['code', 'all'] as const).map((moves) => ({ linker, retain, optLevel, moves }))),
  ),
);

/** Statics, pointers in data, tables, libc through slots and stubs, a weak name that nobody defines, a call of another code object. */
const program = compileC(
  'c',
  `#include <stdlib.h>
   #include <string.h>
   extern void nowhere(void) __attribute__((weak));
   int helper(int);
   static int counters[4] = {1, 2, 3, 4};
   int *volatile kept = &counters[2];
   static int (*volatile operations[3])(int);
   static int one(int x) { return x + 1; }
   static int two(int x) { return (int)strlen("four") * x; }
   static int three(int x) { int *p = malloc(sizeof *p); *p = x; int r = *p * 3; free(p); return r; }
   static int (*const table[])(int) = {one, two, three, helper};
   int bump(void) { return ++*kept; }
   int through(int op, int x) { operations[op % 3] = table[op % 3]; return operations[op % 3](x); }
   int calls(int x) { return helper(x) + helper(x + 1); }
   int isNowhere(void) { return nowhere == 0; }
   double fractions(double x) { return x * 1.25 + 0.1; }`,
);

function places(jit: Jit): (object: CodeObject) => void {
  const space = jit.createSpace({ codeBytes: 64 << 20, constantBytes: 16 << 20, dataBytes: 16 << 20 });
  return (object) => {
    const at = space.allocate(object);
    if (object.state === 'placed') object.relocate(object.moves === 'all' ? at : { space, code: at.code });
    else object.place(at);
  };
}

function results(object: CodeObject): unknown[] {
  const call = (name: string, ...args: number[]): unknown => object.get(name)(...args);
  return [...[0, 1, 2].map((op) => call('through', op, 7)), ...[call('calls', 5), call('isNowhere'), call('fractions', 3)]];
}

test.each(variants)('$linker, $retain, O$optLevel, $moves: a program in C after each of 20 moves', (variant) => {
  const { linker, ...options } = variant;
  const jit = makeJit({ linker, verifyMoves: true });
  const put = places(jit);
  const helper = jit.compile('define i32 @helper(i32 %x) {\n %r = mul i32 %x, 3\n ret i32 %r\n}', options);
  put(helper);
  const object = jit.compile(program, { ...options, imports: { helper: helper.get('helper') } });
  put(object);
  for (let i = 1; i <= 20; i++) {
    expect(results(object)).toEqual([8, 28, 21, 33, 1, 3.85]);
    expect(object.get('bump')()).toBe(3 + i);
    put(i % 3 === 0 ? helper : object);
    expect(object.retain).toBe(variant.retain);
  }
});

test.each(variants)('$linker, $retain, O$optLevel, $moves: programs in IR after moves', ({ linker, ...options }) => {
  const jit = makeJit({ linker, verifyMoves: true });
  const put = places(jit);
  const compile = (source: string): CodeObject => jit.compile(source, options);
  const mixed = compile(mix);
  const dispatch = compile(jumpTable);
  const others = [computedGoto, sortWithLibc, cxxThrowAndCatch, counter].map(compile);
  const all = [mixed, dispatch, ...others];
  for (let round = 0; round < 4; round++) {
    for (const object of all) put(object);
    expect([1, 2, 3].map((x) => mixed.get('mix')(x))).toEqual([1, 2, 3].map(mixModel));
    expect([0, 1, 2, 3, 4, 9].map((op) => dispatch.get('dispatch')(op, 11))).toEqual(
      [0, 1, 2, 3, 4, 9].map((op) => dispatchModel(op, 11)),
    );
  }
});

/** A module of functions that call each other, libc and globals, with what they return. */
function generated(next: (limit: number) => number): { source: string; expected: number[] } {
  const lines = ['declare i32 @toupper(i32)', `@state = global [4 x i32] [i32 ${next(99)}, i32 2, i32 3, i32 4]`];
  const values: number[] = [];
  for (let i = 0; i < 12; i++) {
    const constant = next(1000);
    const callee = i > 0 ? next(i) : -1;
    const first = callee >= 0 && next(3) > 0 ? `call i32 @f${callee}()` : 'call i32 @toupper(i32 97)';
    values.push(((first.includes('toupper') ? 65 : values[callee]!) + constant) | 0);
    lines.push(
      `define ${next(2) === 0 ? '' : 'noinline '}i32 @f${i}() ${next(2) === 0 ? 'noinline ' : ''}{`.replace(
        'noinline i32',
        'i32',
      ),
    );
    lines.push(` %a = ${first}`, ` %b = add i32 %a, ${constant}`, ' ret i32 %b', '}');
  }
  return { source: lines.join('\n'), expected: values };
}

test(`generated modules on both linkers, moved alike (seed ${seed})`, () => {
  const next = randomIntegers();
  for (let i = 0; i < 15; i++) {
    const { source, expected } = generated(next);
    for (const { linker, ...options } of variants.filter(({ moves }) => moves === 'code')) {
      const jit = makeJit({ linker, verifyMoves: true });
      const put = places(jit);
      const object = jit.compile(source, options);
      for (let move = 0; move < 3; move++) {
        put(object);
        expect(expected.map((_, f) => object.get(`f${f}`)())).toEqual(expected);
      }
      jit.dispose();
    }
  }
});

/** Bytes of a code object's code, read by other code. */
function codeOf(object: CodeObject, reader: CodeObject, symbol: string): Buffer {
  const bytes = Buffer.alloc(object.sizes.code);
  reader.get('copy')(bytes, object.addressOf(symbol), BigInt(bytes.length));
  return bytes;
}

const copy = `declare ptr @memcpy(ptr, ptr, i64)
define void @copy(ptr %to, ptr %from, i64 %bytes) {
  call ptr @memcpy(ptr %to, ptr %from, i64 %bytes)
  ret void
}`;

// Without slots and stubs there is nothing that the linkers lay out in their own way.
test.each([0, 2] as const)('O%d: where nothing is outside, both linkers give the same bytes, at each place', (optLevel) => {
  const source = `${counter}\n${jumpTable}\n${mix}`.replaceAll(/\bnoinline\b(?= \{)/g, 'noinline nounwind');
  const images = linkers.flatMap((linker) =>
    kept.map((retain) => {
      const jit = makeJit({ linker });
      const reader = jit.load(copy);
      const space = jit.createSpace();
      const object = jit.compile(source, { optLevel, retain, moves: 'all' });
      const first = object.functions.keys().next().value!;
      object.place({ space, code: 0, data: 0 });
      return [0x1000, 0x20_0000].map((code) => {
        object.relocate({ space, code, data: code / 16 });
        return codeOf(object, reader, first).toString('hex');
      });
    }),
  );
  for (const image of images) expect(image).toEqual(images[0]);
});

describe.each(linkers)('%s', (linker) => {
  const jitWith = (options: JitOptions = {}): Jit => makeJit({ linker, ...options });
  const add = (options: CompileOptions): { jit: Jit; object: CodeObject } => {
    const jit = jitWith();
    return { jit, object: jit.load('define i32 @f(i32 %x) {\n %r = add i32 %x, 40\n ret i32 %r\n}', options) };
  };

  test("retain: 'object' keeps more than relocations; 'none' keeps nothing and never moves", () => {
    const [relocations, object, none] = (['relocations', 'object', 'none'] as const).map((retain) => add({ retain }).object) as [
      CodeObject,
      CodeObject,
      CodeObject,
    ];
    expect(relocations.relocationBytes).toBeLessThan(32);
    expect(object.relocationBytes).toBeGreaterThan(object.sizes.code);
    expect(none.relocationBytes).toBe(0);
    expect(errorOf(() => none.relocate({ space: none.placement!.space, code: 4096 }))).toBeInstanceOf(StateError);
  });

  test('freeze takes the object file, and thaw takes that one only', () => {
    const { jit, object } = add({ retain: 'object' });
    const other = jit.load('define i32 @g() {\n ret i32 1\n}', { retain: 'object' });
    const { space } = object.placement!;
    const saved = object.freeze();
    const foreign = other.freeze();
    expect(object.relocationBytes).toBe(0);
    expect(saved.length).toBeGreaterThan(object.sizes.code);
    expect(errorOf(() => object.relocate({ space, code: 8192 }))).toBeInstanceOf(StateError);
    for (const wrong of [foreign, saved.subarray(1), saved.subarray(0, 7), Buffer.concat([saved, Buffer.alloc(1)])])
      expect(errorOf(() => object.thaw(wrong))).toBeInstanceOf(StateError);
    object.thaw(saved).relocate({ space, code: 8192 });
    expect(object.get('f')(2)).toBe(42);
  });

  test("redirected calls stay redirected when code of retain: 'object' is emitted again", () => {
    const jit = jitWith({ verifyMoves: true });
    const put = places(jit);
    const compile = (source: string, options?: CompileOptions): CodeObject => {
      const object = jit.compile(source, { retain: 'object', ...options });
      put(object);
      return object;
    };
    const [old, young] = [1, 2].map((value) => compile(`define i32 @f() {\n ret i32 ${value}\n}`)) as [CodeObject, CodeObject];
    const caller = compile('declare i32 @f()\ndefine i32 @g() {\n %r = call i32 @f()\n ret i32 %r\n}', {
      imports: { f: old.get('f') },
    });
    expect(caller.get('g')()).toBe(1);
    jit.redirect(old.get('f'), young.get('f'));
    for (const object of [caller, young, caller, old, caller]) {
      put(object);
      expect(caller.get('g')()).toBe(2);
    }
  });

  test('moves while it runs, and host functions', () => {
    const jit = jitWith({ verifyMoves: true });
    const put = places(jit);
    const seen: number[] = [];
    const host = i32Host((x) => {
      put(object);
      seen.push(x);
      return x * 2;
    });
    const object = jit.compile(
      'declare i32 @host(i32)\ndefine i32 @f(i32 %x) {\n %y = call i32 @host(i32 %x)\n %z = call i32 @host(i32 %y)\n ret i32 %z\n}',
      {
        imports: { host },
        retain: 'object',
      },
    );
    put(object);
    expect(object.get('f')(3)).toBe(12);
    expect(seen).toEqual([3, 6]);
  });

  test('missing names are reported all at once', () => {
    const source =
      'declare void @noSuchA()\ndeclare void @noSuchB()\ndefine void @f() {\n call void @noSuchA()\n call void @noSuchB()\n ret void\n}';
    expect(errorOf(() => jitWith().compile(source)).symbols).toEqual(['noSuchA', 'noSuchB']);
  });
});

test('verifyMoves must be a boolean', () => {
  expect(errorOf(() => makeJit({ verifyMoves: 1 as unknown as boolean }))).toBeInstanceOf(TypeError);
});
