/**
 * Calls: every kind of value there and back.
 */
import fc from 'fast-check';
import { makeJit } from './support/jits';
import { seed, seeded } from './support/random';

/** `kind id(kind)`, for every kind. */
const identities = ['i1', 'i8', 'i16', 'i32', 'i64', 'float', 'double', 'ptr']
  .map((kind) => `define ${kind} @${kind}(${kind} %x) noinline { ret ${kind} %x }`)
  .join('\n');

const f = Math.fround;
const denormal = 2 ** -1074;

/** What goes in and what comes out; integers wrap like Int32Array's. */
const table: Record<string, Array<[unknown, unknown]>> = {
  i1: [
    [true, true],
    [false, false],
  ],
  i8: [
    [0, 0],
    [127, 127],
    [128, -128],
    [255, -1],
    [256, 0],
    [-128, -128],
    [-129, 127],
    [2 ** 32 + 5, 5],
    [1.9, 1],
    [-1.9, -1],
  ],
  i16: [
    [32767, 32767],
    [32768, -32768],
    [65535, -1],
    [65536, 0],
    [-32769, 32767],
    [2 ** 40 + 7, 7],
  ],
  i32: [
    [0, 0],
    [2 ** 31 - 1, 2 ** 31 - 1],
    [2 ** 31, -(2 ** 31)],
    [2 ** 32 - 1, -1],
    [2 ** 32, 0],
    [-(2 ** 31) - 1, 2 ** 31 - 1],
    [NaN, 0],
    [Infinity, 0],
    [-Infinity, 0],
    [-0, 0],
    [1e300, 0],
    [2.7, 2],
    [-2.7, -2],
    [2 ** 53 + 2, 2],
    [denormal, 0],
  ],
  i64: [
    [0n, 0n],
    [-1n, -1n],
    [2n ** 63n - 1n, 2n ** 63n - 1n],
    [-(2n ** 63n), -(2n ** 63n)],
    [2n ** 63n, -(2n ** 63n)],
    [2n ** 64n, 0n],
    [2n ** 64n - 1n, -1n],
    [2n ** 200n + 3n, 3n],
    [5, 5n],
    [-5, -5n],
    [0, 0n],
    [-0, 0n],
    [2 ** 53 - 1, 2n ** 53n - 1n],
    [-(2 ** 53) + 1, -(2n ** 53n) + 1n],
    [2 ** 32, 2n ** 32n],
    [-(2 ** 32), -(2n ** 32n)],
    [-1, -1n],
    [2 ** 31, 2n ** 31n],
    [-(2 ** 31), -(2n ** 31n)],
    [-(2 ** 32) - 1, -(2n ** 32n) - 1n],
  ],
  float: [
    [0, 0],
    [-0, -0],
    [0.1, f(0.1)],
    [1e300, Infinity],
    [-1e300, -Infinity],
    [NaN, NaN],
    [Infinity, Infinity],
    [1e-300, 0],
    [-1e-300, -0],
    [2 ** 24 + 1, 2 ** 24],
    [3.4028235677973366e38, Infinity],
    [3.4028234663852886e38, 3.4028234663852886e38],
    [2 ** -149, 2 ** -149],
    [1 / 3, f(1 / 3)],
  ],
  double: [
    [0, 0],
    [-0, -0],
    [0.1, 0.1],
    [NaN, NaN],
    [Infinity, Infinity],
    [-Infinity, -Infinity],
    [denormal, denormal],
    [Number.MAX_VALUE, Number.MAX_VALUE],
  ],
  ptr: [
    [null, 0n],
    [0n, 0n],
    [1n, 1n],
    [2n ** 64n - 1n, 2n ** 64n - 1n],
    [2n ** 64n, 0n],
    [-1n, 2n ** 64n - 1n],
    [2n ** 47n, 2n ** 47n],
  ],
};

describe.each(['0', '1'])('NOMAD_JIT_NO_CODEGEN=%s', (noCodegen) => {
  beforeAll(() => {
    process.env.NOMAD_JIT_NO_CODEGEN = noCodegen;
  });
  afterAll(() => {
    delete process.env.NOMAD_JIT_NO_CODEGEN;
  });

  test.each(Object.keys(table))('%s arrives and returns by the table of boundary values', (kind) => {
    const identity = makeJit().load(identities).get(kind);
    for (const [given, expected] of table[kind]!) expect([given, identity(given)]).toEqual([given, expected]);
  });

  test('void returns undefined', () => {
    expect(makeJit().load('define void @f() { ret void }').get('f')()).toBeUndefined();
  });

  test(`integers wrap and floats round as typed arrays do (seed ${seed})`, () => {
    const object = makeJit().load(identities);
    const arrays = { i8: Int8Array, i16: Int16Array, i32: Int32Array, float: Float32Array, double: Float64Array };
    const identity = Object.fromEntries(Object.keys(arrays).map((kind) => [kind, object.get(kind)]));
    const number = fc.oneof(fc.double(), fc.integer(), fc.maxSafeInteger());
    fc.assert(
      fc.property(number, fc.constantFrom(...(Object.keys(arrays) as Array<keyof typeof arrays>)), (value, kind) => {
        // toBe tells -0 from 0; so that integers don't, 0 is added to them.
        expect(identity[kind]!(value)).toBe(arrays[kind].of(value)[0]);
      }),
      { ...seeded, numRuns: 3000 },
    );
    const i64 = object.get('i64');
    fc.assert(
      fc.property(fc.bigInt(), (value) => i64(value) === BigInt.asIntN(64, value)),
      seeded,
    );
    fc.assert(
      fc.property(fc.maxSafeInteger(), (value) => i64(value) === BigInt(value)),
      seeded,
    );
  });

  test('small results do not depend on what a function leaves in the upper bits', () => {
    const object = makeJit().load(`define i8 @low8(i32 %x) {\n %y = trunc i32 %x to i8\n ret i8 %y\n}
define i1 @low1(i32 %x) {\n %y = trunc i32 %x to i1\n ret i1 %y\n}
define i16 @low16(i64 %x) {\n %y = trunc i64 %x to i16\n ret i16 %y\n}`);
    expect([
      object.get('low8')(0x12345680),
      object.get('low1')(-2),
      object.get('low1')(3),
      object.get('low16')(0x7fff_ffff_8000n),
    ]).toEqual([-128, false, true, -32768]);
  });

  test('signext and zeroext parameters are extended as the caller must', () => {
    const object = makeJit().load(`define i32 @s8(i8 signext %x) {\n %y = sext i8 %x to i32\n ret i32 %y\n}
define i32 @z8(i8 zeroext %x) {\n %y = zext i8 %x to i32\n ret i32 %y\n}
define i32 @z1(i1 zeroext %x) {\n %y = zext i1 %x to i32\n ret i32 %y\n}
define zeroext i16 @z16(i16 zeroext %x) {\n ret i16 %x\n}
define i64 @plain(i8 %x) {\n %y = zext i8 %x to i64\n ret i64 %y\n}`);
    for (const x of [0, 1, 127, 128, 200, 255, -1, -128, 1000]) {
      expect(object.get('s8')(x)).toBe((x << 24) >> 24);
      expect(object.get('z8')(x)).toBe(x & 255);
      expect(object.get('z16')(x)).toBe(x);
      expect(object.get('plain')(x)).toBe(BigInt(x & 255));
    }
    expect([object.get('z1')(true), object.get('z1')(false)]).toEqual([1, 0]);
  });

  test('twenty parameters, integers and doubles mixed, on registers and the stack', () => {
    const kinds = Array.from({ length: 20 }, (_, i) => (['i32', 'double', 'i64', 'i8', 'float'] as const)[i % 5]!);
    const { source, call } = weighted(kinds);
    const values = kinds.map((kind, i) => (kind === 'i64' ? BigInt(i) : i));
    expect(makeJit().load(source).get('f')(...values)).toBe(call(values));
  });

  test.each([7, 8, 9, 100, 300, 1000])('%i parameters', (count) => {
    const kinds = Array.from({ length: count }, (_, i) => (i % 3 === 0 ? 'double' : 'i32'));
    const { source, call } = weighted(kinds);
    const values = kinds.map((_, i) => i - 50);
    const f = makeJit({ optLevel: 0 }).load(source).get('f');
    for (let i = 0; i < 3; i++) expect(f(...values)).toBe(call(values));
    expect(f.length).toBe(count);
  });

  test('a call within the evaluation of arguments does not disturb the outer call', () => {
    const object = makeJit().load('define i32 @sub(i32 %a, i32 %b) {\n %c = sub i32 %a, %b\n ret i32 %c\n}');
    const sub = object.get('sub');
    expect(sub(sub(100, 1), sub(50, sub(9, 2)))).toBe(56);
    const tricky = { valueOf: () => sub(1, 2) };
    expect(() => sub(1, tricky)).toThrow(TypeError);
  });
});

/** `double f(...)`: the sum of each parameter times its index + 1, exact for small values; and its model. */
function weighted(kinds: readonly string[]): { source: string; call: (values: ReadonlyArray<number | bigint>) => number } {
  const lines = kinds.flatMap((kind, i) => [
    kind === 'double'
      ? `  %d${i} = fadd double %p${i}, 0.0`
      : kind === 'float'
        ? `  %d${i} = fpext float %p${i} to double`
        : `  %d${i} = sitofp ${kind} %p${i} to double`,
    `  %w${i} = fmul double %d${i}, ${i + 1}.0`,
    `  %s${i + 1} = fadd double %s${i}, %w${i}`,
  ]);
  const parameters = kinds.map((kind, i) => `${kind} %p${i}`).join(', ');
  const source = `define double @f(${parameters}) {\n  %s0 = fadd double 0.0, 0.0\n${lines.join('\n')}\n  ret double %s${kinds.length}\n}`;
  return { source, call: (values) => values.reduce<number>((sum, value, i) => sum + Number(value) * (i + 1), 0) };
}
