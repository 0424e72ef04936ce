/**
 * Random public calls from inside of others: from host functions that code has called, from safepoint listeners, from getters and
 * iterators that a public call reads. Oracle: a model that says what each code object's function returns and whether it is placed, and
 * native verification, which derives all records anew. SEED repeats a run.
 */
import fc from 'fast-check';
import { type Callable, type CodeObject, type CodeSpace, hostFunction, type Jit, JitError, type Placement } from 'nomad-jit';
import { coreOf } from '../lib/jit/parts';
import { makeJit } from './support/jits';
import { seeded } from './support/random';

type Unary = (x: number) => number;

/** A function `i32 @f(i32)`; of callers, `inner` is what they call. */
const kinds = [
  { source: 'define i32 @f(i32 %x) {\n %r = add i32 %x, 5\n ret i32 %r\n}', value: (x: number) => x + 5 },
  {
    source:
      '@t = constant [4 x i32] [i32 10, i32 20, i32 30, i32 40]\ndefine i32 @f(i32 %x) {\n %i = and i32 %x, 3\n' +
      ' %p = getelementptr i32, ptr @t, i32 %i\n %r = load i32, ptr %p\n ret i32 %r\n}',
    value: (x: number) => ((x & 3) + 1) * 10,
  },
  {
    source: 'declare i32 @host(i32)\ndefine i32 @f(i32 %x) {\n %a = call i32 @host(i32 %x)\n %r = add i32 %a, 2\n ret i32 %r\n}',
    value: (x: number) => x + 3,
  },
  {
    source:
      'declare i32 @callee(i32)\ndefine i32 @f(i32 %x) {\n %a = call i32 @callee(i32 %x)\n %r = xor i32 %a, 6\n ret i32 %r\n}',
    value: (x: number, inner: Unary) => inner(x) ^ 6,
    callsAnother: true,
  },
] as const;

interface Known {
  readonly object: CodeObject;
  readonly expect: Unary;
  /** Of the callee, that it may not be freed before. */
  readonly callee: Known | undefined;
}

type Step = readonly [operation: number, a: number, b: number];

const deepest = 3;

/** Plays steps on one Jit. Always true: what an error has left behind is what the model says, or the sequence fails. */
class Play {
  readonly #jit: Jit;
  readonly #space: CodeSpace;
  readonly #steps: Step[];
  readonly #known: Known[] = [];
  readonly #host = hostFunction('i32 (i32)', (x: number) => (this.#nest(), x + 1));
  #depth = 0;

  constructor(jit: Jit, steps: readonly Step[]) {
    this.#jit = jit;
    this.#steps = [...steps].reverse();
    this.#space = jit.createSpace({ codeBytes: 1 << 18, constantBytes: 1 << 18, dataBytes: 1 << 18 });
    jit.onSafepoint(() => this.#nest());
  }

  run(): void {
    while (this.#steps.length > 0) this.#step();
    for (const known of this.#known) this.#call(known, 17);
  }

  /** Some steps in the middle of another's. */
  #nest(): void {
    if (this.#depth >= deepest) return;
    this.#depth++;
    for (let left = (this.#steps.at(-1)?.[2] ?? 0) % 4; left > 0; left--) this.#step();
    this.#depth--;
  }

  #step(): void {
    const step = this.#steps.pop();
    if (step === undefined) return;
    const [operation, a, b] = step;
    const known = this.#known.length === 0 ? undefined : this.#known[a % this.#known.length];
    try {
      this.#operations[operation % this.#operations.length]!(known, a, b);
    } catch (error) {
      if (!(error instanceof JitError || error instanceof RangeError || error instanceof TypeError)) throw error;
      if (error.message.includes('damage')) throw error;
    }
    coreOf(this.#jit)!.native.verify();
  }

  readonly #operations: ReadonlyArray<(known: Known | undefined, a: number, b: number) => void> = [
    (known, a) => this.#compile(known, a),
    (known) => known?.object.place(this.#space.allocate(known.object)),
    (known) => known?.object.relocate(this.#nestingPlacement(this.#space.allocate(known.object))),
    () => this.#jit.relocate(this.#nestingMoves()),
    (known) => this.#free(known),
    (known) => known?.object.thaw(known.object.freeze()),
    (known, a) => known && this.#call(known, a),
    (known, a) => known && this.#call(known, a),
    () => this.#jit.trim(),
    (known) => known?.object.serialize(),
    () => this.#jit.stackRoots(),
    () => void this.#space.occupancy(),
  ];

  #compile(callee: Known | undefined, a: number): void {
    const kind = kinds[a % kinds.length]!;
    if ('callsAnother' in kind && callee === undefined) return;
    const nest = (): void => this.#nest();
    const imports = () => ({ host: this.#host, ...(callee === undefined ? {} : { callee: callee.object.get<Unary>('f') }) });
    const object = this.#jit.compile(kind.source, {
      name: `kind ${a % kinds.length}`,
      get imports() {
        nest();
        return imports();
      },
    });
    const expect: Unary = (x) => kind.value(x, callee?.expect ?? ((y) => y)) | 0;
    this.#known.push({ object, expect, callee: 'callsAnother' in kind ? callee : undefined });
  }

  #nestingPlacement({ space, ...at }: Placement): Placement {
    const nest = (): void => this.#nest();
    return {
      ...at,
      get space() {
        nest();
        return space;
      },
    };
  }

  *#nestingMoves(): Generator<readonly [CodeObject, Placement]> {
    for (const { object } of [...this.#known].slice(0, 3)) {
      this.#nest();
      if (object.state === 'placed') yield [object, this.#space.allocate(object)];
    }
  }

  #free(known: Known | undefined): void {
    if (known === undefined) return;
    known.object.free();
    expect(this.#known.some(({ callee, object }) => callee === known && object.state !== 'freed')).toBe(false);
    this.#known.splice(this.#known.indexOf(known), 1);
  }

  #call(known: Known, x: number): void {
    if (known.object.state !== 'placed') return;
    const f: Callable<Unary> = known.object.get<Unary>('f');
    expect(f(x)).toBe(known.expect(x));
  }
}

test(`random calls from inside of others (SEED=${seeded.seed})`, () => {
  const step = fc.tuple(fc.nat(60), fc.nat(1000), fc.nat(1000));
  fc.assert(
    fc.property(fc.array(step, { minLength: 5, maxLength: 80 }), (steps) => {
      const jit = makeJit({ arenaBytes: 1 << 24, optLevel: 0 });
      new Play(jit, steps).run();
      coreOf(jit)!.native.verify();
      jit.dispose();
    }),
    { ...seeded, numRuns: 40 },
  );
});
