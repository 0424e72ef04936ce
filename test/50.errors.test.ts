/**
 * The table of errors: for each row its class, code, extra fields, what the message names; and that the Jit still works.
 */
import * as nomad from 'nomad-jit';
import { type CodeObject, type CodeSpace, type Jit, JitError } from 'nomad-jit';
import { at, errorOf, expectWorking, makeJit, rejectionOf } from './support/jits';
import { add, calling, multiplying, returning } from './support/programs';

interface Scene {
  jit: Jit;
  space: CodeSpace;
  object: CodeObject;
}

interface Row {
  errorClass: keyof typeof nomad;
  code: string;
  when: string;
  cause: (scene: Scene) => unknown;
  message: RegExp;
  extra?: object;
}

const named = { name: 'subject' };

const rows: Row[] = [
  {
    ...{ errorClass: 'IRParseError', code: 'ERR_IR_PARSE', when: 'IR text does not parse' },
    cause: ({ jit }) => jit.compile('define i32 @f() {\n  ret i32 gibberish\n}', named),
    message: /^subject:2:11: .*\n {2}.*ret i32 gibberish/s,
    extra: { line: 2, column: 11, sourceLine: '  ret i32 gibberish' },
  },
  {
    ...{ errorClass: 'IRParseError', code: 'ERR_IR_PARSE', when: 'bitcode does not parse' },
    cause: ({ jit }) => jit.compile(Buffer.from('BC\xc0\xdenonsense', 'latin1'), named),
    message: /subject/,
    extra: { line: 0, column: 0, sourceLine: '' },
  },
  {
    ...{ errorClass: 'IRVerifyError', code: 'ERR_IR_VERIFY', when: 'the verifier objects' },
    cause: ({ jit }) =>
      jit.compile('define i32 @f() {\n br label %a\na:\n %x = add i32 %y, 1\n %y = add i32 %x, 1\n ret i32 %y\n}', named),
    message: /subject: Instruction does not dominate all uses/,
  },
  {
    ...{ errorClass: 'CodegenError', code: 'ERR_CODEGEN', when: 'inline assembly does not assemble' },
    cause: ({ jit }) => jit.compile('define void @f() {\n call void asm sideeffect "gibberish", ""()\n ret void\n}', named),
    message: /subject.*gibberish/s,
  },
  {
    ...{ errorClass: 'CodegenError', code: 'ERR_CODEGEN', when: 'LLVM ends with a fatal error' },
    cause: ({ jit }) =>
      jit.compile(
        'declare i32 @llvm.aarch64.neon.saddlv.i32.v4i16(<4 x i16>)\ndefine i32 @f(<4 x i16> %x) {\n %y = call i32 @llvm.aarch64.neon.saddlv.i32.v4i16(<4 x i16> %x)\n ret i32 %y\n}',
        named,
      ),
    message: /subject.*LLVM cannot go on/,
  },
  {
    ...{ errorClass: 'UnresolvedSymbolError', code: 'ERR_UNRESOLVED_SYMBOL', when: 'nothing defines a name' },
    cause: ({ jit }) => jit.compile(calling('f', 'nobody_knows_this', 0), named),
    message: /subject.*nobody_knows_this/,
    extra: { symbols: ['nobody_knows_this'] },
  },
  {
    ...{ errorClass: 'UnsupportedError', code: 'ERR_UNSUPPORTED', when: 'the target is another' },
    cause: ({ jit }) => jit.compile(`target triple = "aarch64-unknown-linux-gnu"\n${add}`, named),
    message: /subject.*aarch64-unknown-linux-gnu.*x86_64/,
  },
  {
    ...{ errorClass: 'UnsupportedError', code: 'ERR_UNSUPPORTED', when: 'the data layout is another' },
    cause: ({ jit }) => jit.compile(`target datalayout = "E-p:32:32"\n${add}`, named),
    message: /subject.*E-p:32:32/,
  },
  {
    ...{ errorClass: 'UnsupportedError', code: 'ERR_UNSUPPORTED', when: 'a function has prefix data' },
    cause: ({ jit }) => jit.compile('define i32 @tagged() prefix i32 7 { ret i32 1 }', named),
    message: /subject.*'tagged' has prefix data/,
  },
  {
    ...{ errorClass: 'UnsupportedError', code: 'ERR_UNSUPPORTED', when: 'a name is reserved' },
    cause: ({ jit }) => jit.compile(returning('nomad.entry.f', 1), named),
    message: /subject.*'nomad\.entry\.f'/,
  },
  {
    ...{ errorClass: 'SignatureError', code: 'ERR_SIGNATURE', when: "JS can't call the function" },
    cause: ({ jit }) => jit.load('define i24 @odd(i24 %x) { ret i24 %x }').get('odd'),
    message: /'odd'.*i24 \(i24\)/,
  },
  {
    ...{ errorClass: 'PlacementError', code: 'ERR_PLACEMENT', when: 'a place is taken' },
    cause: ({ jit, space }) => jit.compile(add, named).place(at(space, 0)),
    message: /'subject'.*0x0.*'resident'/,
  },
  {
    ...{ errorClass: 'SpaceFullError', code: 'ERR_SPACE_FULL', when: 'a space is full' },
    cause: ({ jit }) =>
      jit.createSpace({ codeBytes: 4096, dataBytes: 0 }).allocate(jit.compile('@x = global [100 x i8] zeroinitializer', named)),
    message: /data.*'subject'.*100/,
    extra: { requestedBytes: 100, largestFreeBytes: 0 },
  },
  {
    ...{ errorClass: 'StateError', code: 'ERR_STATE', when: 'a code object is placed twice' },
    cause: ({ object, space }) => object.place(at(space, 4)),
    message: /'resident'.*placed/,
  },
];

function makeScene(): Scene {
  const jit = makeJit();
  const space = jit.createSpace();
  return { jit, space, object: jit.compile(multiplying('f', 2), { name: 'resident' }).place(at(space, 0)) };
}

test.each(rows)('$errorClass when $when', ({ errorClass, code, cause, message, extra }) => {
  const scene = makeScene();
  const error = errorOf(() => cause(scene));
  expect(error).toBeInstanceOf(nomad[errorClass]);
  expect(error).toBeInstanceOf(JitError);
  expect([error.constructor.name, error.name, error.code]).toEqual([errorClass, errorClass, code]);
  expect(error.message).toMatch(message);
  expect(error).toMatchObject(extra ?? {});
  expect(scene.object.get('f')(21)).toBe(42);
  expectWorking(scene.jit);
});

test('every unresolved symbol is named, dozens of them, once each', () => {
  const jit = makeJit();
  const names = Array.from({ length: 60 }, (_, i) => `missing_${String(i).padStart(2, '0')}`);
  const source = `${names.map((name) => `declare i32 @${name}(i32)`).join('\n')}
@taken = global ptr @missing_00
define i32 @f(i32 %x) {
${names.map((name, i) => `  %r${i} = call i32 @${name}(i32 %x)`).join('\n')}
  ret i32 %r0
}`;
  const error = errorOf(() => jit.compile(source));
  expect(error).toBeInstanceOf(nomad.UnresolvedSymbolError);
  expect([...(error.symbols ?? [])].sort()).toEqual(names);
  expect(error.message).toContain('missing_59');
});

test('unresolved data and functions whose address is taken are named as the user named them', () => {
  const source =
    '@there = external global i32\ndeclare void @func()\n@p = global ptr @func\ndefine i32 @f() {\n %x = load i32, ptr @there\n ret i32 %x\n}';
  const error = errorOf(() => makeJit().compile(source));
  expect([...(error.symbols ?? [])].sort()).toEqual(['func', 'there']);
});

describe('wrong options are TypeErrors or RangeErrors that name the option', () => {
  const jitOptions: Array<[unknown, RegExp]> = [
    [7, /options/],
    [null, /options/],
    [{ arenaBytes: '1' }, /arenaBytes/],
    [{ arenaBytes: 0 }, /arenaBytes/],
    [{ arenaBytes: -1 }, /arenaBytes.*-1/],
    [{ arenaBytes: 2 ** 31 }, /arenaBytes.*2147483648/],
    [{ arenaBytes: 1.5e7 + 0.5 }, /arenaBytes/],
    [{ arenaBytes: NaN }, /arenaBytes.*NaN/],
    [{ arenaBytes: (1 << 20) - 1 }, /arenaBytes/],
    [{ optLevel: 4 }, /optLevel.*4/],
    [{ optLevel: '2' }, /optLevel.*'2'/],
    [{ linker: 'ld' }, /linker.*'ld'/],
    [{ symbols: 'all' }, /symbols.*'all'/],
    [{ symbols: [1] }, /symbols\[0\].*1/],
    [{ symbols: [''] }, /symbols\[0\]/],
    [{ symbols: {} }, /symbols/],
  ];
  const compileOptions: Array<[unknown, RegExp]> = [
    [7, /options/],
    [{ name: 7 }, /name.*7/],
    [{ name: '' }, /name/],
    [{ optLevel: -1 }, /optLevel.*-1/],
    [{ moves: 'none' }, /moves.*'none'/],
    [{ retain: true }, /retain.*true/],
    [{ imports: 7 }, /imports/],
    [{ imports: { x: 7 } }, /'x'.*7/],
    [{ imports: { x: () => 1 } }, /'x'.*function/],
    [{ imports: { x: -1n } }, /'x'.*-1/],
    [{ imports: { x: 2n ** 64n } }, /'x'/],
    [{ imports: { '': 1n } }, /import/],
  ];
  const spaceOptions: Array<[unknown, RegExp]> = [
    [{ codeBytes: -1 }, /codeBytes.*-1/],
    [{ constantBytes: 0.5 }, /constantBytes/],
    [{ dataBytes: '1' }, /dataBytes/],
    [{ dataBytes: 2 ** 40 }, /dataBytes/],
    [{ allocator: 'buddy' }, /allocator.*'buddy'/],
  ];

  function expectRefused(run: () => unknown, message: RegExp): void {
    const error = errorOf(run);
    expect([TypeError, RangeError]).toContain(error.constructor);
    expect(error.message).toMatch(message);
  }

  test.each(jitOptions)('new Jit(%j)', (options, message) => expectRefused(() => makeJit(options as never), message));

  test.each(spaceOptions)('createSpace(%j)', (options, message) => {
    const jit = makeJit();
    expectRefused(() => jit.createSpace(options as never), message);
    expectWorking(jit);
  });

  test('compile and compileAsync', async () => {
    const jit = makeJit();
    for (const [options, message] of compileOptions) {
      expectRefused(() => jit.compile(add, options as never), message);
      expect((await rejectionOf(jit.compileAsync(add, options as never))).message).toMatch(message);
    }
    for (const source of [undefined, null, 7, {}, [], new ArrayBuffer(8), new Uint16Array(8)])
      expectRefused(() => jit.compile(source as never), /source/);
    expectWorking(jit);
  });

  test('define', () => {
    const jit = makeJit();
    const foreign = makeJit().load(add).get('add');
    for (const [name, value, message] of [
      ['', 1n, /name/],
      [7, 1n, /name.*7/],
      ['x', 7, /'x'.*7/],
      ['x', undefined, /'x'/],
      ['x', foreign, /'x'.*Jit/],
    ] as const)
      expectRefused(() => jit.define(name as never, value as never), message);
    expectWorking(jit);
  });

  test('proxies and getters that throw: their own error arrives', () => {
    const jit = makeJit();
    const thrown = new Error('mine');
    const options = {
      get name(): string {
        throw thrown;
      },
    };
    expect(errorOf(() => jit.compile(add, options))).toBe(thrown);
    expectWorking(jit);
  });
});

test('line and column count from 1; a long line is shown in part', () => {
  const jit = makeJit();
  const first = errorOf(() => jit.compile('gibberish'));
  expect([first.line, first.column]).toEqual([1, 1]);
  const long = errorOf(() => jit.compile(`define i32 @f(${'i32 %a,'.repeat(20_000)} gibberish) { ret i32 1 }`));
  expect(long.line).toBe(1);
  expect(long.column).toBeGreaterThan(100_000);
  expect(long.sourceLine!.length).toBeLessThan(400);
  expect(long.message.length).toBeLessThan(1000);
});
