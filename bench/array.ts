/**
 * One call over a Float64Array of 64 Ki elements: the sum of their squares; and, to compare, out[i] = in[i] * in[i] + 1.
 *
 * In: nothing. Out: microseconds a call. Always true: WebAssembly has its elements in its own memory already, and uses its widest vectors. All elements
 * are integers, so the order of additions does not change the sum.
 */
import { Jit } from 'nomad-jit';
import { collectGarbage, interleave, nanoseconds, requireEqual, type Sample } from './measure';
import type { Row } from './report';
import { instantiate } from './webassembly';

const elements = 65_536;
const repeats = 8;

/** A loop over `%x`, element `%i` of `%in`. */
const loopStart = `
entry:
  %n = zext i32 %count to i64
  br label %loop
loop:
  %i = phi i64 [ 0, %entry ], [ %next, %loop ]`;
const load = `
  %from = getelementptr inbounds double, ptr %in, i64 %i
  %x = load double, ptr %from, align 8
  %square = fmul double %x, %x`;
const loopEnd = `
  %next = add nuw nsw i64 %i, 1
  %done = icmp eq i64 %next, %n
  br i1 %done, label %exit, label %loop
exit:`;

const ir = `
define double @sum(ptr readonly %in, i32 %count) {${loopStart}
  %sum = phi double [ 0.0, %entry ], [ %more, %loop ]${load}
  %more = fadd reassoc double %sum, %square${loopEnd}
  ret double %more
}
define void @squares(ptr noalias %out, ptr noalias readonly %in, i32 %count) {${loopStart}${load}
  %y = fadd double %square, 1.0
  %to = getelementptr inbounds double, ptr %out, i64 %i
  store double %y, ptr %to, align 8${loopEnd}
  ret void
}`;

/** Eight elements at a time, in four sums that don't wait for each other. */
const sumStep = [0, 1, 2, 3].map(
  (i) => `
      (local.set $x (v128.load offset=${16 * i} (local.get $in)))
      (local.set $s${i} (f64x2.add (local.get $s${i}) (f64x2.mul (local.get $x) (local.get $x))))`,
);

const wat = `(module
  (memory (export "memory") 16)
  (func (export "sum") (param $in i32) (param $count i32) (result f64)
    (local $limit i32) (local $x v128) (local $s0 v128) (local $s1 v128) (local $s2 v128) (local $s3 v128)
    (local.set $limit (i32.add (local.get $in) (i32.shl (local.get $count) (i32.const 3))))
    (loop $next ${sumStep.join('')}
      (local.set $in (i32.add (local.get $in) (i32.const 64)))
      (br_if $next (i32.lt_u (local.get $in) (local.get $limit))))
    (local.set $x (f64x2.add (f64x2.add (local.get $s0) (local.get $s1)) (f64x2.add (local.get $s2) (local.get $s3))))
    (f64.add (f64x2.extract_lane 0 (local.get $x)) (f64x2.extract_lane 1 (local.get $x))))
  (func (export "squares") (param $out i32) (param $in i32) (param $count i32)
    (local $limit i32) (local $x v128)
    (local.set $limit (i32.add (local.get $in) (i32.shl (local.get $count) (i32.const 3))))
    (loop $next
      (local.set $x (v128.load (local.get $in)))
      (v128.store (local.get $out)
        (f64x2.add (f64x2.mul (local.get $x) (local.get $x)) (v128.const f64x2 1 1)))
      (local.set $in (i32.add (local.get $in) (i32.const 16)))
      (local.set $out (i32.add (local.get $out) (i32.const 16)))
      (br_if $next (i32.lt_u (local.get $in) (local.get $limit))))))`;

type Sum = (input: Float64Array, count: number) => number;
type Squares = (out: Float64Array, input: Float64Array, count: number) => void;

interface Wasm {
  readonly memory: { readonly buffer: ArrayBuffer };
  readonly sum: (input: number, count: number) => number;
  readonly squares: (out: number, input: number, count: number) => void;
}

const sumInJs: Sum = (input, count) => {
  let sum = 0;
  for (let i = 0; i < count; i++) {
    const x = input[i]!;
    sum += x * x;
  }
  return sum;
};

const squaresInJs: Squares = (out, input, count) => {
  for (let i = 0; i < count; i++) {
    const x = input[i]!;
    out[i] = x * x + 1;
  }
};

interface Arrays {
  readonly input: Float64Array;
  readonly out: Float64Array;
}

/** A contender's arrays are its own, and laid out as the others'. */
function arraysIn(buffer: ArrayBuffer): Arrays {
  const arrays = { input: new Float64Array(buffer, 0, elements), out: new Float64Array(buffer, elements * 8, elements) };
  arrays.input.forEach((_, i) => (arrays.input[i] = (i % 1000) - 400));
  return arrays;
}

function requireResults(what: string, { input, out }: Arrays): void {
  input.forEach((x, i) => requireEqual(`${what}: element ${i}`, out[i], x * x + 1));
}

/** Microseconds that one of several calls takes. */
function timed(once: () => void): () => number {
  const several = (): void => {
    for (let i = 0; i < repeats; i++) once();
  };
  return () => nanoseconds(several) / repeats / 1000;
}

type Contenders = Record<'ours' | 'js' | 'wasm', () => unknown>;

async function measure({ ours, js, wasm }: Contenders): Promise<Record<keyof Contenders, Sample>> {
  collectGarbage();
  return interleave({ ours: timed(ours), js: timed(js), wasm: timed(wasm) }, { rounds: 101, warmUp: 20 });
}

function rowsOf(figure: string, { ours, js, wasm }: Record<keyof Contenders, Sample>): Row[] {
  return [
    { figure, unit: 'us', ours, peer: { name: 'JS loop', sample: js } },
    { figure, unit: 'us', ours, peer: { name: 'WebAssembly simd128', sample: wasm } },
  ];
}

export async function array(): Promise<Row[]> {
  using jit = new Jit();
  const object = jit.load(ir);
  const sum = object.get<Sum>('sum');
  const squares = object.get<Squares>('squares');
  const wasm = await instantiate<Wasm>(wat);
  const arrays = {
    ours: arraysIn(new ArrayBuffer(16 * elements)),
    js: arraysIn(new ArrayBuffer(16 * elements)),
    wasm: arraysIn(wasm.memory.buffer),
  };
  const sums: Contenders = {
    ours: () => sum(arrays.ours.input, elements),
    js: () => sumInJs(arrays.js.input, elements),
    wasm: () => wasm.sum(0, elements),
  };
  for (const [name, each] of Object.entries(sums)) requireEqual(`${name}: sum`, each(), sums.js());
  const allSquares: Contenders = {
    ours: () => squares(arrays.ours.out, arrays.ours.input, elements),
    js: () => squaresInJs(arrays.js.out, arrays.js.input, elements),
    wasm: () => wasm.squares(8 * elements, 0, elements),
  };
  for (const [name, each] of Object.entries(allSquares)) {
    each();
    requireResults(name, arrays[name as keyof Contenders]);
  }
  const judged = rowsOf('one call over a Float64Array of 64 Ki elements: sum', await measure(sums));
  return [
    ...judged.map((row): Row => ({ ...row, reach: { of: 'ratio', most: 1 } })),
    ...rowsOf('  the same from one array to another', await measure(allSquares)),
  ];
}
