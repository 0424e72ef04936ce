/**
 * One call over a Float64Array: out[i] = in[i] * in[i] + 1 for 64 Ki elements.
 *
 * In: nothing. Out: microseconds a call. Always true: WebAssembly has its elements in its own memory already, and uses its widest vectors.
 */
import { Jit } from 'nomad-jit';
import { collectGarbage, interleave, nanoseconds, requireEqual } from './measure';
import type { Row } from './report';
import { instantiate } from './webassembly';

const elements = 65_536;
const repeats = 8;

const ir = `
define void @squares(ptr noalias %out, ptr noalias readonly %in, i32 %count) {
entry:
  %n = zext i32 %count to i64
  br label %loop
loop:
  %i = phi i64 [ 0, %entry ], [ %next, %loop ]
  %from = getelementptr inbounds double, ptr %in, i64 %i
  %x = load double, ptr %from, align 8
  %square = fmul double %x, %x
  %y = fadd double %square, 1.0
  %to = getelementptr inbounds double, ptr %out, i64 %i
  store double %y, ptr %to, align 8
  %next = add nuw nsw i64 %i, 1
  %done = icmp eq i64 %next, %n
  br i1 %done, label %exit, label %loop
exit:
  ret void
}`;

/** Two elements at a time; the count is even. */
const wat = `(module
  (memory (export "memory") 16)
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

type Squares = (out: Float64Array, input: Float64Array, count: number) => void;
type WasmSquares = (out: number, input: number, count: number) => void;

const inJs: Squares = (out, input, count) => {
  for (let i = 0; i < count; i++) {
    const x = input[i]!;
    out[i] = x * x + 1;
  }
};

interface Arrays {
  readonly input: Float64Array;
  readonly out: Float64Array;
}

function filled(arrays: Arrays): Arrays {
  arrays.input.forEach((_, i) => (arrays.input[i] = i / 7 - 4000));
  return arrays;
}

function requireResults(what: string, { input, out }: Arrays): void {
  input.forEach((x, i) => requireEqual(`${what}: element ${i}`, out[i], x * x + 1));
}

export async function array(): Promise<Row[]> {
  using jit = new Jit();
  const ours = jit.load(ir).get<Squares>('squares');
  const { memory, squares } = await instantiate<{ memory: { buffer: ArrayBuffer }; squares: WasmSquares }>(wat);
  const bytes = elements * 8;
  const make = (buffer: ArrayBuffer): Arrays =>
    filled({ input: new Float64Array(buffer, 0, elements), out: new Float64Array(buffer, bytes, elements) });
  // A contender's arrays are its own and laid out alike.
  const arrays = { ours: make(new ArrayBuffer(2 * bytes)), js: make(new ArrayBuffer(2 * bytes)), wasm: make(memory.buffer) };
  const timed = (once: () => void) => (): number =>
    nanoseconds(() => {
      for (let i = 0; i < repeats; i++) once();
    }) /
    repeats /
    1000;
  collectGarbage();
  const samples = await interleave(
    {
      ours: timed(() => ours(arrays.ours.out, arrays.ours.input, elements)),
      js: timed(() => inJs(arrays.js.out, arrays.js.input, elements)),
      wasm: timed(() => squares(bytes, 0, elements)),
    },
    { rounds: 101, warmUp: 20 },
  );
  for (const [name, each] of Object.entries(arrays)) requireResults(name, each);
  const row = (name: string, sample: typeof samples.js): Row => ({
    figure: 'one call over a Float64Array of 64 Ki elements',
    ...{ unit: 'us', ours: samples.ours, peer: { name, sample }, reach: { of: 'ratio', most: 1 } },
  });
  return [row('JS loop', samples.js), row('WebAssembly simd128', samples.wasm)];
}
