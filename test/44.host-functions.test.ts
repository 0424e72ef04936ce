/**
 * Host functions: JS that code calls. Oracle: what C does to a value of each type, known results, and logs of calls.
 */
import { hostFunction, SignatureError, type Callable, type HostFunction, type Jit } from 'nomad-jit';
import fc from 'fast-check';
import { childResult } from './support/child';
import { errorOf, expectWorking, makeJit } from './support/jits';
import { callingHost, forwarding, i32Host, kinds, makeGround, sortingByHost, withNoCodegen, type Kind } from './support/hosts';
import { add } from './support/programs';
import { randomIntegers, seed, seeded } from './support/random';

const noCodegen = ['0', '1'];

/** What a host function gets, and code gets from it, for a value given in JS. */
function model(kind: Kind, value: unknown): unknown {
  if (kind === 'i1' || kind === 'double') return value;
  if (kind === 'i8') return Int8Array.of(value as number)[0];
  if (kind === 'i16') return Int16Array.of(value as number)[0];
  if (kind === 'i32') return Int32Array.of(value as number)[0];
  if (kind === 'float') return Math.fround(value as number);
  if (kind === 'ptr') return BigInt.asUintN(64, (value as bigint | null) ?? 0n);
  return BigInt.asIntN(64, BigInt(value as bigint | number));
}

const integers = [0, 1, -1, 127, 128, -128, -129, 255, 256, 32767, 32768, 65535, 2 ** 31 - 1, 2 ** 31, -(2 ** 31), 2 ** 32 - 1];
const numbers = [...integers, 2 ** 32, 2 ** 53 - 1, 1.9, -1.9, NaN, Infinity, -Infinity, -0, 1e300];
const floats = [0, -0, 1.5, -1.5, 0.1, NaN, Infinity, -Infinity, 2 ** -149, 2 ** -150, 2 ** -1074, 3.5e38, 1.7e308, 16777217];
const bigints = [0n, 1n, -1n, 2n ** 63n - 1n, -(2n ** 63n), 2n ** 63n, 2n ** 64n - 1n, 2n ** 64n, 2n ** 200n + 3n];

const samples: Record<Kind, readonly unknown[]> = {
  ...{ i1: [true, false], i8: numbers, i16: numbers, i32: numbers },
  i64: [...bigints, 0, -0, 5, -5, 2 ** 53 - 1, -(2 ** 53) + 1, 2 ** 32, -(2 ** 31) - 1],
  ...{ float: floats, double: floats },
  ptr: [0n, 1n, 2n ** 63n, 2n ** 64n - 1n, 2n ** 64n + 7n, -1n, null],
};

/** `kind via(kind)` in a fresh Jit, with a host function that gives what it is told and remembers what it got. */
function makeMirror(kind: Kind) {
  const seen: unknown[] = [];
  const answer: { value: unknown } = { value: undefined };
  const mirror = (...given: unknown[]) => {
    seen.push(...given);
    return answer.value;
  };
  const via = makeJit()
    .load(forwarding([kind], kind), { imports: { host: hostFunction(`${kind} (${kind})`, mirror) } })
    .get('via');
  return { seen, answer, via };
}

describe.each(noCodegen)('values, NOMAD_JIT_NO_CODEGEN=%s', (value) => {
  test.each(kinds)('%s: each value arrives, and each result returns, as C has it', (kind) => {
    const { seen, answer, via } = withNoCodegen(value, () => makeMirror(kind));
    const passed = kind === 'i1' ? true : kind === 'i64' || kind === 'ptr' ? 77n : 77;
    for (const sample of samples[kind]) {
      answer.value = passed;
      expect(via(sample)).toBe(passed);
      expect(seen.pop()).toBe(model(kind, sample));
      answer.value = sample;
      expect(via(passed)).toBe(model(kind, sample));
      expect(seen.pop()).toBe(passed);
    }
    expect(seen).toEqual([]);
  });

  const wrong: Record<Kind, readonly unknown[]> = {
    i1: [0, 1, 'true', undefined, null, 1n, {}],
    ...{
      i8: ['1', true, undefined, null, 1n, [], Symbol('s')],
      i16: ['1', {}, 1n],
      i32: [undefined, '7', 7n, { valueOf: () => 7 }],
    },
    i64: ['1', 1.5, 2 ** 53, NaN, undefined, null, true],
    ...{ float: ['1', 1n, undefined, null], double: ['NaN', 1n, undefined, []] },
    ptr: [1, '0', undefined, new Uint8Array(4), {}, () => 1, true],
  };

  test.each(kinds)('%s: a result of another type is a TypeError that names the host function; the next call works', (kind) => {
    const { answer, via } = withNoCodegen(value, () => makeMirror(kind));
    const good = samples[kind][1];
    for (const bad of wrong[kind]) {
      answer.value = bad;
      const error = errorOf(() => via(good));
      expect(error).toBeInstanceOf(TypeError);
      expect(error.message).toContain(`mirror: the result of a host function of type ${kind} (${kind}) must be`);
      answer.value = good;
      expect(via(good)).toBe(model(kind, good));
    }
  });

  test('void: whatever the JS function returns is dropped', () => {
    const via = withNoCodegen(value, () =>
      makeJit().load(forwarding([]), { imports: { host: hostFunction('void ()', () => 'much') } }),
    ).get('via');
    expect(via()).toBeUndefined();
  });

  test(`many parameters: registers, stack and order (seed ${seed})`, () => {
    const jit = withNoCodegen(value, () => makeJit({ optLevel: 0 }));
    const values: Record<Kind, fc.Arbitrary<unknown>> = {
      ...{ i1: fc.boolean(), i8: fc.integer(), i16: fc.integer(), i32: fc.integer(), i64: fc.bigInt() },
      ...{ float: fc.double(), double: fc.double(), ptr: fc.bigInt({ min: 0n, max: 2n ** 64n - 1n }) },
    };
    const example = fc.array(fc.constantFrom(...kinds), { minLength: 1, maxLength: 40 }).chain((list) =>
      fc.record({
        list: fc.constant(list),
        given: fc.tuple(...list.map((kind) => values[kind])),
        pick: fc.nat(list.length - 1),
      }),
    );
    const run = ({ list, given, pick }: { list: Kind[]; given: unknown[]; pick: number }) => {
      let got: unknown[] = [];
      const host = hostFunction(`${list[pick]!} (${list.join(', ')})`, (...all) => (got = all)[pick]);
      const object = withNoCodegen(value, () => jit.load(forwarding(list, list[pick]), { imports: { host } }));
      const expected = list.map((kind, i) => model(kind, given[i]));
      expect(object.get('via')(...given)).toEqual(expected[pick]);
      expect(got).toEqual(expected);
      object.free();
    };
    fc.assert(fc.property(example, run), { ...seeded, numRuns: 60 });
  });

  test('nested: JS -> code -> JS -> code ..., fifty levels, each with its own parameters and result', () => {
    const jit = withNoCodegen(value, () => makeJit());
    const log: number[] = [];
    const host = i32Host((n) => {
      log.push(n);
      const below = n === 0 ? 1000 : (step(n - 1) as number);
      log.push(-n);
      return below + n;
    });
    const step: Callable = withNoCodegen(value, () => jit.load(callingHost('step', 2), { imports: { host } })).get('step');
    // step(n) = host(n) + 2, host(n) = n + step(n - 1), host(0) = 1000
    expect(step(50)).toBe(1000 + (50 * 51) / 2 + 2 * 51);
    expect(log).toEqual([...Array.from({ length: 51 }, (_, i) => 50 - i), ...Array.from({ length: 51 }, (_, i) => -i)]);
  });
});

describe('names', () => {
  const answering = (answer: number) => i32Host(() => answer);

  test('defined for all later compiles; an import comes first; a redefinition counts from then on', () => {
    const jit = makeJit();
    const load = (imports?: Record<string, HostFunction>) => jit.load(callingHost('f', 0), { imports }).get('f');
    jit.define('host', answering(1));
    const [first, imported] = [load(), load({ host: answering(2) })];
    jit.define('host', answering(3));
    expect([first(0), imported(0), load()(0), load({ host: answering(4) })(0), first(0)]).toEqual([1, 2, 3, 4, 1]);
  });

  test('a host function stands before a process symbol, and a function of the module before a host function', () => {
    const jit = makeJit();
    // What LLVM knows by name, such as abs, it computes itself.
    const calling = 'define i32 @f(i32 %x) {\n %y = call i32 @tolower(i32 %x)\n ret i32 %y\n}';
    const imports = { tolower: i32Host((x) => x * 100) };
    expect(jit.load(`declare i32 @tolower(i32)\n${calling}`).get('f')(65)).toBe(97);
    expect(jit.load(`declare i32 @tolower(i32)\n${calling}`, { imports }).get('f')(65)).toBe(6500);
    const own = 'define i32 @tolower(i32 %x) noinline {\n ret i32 5\n}\n';
    expect(jit.load(own + calling, { imports }).get('f')(65)).toBe(5);
  });

  test.each([
    ['', 'host function'],
    ['weird name "\\ñ', undefined],
    ['a\0b', undefined],
    ['\ud800', undefined],
    ['x'.repeat(5000), undefined],
  ])('a JS function called %j links, and is named in messages', (name, shown) => {
    const { callback } = { callback: Object.defineProperty(() => 'wrong', 'name', { value: name }) };
    const f = makeJit()
      .load(callingHost('f'), { imports: { host: i32Host(callback) } })
      .get('f');
    expect(errorOf(() => f(1)).message.startsWith(shown ?? name.slice(0, 1))).toBe(true);
  });

  test('a JS function whose name changes, or is no string, links all the same', () => {
    const jit = makeJit();
    const callback = (x: number) => x + 1;
    const host = i32Host(callback);
    expect(jit.load(callingHost('f'), { imports: { host } }).get('f')(1)).toBe(3);
    Object.defineProperty(callback, 'name', { value: 'other' });
    expect(jit.load(callingHost('f'), { imports: { host } }).get('f')(1)).toBe(3);
    const odd = Object.defineProperty((x: number) => x, 'name', { value: 5 });
    expect(jit.load(callingHost('f'), { imports: { host: i32Host(odd) } }).get('f')(1)).toBe(2);
  });

  test('one host function in two Jits, under two names, and after one Jit is gone', () => {
    const calls: number[] = [];
    const host = i32Host((x) => calls.push(x));
    const [one, two] = [makeJit(), makeJit()];
    two.define('host', host);
    const functions = [one.load(callingHost('f'), { imports: { host } }).get('f'), two.load(callingHost('f')).get('f')];
    expect(functions.map((f, i) => f(i))).toEqual([2, 3]);
    one.dispose();
    expect([functions[1]!(7), calls]).toEqual([4, [0, 1, 7]]);
  });
});

describe('types', () => {
  const refused = [
    'foo',
    '',
    'i32',
    'ptr',
    'i32 (',
    'i32 ()x',
    'i32 (i32, ...)',
    'i128 (i32)',
    'void (i24)',
    '{i32, i32} ()',
    'void ([4 x i8])',
  ];
  const hostile = [
    'void (<4 x i32>)',
    'void (label)',
    'void (metadata)',
    'void (token)',
    'void (void)',
    'void (half)',
    '%T ()',
    'i8388609 ()',
  ];
  const passing = [
    `i32 (${Array.from({ length: 1001 }, () => 'i32').join(', ')})`,
    'void (ptr addrspace(1))',
    'x\0y',
    'i32 ()\0',
  ];

  test.each([...refused, ...hostile, ...passing].map((type) => [type.slice(0, 30), type]))(
    '%j is a SignatureError',
    (_, type) => {
      const error = errorOf(() => hostFunction(type, () => 0));
      expect(error).toBeInstanceOf(SignatureError);
      expect(error.code).toBe('ERR_SIGNATURE');
    },
  );

  test('what is no string or no function is a TypeError', () => {
    for (const type of [undefined, 5, null, {}])
      expect(errorOf(() => hostFunction(type as never, () => 0))).toBeInstanceOf(TypeError);
    for (const fn of [undefined, 5, null, {}, 'f'])
      expect(errorOf(() => hostFunction('void ()', fn as never))).toBeInstanceOf(TypeError);
    for (const fn of [undefined, 5, {}]) expect(errorOf(() => makeJit().onSafepoint(fn as never))).toBeInstanceOf(TypeError);
  });

  test('what it is can be read', () => {
    const callback = (x: number) => x;
    expect(hostFunction('i32(i32)', callback)).toMatchObject({ type: 'i32 (i32)', name: 'callback', callback });
  });

  test('a parenthesis a hundred thousand times does not end the process', async () => {
    const deep = await childResult<string[]>(`
      const seen = [];
      for (const type of ['('.repeat(100000), '{'.repeat(100000), 'void ('.repeat(100000), '[1 x '.repeat(100000)])
        try { nomad.hostFunction(type, () => 0); seen.push('made'); } catch (error) { seen.push(error.code); }
      console.log(JSON.stringify(seen));`);
    expect(deep).toEqual(['ERR_SIGNATURE', 'ERR_SIGNATURE', 'ERR_SIGNATURE', 'ERR_SIGNATURE']);
  });
});

describe('pointers', () => {
  test('a Callable as result is its entry stub, which code calls, also after its code object has moved', () => {
    const { jit, add: place, nextCode } = makeGround();
    const adder = place(add);
    const source = `declare ptr @pick()
define i32 @f(i32 %x) {
  %g = call ptr @pick()
  %r = call i32 %g(i32 %x, i32 5)
  ret i32 %r
}`;
    const pick = hostFunction('ptr ()', () => adder.get('add'));
    const f = jit.load(source, { imports: { pick } }).get('f');
    for (let i = 0; i < 5; i++) {
      expect(f(i)).toBe(i + 5);
      adder.relocate(nextCode());
    }
    const freed = adder.get('add');
    adder.free();
    const late = jit.load(source, { imports: { pick: hostFunction('ptr ()', () => freed) } }).get('f');
    expect(errorOf(() => late(1)).code).toBe('ERR_STATE');
  });

  test('the address of a host function can be taken, stored, compared and called', () => {
    const source = `declare i32 @host(i32)
@kept = global ptr @host
define i32 @f(i32 %x) {
  %g = load ptr, ptr @kept
  %r = call i32 %g(i32 %x)
  ret i32 %r
}
define i1 @same() {
  %g = load ptr, ptr @kept
  %r = icmp eq ptr %g, @host
  ret i1 %r
}`;
    const object = makeJit().load(source, { imports: { host: i32Host((x) => x * 3) } });
    expect([object.get('f')(7), object.get('same')()]).toEqual([21, true]);
  });

  test(`qsort of libc with a comparator in code that asks a host function (seed ${seed})`, () => {
    const random = randomIntegers();
    for (const value of noCodegen) {
      let calls = 0;
      const host = hostFunction('i32 (i32, i32)', (a: number, b: number) => (calls++, a < b ? 1 : a > b ? -1 : 0));
      const sort = withNoCodegen(value, () => makeJit().load(sortingByHost, { imports: { host } })).get('sort');
      const values = Int32Array.from({ length: 300 }, () => random(2 ** 32) - 2 ** 31);
      const expected = Array.from(values).sort((a, b) => b - a);
      sort(values, 300);
      expect(Array.from(values)).toEqual(expected);
      expect(calls).toBeGreaterThan(300);
    }
  });

  test('a host function is itself the comparator', () => {
    const source = `declare void @qsort(ptr, i64, i64, ptr)\ndeclare i32 @host(ptr, ptr)
define void @sort(ptr %values, i64 %n) {\n call void @qsort(ptr %values, i64 %n, i64 4, ptr @host)\n ret void\n}`;
    const values = Int32Array.of(5, -3, 9, 0, 7, 7, -8);
    const jit: Jit = makeJit();
    const read = jit.load('define i32 @read(ptr %p) {\n %x = load i32, ptr %p\n ret i32 %x\n}').get('read');
    const host = hostFunction('i32 (ptr, ptr)', (a: bigint, b: bigint) => (read(a) as number) - (read(b) as number));
    jit.load(source, { imports: { host } }).get('sort')(values, values.length);
    expect(Array.from(values)).toEqual([-8, -3, 0, 5, 7, 7, 9]);
    expectWorking(jit);
  });
});
