/**
 * What code calls and what it is given must be of one type. Oracle: the types written in the test.
 */
import { hostFunction, SignatureError, type Callable, type CompileOptions, type HostFunction, type Jit } from 'nomad-jit';
import { i32Host } from './support/hosts';
import { errorOf, expectWorking, makeJit, rejectionOf, snapshot } from './support/jits';
import { multiplying } from './support/programs';

/** `i32 via()`: calls `@host`, declared and called with other types. */
function calling(result: string, parameters: readonly string[]): string {
  const values = parameters.map((type) => `${type} zeroinitializer`).join(', ');
  return `declare ${result} @host(${parameters.join(', ')})
define i32 @via() {
  call ${result} @host(${values})
  ret i32 3
}`;
}

const wrong: ReadonlyArray<readonly [text: string, source: string]> = [
  ['i64 (double)', calling('i64', ['double'])],
  ['i32 (i64)', calling('i32', ['i64'])],
  ['i64 (i32)', calling('i64', ['i32'])],
  ['void (i32)', calling('void', ['i32'])],
  ['i32 ()', calling('i32', [])],
  ['i32 (i32, i32)', calling('i32', ['i32', 'i32'])],
  ['<4 x float> (i32)', calling('<4 x float>', ['i32'])],
  ['i32 (%pair)', `%pair = type { i32, i32 }\n${calling('i32', ['%pair'])}`],
];

/** How a name gets a function of type `i32 (i32)`. */
const ways: Record<string, (jit: Jit) => CompileOptions['imports']> = {
  'a host function as an import': () => ({ host: i32Host((x) => x) }),
  'a Callable as an import': (jit) => ({ host: jit.load(multiplying('f', 2)).get('f') }),
  'a host function that is defined': (jit) => {
    jit.define(
      'host',
      i32Host((x) => x),
    );
    return undefined;
  },
  'a Callable that is defined': (jit) => {
    jit.define('host', jit.load(multiplying('f', 2)).get('f'));
    return undefined;
  },
  'a declaration': (jit) => {
    jit.declare('host', 'i32 (i32)');
    return undefined;
  },
  'a declaration that was defined': (jit) => {
    jit.declare('host', 'i32 (i32)');
    jit.define(
      'host',
      i32Host((x) => x),
    );
    return undefined;
  },
};

describe.each(Object.entries(ways))('%s', (_, give) => {
  test.each(wrong)('declared as %s: a SignatureError that names all of it, nothing changed', async (text, source) => {
    const jit = makeJit();
    const imports = give(jit);
    const options = { name: 'caller', ...(imports && { imports }) };
    jit.compile(multiplying('f', 3)).free();
    const before = snapshot(jit, []);
    for (const optLevel of [0, 2] as const) {
      const errors = [
        errorOf(() => jit.compile(source, { ...options, optLevel })),
        await rejectionOf(jit.compileAsync(source, { ...options, optLevel })),
      ];
      for (const error of errors) {
        expect([error instanceof SignatureError, error.code]).toEqual([true, 'ERR_SIGNATURE']);
        expect(error.message).toContain(`caller: 'host' is declared as ${text}`);
        expect(error.message).toMatch(/of type i32 \(i32\)$/);
      }
    }
    expect(snapshot(jit, [])).toEqual(before);
    expectWorking(jit);
  });
});

describe('is no mistake', () => {
  const host = (): HostFunction => i32Host((x) => x + 1);
  const load = (source: string, imports: CompileOptions['imports']): Callable => makeJit().load(source, { imports }).get('via');

  test('the same type', () => {
    expect(load(calling('i32', ['i32']), { host: host() })()).toBe(3);
  });

  test('variable arguments: C writes `int f()` so', () => {
    const source = `declare i32 @host(...)\ndefine i32 @via() {\n %r = call i32 (...) @host(i32 4)\n ret i32 %r\n}`;
    expect(load(source, { host: host() })()).toBe(5);
  });

  test('a declaration for the address only, which code calls with the type it knows', () => {
    const source = `declare void @host()
@kept = global ptr @host
define i32 @via() {
  %p = load volatile ptr, ptr @kept
  %r = call i32 %p(i32 4)
  ret i32 %r
}`;
    expect(load(source, { host: host() })()).toBe(5);
  });

  test('an address, whose type nobody knows', () => {
    const target = makeJit().load(multiplying('f', 2)).get('f');
    expect(load(calling('void', ['i32']), { host: target.entry })()).toBe(3);
  });

  test('a declaration that nothing calls', () => {
    expect(load(`declare i64 @host(double)\ndefine i32 @via() { ret i32 3 }`, { host: host() })()).toBe(3);
  });

  test('a definition of another type under the same name', () => {
    const jit = makeJit();
    jit.define('host', host());
    const source = `define double @host(double %x) { ret double %x }
define double @via(double %x) {
  %r = call double @host(double %x)
  ret double %r
}`;
    expect(jit.load(source).get('via')(1.5)).toBe(1.5);
  });

  test('what LLVM calls for an intrinsic', () => {
    const lines: string[] = [];
    const memcpy = hostFunction('void (ptr)', (to: bigint) => void lines.push(typeof to));
    const source = `declare void @llvm.memcpy.p0.p0.i64(ptr, ptr, i64, i1)
define i32 @via(ptr %to, ptr %from, i64 %n) {
  call void @llvm.memcpy.p0.p0.i64(ptr %to, ptr %from, i64 %n, i1 false)
  ret i32 3
}`;
    const jit = makeJit({ optLevel: 2 });
    const [to, from] = [new Uint8Array(100), new Uint8Array(100).fill(1)];
    expect(jit.load(source, { imports: { memcpy } }).get('via')(to, from, 100)).toBe(3);
    expect([lines, to[0]]).toEqual([['bigint'], 0]);
  });
});
