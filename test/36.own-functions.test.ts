/**
 * Functions that have the name of one of C's. Oracle: what the test's own function returns, and how often it is called, at every level; where
 * a name is nobody's, what C says.
 */
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { hostFunction, type CodeObject, type HostFunction } from 'nomad-jit';
import { at, makeJit } from './support/jits';
import { makeTiered, sizesAt } from './support/tiers';

const optLevels = [0, 1, 2, 3] as const;

/** Calls whose results C's library makes known: of `abs`, one whose result nobody uses, and two of which one would be enough. */
const callsOfAbs = `declare i32 @abs(i32)
define i32 @folded() {
  %r = call i32 @abs(i32 -5)
  ret i32 %r
}
define void @unused(i32 %x) {
  %r = call i32 @abs(i32 %x)
  ret void
}
define i32 @twice(i32 %x) {
  %a = call i32 @abs(i32 %x)
  %b = call i32 @abs(i32 %x)
  %r = add i32 %a, %b
  ret i32 %r
}`;

/** The same, and one of `strlen`. */
const calls = `${callsOfAbs}
declare i64 @strlen(ptr)
@text = private constant [4 x i8] c"abc\\00"
define i64 @measured() {
  %r = call i64 @strlen(ptr @text)
  ret i64 %r
}`;

/** What `calls` return where nobody has these names but C, and where they are the host's. */
const byC = [5, 14, 3n];
const byHost = [-500, -1400, 99n];

function hosts(): { imports: Record<'abs' | 'strlen', HostFunction>; counts: number[] } {
  const counts: number[] = [];
  const abs = hostFunction('i32 (i32)', (x: number) => {
    counts.push(x);
    return x * 100;
  });
  return { imports: { abs, strlen: hostFunction('i64 (ptr)', () => 99n) }, counts };
}

function resultsOfAbs(object: Pick<CodeObject, 'get'>): unknown[] {
  object.get('unused')(1);
  return [object.get('folded')(), object.get('twice')(-7)];
}

function results(object: Pick<CodeObject, 'get'>): unknown[] {
  return [...resultsOfAbs(object), object.get('measured')()];
}

describe.each(optLevels)('optLevel %d', (optLevel) => {
  test('what is imported is called, as often as the source says', () => {
    const { imports, counts } = hosts();
    expect(results(makeJit().load(calls, { optLevel, imports }))).toEqual(byHost);
    expect(counts).toEqual([1, -5, -7, -7]);
  });

  test('so is what is defined, or declared first', () => {
    const { imports, counts } = hosts();
    const jit = makeJit({ optLevel });
    jit.define('strlen', imports.strlen);
    jit.declare('abs', 'i32 (i32)');
    const object = jit.load(calls);
    jit.define('abs', jit.load('define i32 @hundred(i32 %x) {\n  %r = mul i32 %x, 100\n  ret i32 %r\n}').get('hundred'));
    expect(results(object)).toEqual(byHost);
    jit.define('abs', imports.abs);
    expect(results(jit.load(calls))).toEqual(byHost);
    expect(counts).toEqual([1, -5, -7, -7]);
  });

  test('so is what the module defines, however it is linked', () => {
    const jit = makeJit({ optLevel });
    for (const linkage of ['', 'weak', 'linkonce_odr', 'hidden', 'internal']) {
      const object = jit.load(`define ${linkage} double @sin(double %x) noinline {
  ret double 7.0
}
define double @known() {
  %r = call double @sin(double 0.0)
  ret double %r
}
define double @unknown(double %x) {
  %r = call double @sin(double %x)
  ret double %r
}`);
      expect([linkage, object.get('known')(), object.get('unknown')(1)]).toEqual([linkage, 7, 7]);
    }
  });

  test('LLVM makes no calls of what the module does not mention', () => {
    const jit = makeJit({ optLevel });
    jit.define(
      'exp2',
      hostFunction('double (double)', () => 1000),
    );
    const source = `declare double @pow(double, double)
define double @power(double %x) {
  %r = call double @pow(double 2.0, double %x)
  ret double %r
}`;
    expect(jit.load(source).get('power')(3)).toBe(8);
  });

  test('LLVM makes no calls of it: pow of 2 is not its exp2', () => {
    const object = makeJit().load(
      `declare double @pow(double, double)
define double @exp2(double %x) noinline {
  ret double 1000.0
}
define double @power(double %x) {
  %r = call double @pow(double 2.0, double %x)
  ret double %r
}`,
      { optLevel },
    );
    expect([object.get('power')(3), object.get('exp2')(3)]).toEqual([8, 1000]);
  });

  test('loops of it are not loops of C: floor has no vectors', () => {
    const object = makeJit().load(
      `define double @floor(double %x) noinline {
  %r = fmul double %x, 2.0
  ret double %r
}
define void @each(ptr noalias %from, ptr noalias %to) {
  br label %next
next:
  %i = phi i64 [ 0, %0 ], [ %j, %next ]
  %p = getelementptr double, ptr %from, i64 %i
  %x = load double, ptr %p
  %y = call double @floor(double %x)
  %q = getelementptr double, ptr %to, i64 %i
  store double %y, ptr %q
  %j = add i64 %i, 1
  %isLast = icmp eq i64 %j, 64
  br i1 %isLast, label %end, label %next
end:
  ret void
}`,
      { optLevel },
    );
    const [from, to] = [Float64Array.from({ length: 64 }, (_, i) => i + 0.5), new Float64Array(64)];
    object.get('each')(from, to);
    expect(to).toEqual(from.map((x) => 2 * x));
  });

  test('what comes from the process is still C, also beside others of that kind', () => {
    const { imports, counts } = hosts();
    expect(results(makeJit().load(calls, { optLevel }))).toEqual(byC);
    const object = makeJit().load(calls, { optLevel, imports: { strlen: imports.strlen } });
    expect([results(object), counts]).toEqual([[5, 14, 99n], []]);
    const [plain, beside] = [{}, { strlen: imports.strlen }].map((own) =>
      makeJit().compile(callsOfAbs, { optLevel, imports: own }),
    );
    expect(plain!.sizes).toEqual(beside!.sizes);
  });
});

test('compiled on another thread, and function by function', async () => {
  const { imports } = hosts();
  const jit = makeJit();
  const whole = await jit.compileAsync(calls, { imports });
  expect(results(whole.place(at(jit.createSpace(), 0)))).toEqual(byHost);
  expect(results(jit.load(calls, { imports, granularity: 'function' }))).toEqual(byHost);
});

test('the compile cache knows one from the other', async () => {
  const directory = mkdtempSync(join(tmpdir(), 'nomad-own-'));
  try {
    for (const expected of ['misses', 'hits'] as const) {
      const { imports } = hosts();
      const jit = makeJit({ cache: directory, verifyMoves: false });
      expect(results(jit.load(calls))).toEqual(byC);
      expect(results(jit.load(calls, { imports }))).toEqual(byHost);
      jit.define('abs', imports.abs);
      jit.define('strlen', imports.strlen);
      expect(results(jit.load(calls))).toEqual(byHost);
      expect(jit.stats().cache?.[expected]).toBe(3);
      await jit.compileAsync(calls);
      expect(jit.stats().cache?.hits).toBe(expected === 'hits' ? 4 : 1);
      const other = makeJit({ cache: directory, verifyMoves: false });
      other.define('strlen', imports.strlen);
      other.define('labs', 0n); // as many names
      expect(results(other.load(calls))).toEqual([5, 14, 99n]);
    }
  } finally {
    rmSync(directory, { recursive: true });
  }
});

describe('a recompile', () => {
  test.each(['imported', 'defined', 'of the process'])('calls what the first compile called: %s', async (what) => {
    const { imports, counts } = hosts();
    const { jit, collector } = makeTiered();
    if (what === 'defined') for (const [name, host] of Object.entries(imports)) jit.define(name, host);
    const object = collector.compile(callsOfAbs, what === 'imported' ? { imports } : {});
    const expected = what === 'of the process' ? byC.slice(0, 2) : byHost.slice(0, 2);
    expect(resultsOfAbs(object)).toEqual(expected);
    expect(await collector.tierUp(object)).toBe(true);
    expect(resultsOfAbs(object)).toEqual(expected);
    if (what === 'of the process') expect(object.sizes).toEqual(sizesAt(2, callsOfAbs));
    expect(counts).toEqual(what === 'of the process' ? [] : [1, -5, -7, -7, 1, -5, -7, -7]);
  });

  test('of a function of that name gives the same', async () => {
    const { collector } = makeTiered();
    const object = collector.compile(
      'define double @floor(double %x) noinline {\n  ret double 7.0\n}\ndefine double @f() {\n  %r = call double @floor(double 1.5)\n  ret double %r\n}',
    );
    expect([object.get('f')(), await collector.tierUp(object), object.get('f')()]).toEqual([7, true, 7]);
  });
});
