/**
 * The two ways into code, generated and interpreted, against one model: random signatures, random values.
 */
import fc from 'fast-check';
import { type CodeObject } from 'nomad-jit';
import { childResult } from './support/child';
import { makeJit } from './support/jits';
import { seed, seeded } from './support/random';

const kinds = ['i1', 'i8', 'i16', 'i32', 'i64', 'float', 'double', 'ptr'] as const;
type Kind = (typeof kinds)[number];

const values: Record<Kind, fc.Arbitrary<unknown>> = {
  i1: fc.boolean(),
  i8: fc.oneof(fc.integer(), fc.double()),
  i16: fc.oneof(fc.integer(), fc.double()),
  i32: fc.oneof(fc.integer(), fc.double(), fc.maxSafeInteger()),
  i64: fc.oneof(fc.bigInt(), fc.maxSafeInteger()),
  float: fc.double(),
  double: fc.double(),
  ptr: fc.oneof(fc.bigInt({ min: 0n, max: 2n ** 64n - 1n }), fc.constant(null)),
};

/** What code receives for a value, as it would return it. */
function model(kind: Kind, value: unknown): unknown {
  if (kind === 'i1' || kind === 'double') return value;
  if (kind === 'i8') return Int8Array.of(value as number)[0];
  if (kind === 'i16') return Int16Array.of(value as number)[0];
  if (kind === 'i32') return Int32Array.of(value as number)[0];
  if (kind === 'float') return Math.fround(value as number);
  if (kind === 'ptr') return BigInt.asUintN(64, (value as bigint | null) ?? 0n);
  return BigInt.asIntN(64, BigInt(value as bigint | number));
}

const signature = fc.array(fc.constantFrom(...kinds), { minLength: 1, maxLength: 24 });
const example = signature.chain((parameters) =>
  fc.record({
    parameters: fc.constant(parameters),
    given: fc.tuple(...parameters.map((kind) => values[kind])),
    returned: fc.nat(parameters.length - 1),
  }),
);

/** A function that returns one of its parameters and stores all of them, so that none is lost on the way. */
function source(parameters: readonly Kind[], returned: number): string {
  const list = parameters.map((kind, i) => `${kind} %p${i}`).join(', ');
  const globals = parameters.map((kind, i) => `@g${i} = global ${kind} ${zero(kind)}`);
  const stores = parameters.map((kind, i) => `  store ${kind} %p${i}, ptr @g${i}`);
  const result = parameters[returned]!;
  return [...globals, `define ${result} @f(${list}) {`, ...stores, `  ret ${result} %p${returned}`, '}'].join('\n');
}

function zero(kind: Kind): string {
  return kind === 'ptr' ? 'null' : kind === 'float' || kind === 'double' ? '0.0' : '0';
}

function outcome(object: CodeObject, given: readonly unknown[]): unknown[] {
  return [object.get('f')(...given), ...given.map((_, i) => object.readGlobal(`g${i}`))];
}

test.each(['0', '1'])(`every parameter arrives and the result returns, NOMAD_JIT_NO_CODEGEN=%s (seed ${seed})`, (noCodegen) => {
  process.env.NOMAD_JIT_NO_CODEGEN = noCodegen;
  try {
    const jit = makeJit({ optLevel: 0 });
    fc.assert(
      fc.property(example, ({ parameters, given, returned }) => {
        const object = jit.load(source(parameters, returned));
        const expected = parameters.map((kind, i) => model(kind, given[i]));
        expect(outcome(object, given)).toEqual([expected[returned], ...expected]);
        object.free();
      }),
      { ...seeded, numRuns: 150 },
    );
  } finally {
    delete process.env.NOMAD_JIT_NO_CODEGEN;
  }
});

const script = `
  const jit = new nomad.Jit();
  const object = jit.load(programs.threeSegments);
  const square = object.get('square');
  const results = [square(3), square(4)];
  object.relocate({ space: object.placement.space, code: 65536 });
  results.push(square(2));
  for (const bad of [['x'], [], [1, 2]]) try { square(...bad); } catch (error) { results.push(error.constructor.name + error.message); }
  let isForbidden = false;
  try { new Function(''); } catch { isForbidden = true; }
  console.log(JSON.stringify({ results, isForbidden }));`;

test('a process that forbids code generation from strings gets the same answers and messages', async () => {
  const forbidden = await childResult<{ results: unknown[]; isForbidden: boolean }>(script, {
    nodeOptions: ['--disallow-code-generation-from-strings'],
  });
  const allowed = await childResult<{ results: unknown[]; isForbidden: boolean }>(script);
  expect([forbidden.isForbidden, allowed.isForbidden]).toEqual([true, false]);
  expect(forbidden.results).toEqual(allowed.results);
  expect(allowed.results.slice(0, 3)).toEqual([9, 16, 4]);
});

test('--jitless: V8 without its own code generator calls ours', async () => {
  const { results } = await childResult<{ results: unknown[] }>(script, { nodeOptions: ['--jitless', '--no-expose-wasm'] });
  expect(results.slice(0, 3)).toEqual([9, 16, 4]);
});

test('calls work when V8 has optimised the caller', () => {
  const sum = makeJit()
    .load('define i64 @add(i32 %a, i64 %b) {\n %c = sext i32 %a to i64\n %d = add i64 %c, %b\n ret i64 %d\n}')
    .get('add');
  let total = 0n;
  for (let i = 0; i < 200_000; i++) total += sum(i, 1) as bigint;
  expect(total).toBe((199_999n * 200_000n) / 2n + 200_000n);
});
