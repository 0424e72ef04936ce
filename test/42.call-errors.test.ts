/**
 * Calls that are refused: wrong arguments, functions that JS can't call, globals that JS can't read.
 */
import { JitError, SignatureError, StateError, UnresolvedSymbolError, type CodeObject } from 'nomad-jit';
import { errorOf, expectWorking, makeJit } from './support/jits';
import { add, returning } from './support/programs';

const program = `${['i1', 'i8', 'i16', 'i32', 'i64', 'float', 'double', 'ptr']
  .map((kind) => `define void @${kind}(${kind} %value, i32 %other) { ret void }`)
  .join('\n')}
define void @nameless(i32, i32) { ret void }
define i32 @none() { ret i32 1 }`;

const numbers = [1, -1, 0.5];
const nothing: unknown[] = [undefined, Symbol('s'), {}, [], 'text', () => 1, new Date()];
const wrong: Record<string, unknown[]> = {
  i1: [...nothing, null, 0, 1, 1n],
  i8: [...nothing, null, true, 1n],
  i16: [...nothing, null, true, 1n],
  i32: [...nothing, null, true, 1n, Object(3)],
  i64: [...nothing, null, true, 0.5, NaN, Infinity, 2 ** 53, -(2 ** 53), Object(3n)],
  float: [...nothing, null, true, 1n],
  double: [...nothing, null, true, 1n],
  ptr: [...nothing, true, ...numbers],
};

describe.each(['0', '1'])('NOMAD_JIT_NO_CODEGEN=%s', (noCodegen) => {
  beforeAll(() => {
    process.env.NOMAD_JIT_NO_CODEGEN = noCodegen;
  });
  afterAll(() => {
    delete process.env.NOMAD_JIT_NO_CODEGEN;
  });

  test.each(Object.keys(wrong))('a wrong value for %s is a TypeError that names function, parameter and type', (kind) => {
    const call = makeJit().load(program).get(kind);
    for (const value of wrong[kind]!) {
      const error = errorOf(() => call(value, 1));
      expect(error).toBeInstanceOf(TypeError);
      expect(error.message).toContain(`${kind}: parameter 'value' (${kind}) must be`);
      expect(error.message.length).toBeLessThan(300);
    }
  });

  test('a parameter without a name is named by its number; of several wrong ones the first is named', () => {
    const object = makeJit().load(program);
    expect(errorOf(() => object.get('nameless')(1, 'x')).message).toMatch(/nameless: parameter 1 \(i32\)/);
    expect(errorOf(() => object.get('i32')('x', 'y')).message).toMatch(/parameter 'value'/);
  });

  test('a wrong number of arguments is a TypeError with type and both numbers', () => {
    const object = makeJit().load(program);
    const [none, two] = [object.get('none'), object.get('i32')];
    for (const [run, message] of [
      [() => none(1), /none: i32 \(\) takes 0 arguments, but got 1/],
      [() => two(1), /i32: void \(i32, i32\) takes 2 arguments, but got 1/],
      [() => two(), /takes 2 arguments, but got 0/],
      [() => two(1, 2, undefined), /takes 2 arguments, but got 3/],
    ] as const) {
      const error = errorOf(run);
      expect(error).toBeInstanceOf(TypeError);
      expect(error.message).toMatch(message);
    }
    expect(none()).toBe(1);
  });

  test('after a refused call the next one works', () => {
    const sum = makeJit().load(add).get('add');
    for (let i = 0; i < 100; i++) {
      errorOf(() => sum(i, 'x'));
      expect(sum(i, 1)).toBe(i + 1);
    }
  });
});

const uncallable: Array<[string, string, RegExp]> = [
  ['variable arguments', 'define i32 @f(i32 %x, ...) { ret i32 %x }', /variable arguments/],
  ['a struct by value', 'define i32 @f({ i32, i32 } %x) { ret i32 1 }', /parameter 0.*\{ i32, i32 \}/],
  ['a struct as the result', 'define { i32, i64 } @f() { ret { i32, i64 } zeroinitializer }', /returns \{ i32, i64 \}/],
  ['a vector', 'define void @f(i32 %x, <4 x float> %v) { ret void }', /parameter 1.*<4 x float>/],
  ['a vector as the result', 'define <2 x i64> @f() { ret <2 x i64> zeroinitializer }', /<2 x i64>/],
  ['i24', 'define void @f(i24 %x) { ret void }', /i24/],
  ['i128', 'define i128 @f(i128 %x) { ret i128 %x }', /i128/],
  ['half', 'define void @f(half %x) { ret void }', /half/],
  ['x86_fp80', 'define x86_fp80 @f() { ret x86_fp80 0xK00000000000000000000 }', /x86_fp80/],
  ['an array', 'define void @f([2 x i32] %x) { ret void }', /\[2 x i32\]/],
  ['fastcc', 'define fastcc i32 @f(i32 %x) { ret i32 %x }', /calling convention/],
  ['another calling convention', 'define win64cc i32 @f(i32 %x) { ret i32 %x }', /calling convention/],
  ['byval', 'define void @f(ptr byval(i64) %x) { ret void }', /byval/],
  ['a pointer of another address space', 'define void @f(ptr addrspace(1) %x) { ret void }', /addrspace\(1\)/],
  ['more parameters than 1000', `define void @f(${Array.from({ length: 1001 }, () => 'i32').join(', ')}) { ret void }`, /1000/],
];

test.each(uncallable)('%s: compiling is no error, get is a SignatureError that says why', (_, source, message) => {
  const jit = makeJit();
  const object = jit.load(source);
  const error = errorOf(() => object.get('f'));
  expect(error).toBeInstanceOf(SignatureError);
  expect([error.code, error.name]).toEqual(['ERR_SIGNATURE', 'SignatureError']);
  expect(error.message).toMatch(message);
  expect(error.message).toContain("'f'");
  expect(object.functions.get('f')!.refusal).toMatch(message);
  expectWorking(jit);
});

test('get: a name that is not exported is an UnresolvedSymbolError with a suggestion', () => {
  const object = makeJit().load(`${add}\n@total = global i32 0\ndefine internal i32 @hidden() { ret i32 1 }`, { name: 'mine' });
  for (const [name, message] of [
    ['addd', /'mine'.*'addd'.*'add'/],
    ['hidden', /'hidden'/],
    ['total', /'total'/],
    ['', /''/],
    ['__proto__', /__proto__/],
  ] as const) {
    const error = errorOf(() => object.get(name));
    expect(error).toBeInstanceOf(UnresolvedSymbolError);
    expect(error.symbols).toEqual([name]);
    expect(error.message).toMatch(message);
  }
  for (const name of [undefined, null, 7, {}, Symbol('x')])
    expect(errorOf(() => object.get(name as never))).toBeInstanceOf(TypeError);
});

describe('globals', () => {
  const globals = `@b = global i1 true
@c = global i8 -1
@s = global i16 300
@i = global i32 70000
@l = global i64 -5
@f = global float 1.5
@d = global double 2.5
@p = global ptr null
@constant = constant i32 9
@array = global [2 x i32] [i32 1, i32 2]
@wide = global i128 1
${add}`;

  test('each kind is read and written by its IR type', () => {
    const object = makeJit().load(globals);
    expect(['b', 'c', 's', 'i', 'l', 'f', 'd', 'p', 'constant'].map((name) => object.readGlobal(name))).toEqual([
      true,
      -1,
      300,
      70000,
      -5n,
      1.5,
      2.5,
      0n,
      9,
    ]);
    const callable = object.get('add');
    const written: Array<[string, unknown, unknown]> = [
      ['b', false, false],
      ['c', 200, -56],
      ['s', 65536 + 7, 7],
      ['i', 2 ** 31, -(2 ** 31)],
      ['l', 7, 7n],
      ['l', 2n ** 63n, -(2n ** 63n)],
      ['f', 0.1, Math.fround(0.1)],
      ['d', -0, -0],
      ['p', 5n, 5n],
      ['p', null, 0n],
      ['p', callable, callable.entry],
      ['p', -1n, 2n ** 64n - 1n],
    ];
    for (const [name, value, expected] of written) {
      object.writeGlobal(name, value as number);
      expect(object.readGlobal(name)).toBe(expected);
    }
    expect(['b', 'c', 's', 'i'].map((name) => object.readGlobal(name))).toEqual([false, -56, 7, -(2 ** 31)]);
  });

  test('wrong values, constants, aggregates, functions and unknown names are refused', () => {
    const object = makeJit().load(globals);
    for (const [name, value] of [
      ['b', 1],
      ['c', '1'],
      ['i', 1n],
      ['l', 0.5],
      ['f', null],
      ['p', 5],
      ['p', new Uint8Array(1)],
      ['constant', 1],
    ] as const) {
      const error = errorOf(() => object.writeGlobal(name, value as never));
      expect(error).toBeInstanceOf(TypeError);
      expect(error.message).toContain(`'${name}'`);
    }
    for (const name of ['array', 'wide']) {
      expect(errorOf(() => object.readGlobal(name))).toBeInstanceOf(SignatureError);
      expect(errorOf(() => object.writeGlobal(name, 1))).toBeInstanceOf(SignatureError);
    }
    for (const name of ['nope', 'add']) {
      expect(errorOf(() => object.readGlobal(name))).toBeInstanceOf(UnresolvedSymbolError);
      expect(errorOf(() => object.writeGlobal(name, 1))).toBeInstanceOf(UnresolvedSymbolError);
    }
    expect(errorOf(() => object.addressOf('nope'))).toMatchObject({ code: 'ERR_UNRESOLVED_SYMBOL', symbols: ['nope'] });
    expect(errorOf(() => object.addressOf(7 as never))).toBeInstanceOf(TypeError);
  });
});

test("errors are of this realm's classes, jest's own", () => {
  const jit = makeJit();
  const errors = [
    errorOf(() => jit.compile('gibberish')),
    errorOf(() => jit.compile(add, { imports: { x: 2n ** 64n } })),
    errorOf(() => jit.load(add).get('add')('x', 1)),
    errorOf(() => jit.load('', { name: '' })),
  ];
  for (const error of errors) expect(error).toBeInstanceOf(Error);
  expect(errors[0]).toBeInstanceOf(JitError);
  expect(errors[1]).toBeInstanceOf(RangeError);
  expect(errors[2]).toBeInstanceOf(TypeError);
  expect(errors[0]!.stack).toMatch(/^IRParseError: [^]*42\.call-errors/);
});

test('a thrown StateError names the function and the code object', () => {
  const object = makeJit().load(add, { name: 'adder' });
  const sum = object.get('add');
  object.free();
  const error = errorOf(() => sum(1, 2));
  expect(error).toBeInstanceOf(StateError);
  expect(error.message).toMatch(/add.*'adder'.*freed/);
});

describe('suggestions', () => {
  const names = ['alpha', 'alphb', 'alphc', 'alphd', 'beta', 'x'];
  const object = (): CodeObject => makeJit().load(names.map((name, i) => returning(name, i)).join('\n'));

  test.each([
    ['alpho', " Did you mean 'alpha' or 'alphb' or 'alphc'?"], // three at most
    ['alphdd', " Did you mean 'alphd' or 'alpha' or 'alphb'?"], // the nearest first
    ['bet', " Did you mean 'beta'?"],
    ['y', " Did you mean 'x'?"],
    ['gamma', ''],
    ['betray', " Did you mean 'beta'?"],
    ['betrayed', ''],
    ['alp', ''],
    ['alphabets', ''],
  ])('%s:%s', (wanted, text) => {
    const { message } = errorOf(() => object().get(wanted));
    expect(message.slice(message.indexOf(`'${wanted}'.`))).toBe(`'${wanted}'.${text}`);
  });
});
