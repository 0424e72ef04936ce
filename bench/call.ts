/**
 * Calling one function that adds two numbers: ours, by hand on Node-API, by koffi, and as a WebAssembly export; and a function on Node-API
 * that does nothing, which is what V8 and Node need for any native function.
 *
 * In: nothing. Out: nanoseconds a call. Always true: every contender has a loop of its own, so that V8 sees one callee at each call site; all
 * loops compute the same, into a variable of their own: one that outlives the loop would cost each contender a HeapNumber a call.
 */
import koffi from 'koffi';
import { hostFunction, Jit } from 'nomad-jit';
import { collectGarbage, interleave, nanoseconds, requireEqual, type Sample } from './measure';
import { buildPeers, loadNapiPeer, napiPeerFile } from './peers';
import type { Row } from './report';
import { instantiate } from './webassembly';

type AnyAdd = (a: never, b: never) => unknown;

/** Source of what comes before the function of `N` that calls `f` so many times, of what it begins with, and of one step. */
interface Loop {
  readonly setUp: string;
  readonly start: string;
  readonly step: string;
}

const emptyLoop: Loop = { setUp: '', start: 'let s;', step: 'f();' };

/** One signature: how each contender writes it, and the loop that calls it. */
interface Kind extends Loop {
  readonly name: string;
  readonly ir: string;
  readonly koffi: string;
  readonly napi: 'addI32' | 'addF64' | 'addI64';
  readonly checks: ReadonlyArray<readonly [unknown, unknown]>;
}

const kinds: readonly Kind[] = [
  {
    name: 'i32 (i32, i32)',
    ir: 'define i32 @add(i32 %a, i32 %b) { %r = add i32 %a, %b ret i32 %r }',
    koffi: 'int32_t add_i32(int32_t a, int32_t b)',
    napi: 'addI32',
    ...{ setUp: '', start: 'let s = 0;' },
    step: 's = f(i & 1023, 3) | 0;',
    checks: [
      [2, 3],
      [-5, 2],
      [2 ** 31 - 1, 1],
    ],
  },
  {
    name: 'double (double, double)',
    ir: 'define double @add(double %a, double %b) { %r = fadd double %a, %b ret double %r }',
    koffi: 'double add_f64(double a, double b)',
    napi: 'addF64',
    ...{ setUp: '', start: 'let s = 0;' },
    step: 's = f(i + 0.5, 3.25);',
    checks: [
      [2.5, 3],
      [-0, -0],
      [1e308, 1e308],
    ],
  },
  {
    name: 'i64 (i64, i64)',
    ir: 'define i64 @add(i64 %a, i64 %b) { %r = add i64 %a, %b ret i64 %r }',
    koffi: 'int64_t add_i64(int64_t a, int64_t b)',
    napi: 'addI64',
    // Beyond safe integers, where koffi makes BigInts as the others do.
    setUp: 'const A = Array.from({ length: 64 }, (_, i) => BigInt(i + 1) * 0x0100000000000001n);',
    start: 'let s = 0n;',
    step: 's = f(A[i & 63], 3n);',
    checks: [
      [2n ** 62n, -5n],
      [2n ** 63n - 1n, 1n],
      [-(2n ** 60n), -3n],
    ],
  },
];

const calls = 200_000;
const rounds = { rounds: 31, warmUp: 8 };

const wat = `(module
  (func (export "addI32") (param i32 i32) (result i32) (i32.add (local.get 0) (local.get 1)))
  (func (export "addF64") (param f64 f64) (result f64) (f64.add (local.get 0) (local.get 1)))
  (func (export "addI64") (param i64 i64) (result i64) (i64.add (local.get 0) (local.get 1))))`;

/** A loop that no other contender shares. */
function loopOf({ setUp, start, step }: Loop, contender: string, f: AnyAdd): (count: number) => unknown {
  const source = `/* ${contender} */ ${setUp} return (N) => { ${start} for (let i = 0; i < N; i++) ${step} return s; };`;
  // eslint-disable-next-line @typescript-eslint/no-implied-eval -- the sources above
  return (new Function('f', source) as (f: AnyAdd) => (count: number) => unknown)(f);
}

type Contenders = Record<'ours' | 'napi' | 'koffi' | 'wasm', AnyAdd>;

async function measure(
  kind: Kind,
  functions: Contenders,
  nothing: AnyAdd,
): Promise<Record<keyof Contenders | 'nothing', Sample>> {
  const names = Object.keys(functions) as Array<keyof Contenders>;
  for (const [a, b] of kind.checks)
    for (const name of names)
      requireEqual(`${name}: ${kind.name}`, functions[name](a as never, b as never), functions.napi(a as never, b as never));
  const loops = names.map((name) => [name, loopOf(kind, name, functions[name])] as const);
  const sum = loops.map(([name, loop]) => [name, loop(calls)] as const);
  for (const [name, value] of sum) requireEqual(`${name}: loop of ${kind.name}`, value, sum[0]![1]);
  collectGarbage();
  const all = [...loops, ['nothing', loopOf(emptyLoop, `nothing, ${kind.name}`, nothing)] as const];
  const contenders = all.map(([name, loop]) => [name, () => nanoseconds(() => loop(calls)) / calls] as const);
  return interleave(Object.fromEntries(contenders) as Record<keyof Contenders | 'nothing', () => number>, rounds);
}

export async function call(): Promise<Row[]> {
  buildPeers();
  using jit = new Jit();
  const napi = loadNapiPeer();
  const library = koffi.load(napiPeerFile);
  const wasm = await instantiate<Record<Kind['napi'], AnyAdd>>(wat);
  const rows: Row[] = [];
  for (const kind of kinds) {
    const functions = {
      ours: jit.load(kind.ir).get('add'),
      napi: napi[kind.napi],
      koffi: library.func(kind.koffi) as AnyAdd,
      wasm: wasm[kind.napi],
    };
    const sample = await measure(kind, functions, napi.nothing);
    const row = (name: string, peer: Sample, most?: number): Row => ({
      figure: `call ${kind.name}`,
      ...{ unit: 'ns', ours: sample.ours, peer: { name, sample: peer } },
      ...(most === undefined ? {} : { reach: { of: 'ratio', most } }),
    });
    rows.push(row('Node-API', sample.napi, 0.5), row('koffi', sample.koffi, 0.35), row('WebAssembly', sample.wasm, 4));
    rows.push(row('Node-API, an empty function', sample.nothing));
  }
  return rows;
}

const hostLoop = `declare i32 @add(i32, i32)
define i32 @sum(i32 %count) {
  br label %head
head:
  %i = phi i32 [ 0, %0 ], [ %i1, %body ]
  %s = phi i32 [ 0, %0 ], [ %s1, %body ]
  %more = icmp ult i32 %i, %count
  br i1 %more, label %body, label %end
body:
  %r = call i32 @add(i32 %i, i32 3)
  %s1 = add i32 %s, %r
  %i1 = add i32 %i, 1
  br label %head
end:
  ret i32 %s
}`;

/** Code that calls JS that returns to code: both contenders call a function of their own, from a loop in native code. */
export async function hostCall(): Promise<Row[]> {
  buildPeers();
  using jit = new Jit();
  const { callJs } = loadNapiPeer();
  const add = hostFunction('i32 (i32, i32)', (a: number, b: number) => (a + b) | 0);
  const sum = jit.load(hostLoop, { imports: { add } }).get<(count: number) => number>('sum');
  const theirs = (a: number, b: number): number => (a + b) | 0;
  requireEqual('sum', sum(calls), callJs(theirs, calls));
  collectGarbage();
  const sample = await interleave(
    {
      ours: () => nanoseconds(() => sum(calls)) / calls,
      napi: () => nanoseconds(() => callJs(theirs, calls)) / calls,
    },
    rounds,
  );
  return [
    {
      figure: 'host function call, code -> JS -> code, i32 (i32, i32)',
      ...{ unit: 'ns', ours: sample.ours, peer: { name: 'napi_call_function', sample: sample.napi } },
      reach: { of: 'ratio', most: 1.3 },
    },
  ];
}
