/**
 * IR that is meant to harm: whatever it is, it compiles or throws a JitError, and the Jit goes on (I14).
 */
import { type Jit, JitError } from 'nomad-jit';
import { expectWorking, makeJit } from './support/jits';
import { add, returning } from './support/programs';

type Outcome = string[];
const parse: Outcome = ['ERR_IR_PARSE'];
const verify: Outcome = ['ERR_IR_VERIFY'];
const invalid: Outcome = [...parse, ...verify];
const codegen: Outcome = ['ERR_CODEGEN'];
const refused: Outcome = [...invalid, ...codegen, 'ERR_LINK', 'ERR_UNRESOLVED_SYMBOL', 'ERR_UNSUPPORTED', 'ERR_SPACE_FULL'];
const anything: Outcome = ['ok', ...refused];

const nested = (open: string, inner: string, close: string, depth: number): string =>
  open.repeat(depth) + inner + close.repeat(depth);

/** Each with the outcomes that are right. */
const sources: Array<[string, () => string | Uint8Array, Outcome]> = [
  ['NUL bytes alone', () => '\0\0\0\0', anything],
  ['a NUL byte in the middle', () => `${add}\0${returning('g', 1)}`, anything],
  ['invalid UTF-8', () => Buffer.from([0x64, 0xff, 0xfe, 0xc0, 0x80]), parse],
  [
    'invalid UTF-8 in a name',
    () => Buffer.concat([Buffer.from('define i32 @"'), Buffer.from([0xff, 0xfe]), Buffer.from('"() { ret i32 1 }')]),
    anything,
  ],
  ['lone surrogates', () => 'define i32 @"\ud800"() { ret i32 1 }', anything],
  ['one byte', () => Uint8Array.of(0), anything],
  ['the magic of bitcode alone', () => Buffer.from([0x42, 0x43, 0xc0, 0xde]), parse],
  ['the magic of a bitcode wrapper alone', () => Buffer.from([0xde, 0xc0, 0x17, 0x0b, 0, 0, 0, 0]), parse],
  ['an ELF file', () => Buffer.from('\x7fELF\x02\x01\x01', 'latin1'), parse],
  ['no end of a function', () => 'define i32 @f() {', parse],
  ['no terminator', () => 'define i32 @f() {\n %x = add i32 1, 1\n}', parse],
  ['a duplicate function', () => `${returning('f', 1)}\n${returning('f', 2)}`, parse],
  ['a duplicate global', () => '@x = global i32 1\n@x = global i32 2', parse],
  ['a name that is a function and a global', () => `@f = global i32 1\n${returning('f', 2)}`, parse],
  ['a wrong result type', () => 'define i32 @f() { ret i64 1 }', parse],
  [
    'an unknown intrinsic',
    () => 'declare i32 @llvm.no.such.thing(i32)\ndefine i32 @f() {\n %x = call i32 @llvm.no.such.thing(i32 1)\n ret i32 %x\n}',
    refused,
  ],
  ['a defined intrinsic', () => 'define i32 @llvm.abs.i32(i32 %x, i1 %y) { ret i32 1 }', refused],
  [
    'an intrinsic of another target',
    () =>
      'declare i32 @llvm.aarch64.neon.saddlv.i32.v4i16(<4 x i16>)\ndefine i32 @f(<4 x i16> %x) {\n %y = call i32 @llvm.aarch64.neon.saddlv.i32.v4i16(<4 x i16> %x)\n ret i32 %y\n}',
    refused,
  ],
  [
    'an intrinsic that this CPU may lack',
    () =>
      'declare void @llvm.x86.tileloadd64(i8, ptr, i64)\ndeclare void @llvm.x86.tilezero(i8)\ndefine void @f() {\n call void @llvm.x86.tilezero(i8 1)\n ret void\n}',
    anything,
  ],
  [
    'inline assembly that is gibberish',
    () => 'define void @f() {\n call void asm sideeffect "mov %nonsense, 5 # !!", ""()\n ret void\n}',
    codegen,
  ],
  [
    'inline assembly with impossible constraints',
    () => 'define i32 @f() {\n %x = call i32 asm "", "={nosuchreg}"()\n ret i32 %x\n}',
    refused,
  ],
  [
    'inline assembly that defines a symbol twice',
    () => 'define void @f() {\n call void asm sideeffect "twice: nop\\0Atwice: nop", ""()\n ret void\n}',
    codegen,
  ],
  ['module assembly that is gibberish', () => `module asm "gibberish here"\n${add}`, codegen],
  [
    'module assembly that opens a section and never returns',
    () => `module asm ".section .weird,\\22aw\\22"\nmodule asm ".quad 1"\n${add}`,
    anything,
  ],
  [
    'module assembly that includes a file',
    () => `module asm ".incbin \\22/etc/shadow-not-there\\22"\n${add}`,
    ['ERR_UNSUPPORTED'],
  ],
  [
    'module assembly with an endless macro',
    () => `module asm ".macro m"\nmodule asm "m"\nmodule asm ".endm"\nmodule asm "m"\n${add}`,
    codegen,
  ],
  ['a reserved name, of a global', () => '@nomad.x = global i32 1', ['ERR_UNSUPPORTED']],
  [
    'a reserved name, of a declaration',
    () => 'declare void @nomad.x()\ndefine void @f() {\n call void @nomad.x()\n ret void\n}',
    ['ERR_UNSUPPORTED'],
  ],
  ['an ifunc that resolves to null', () => 'define ptr @r() { ret ptr null }\n@i = ifunc void (), ptr @r', ['ok']],
  ['an ifunc without a resolver', () => '@i = ifunc void (), ptr inttoptr (i64 8 to ptr)', refused],
  ['an alias of a number', () => '@a = alias i32, inttoptr (i64 8 to ptr)', refused],
  ['a global of 1 TB', () => '@x = global [1000000000000 x i8] zeroinitializer', refused],
  ['a global of 2 ** 62 bytes', () => '@x = global [4611686018427387904 x i8] zeroinitializer', refused],
  ['a global of 2 ** 64 - 1 bytes', () => '@x = global [18446744073709551615 x i8] zeroinitializer', refused],
  ['a bss of 3 GB', () => '@x = global [3000000000 x i8] zeroinitializer', refused],
  [
    'two globals that are too large together',
    () => '@x = global [200000000 x i8] zeroinitializer\n@y = global [200000000 x i8] zeroinitializer',
    refused,
  ],
  ['a constant of 300 MB', () => '@x = constant [300000000 x i8] zeroinitializer', refused],
  ['an alloca of 1 TB', () => 'define ptr @f() {\n %x = alloca [1000000000000 x i8]\n ret ptr %x\n}', anything],
  ['an alignment of 4 GB', () => '@x = global i32 1, align 4294967296', refused],
  ['an alignment of 1 MB', () => '@x = global i32 1, align 1048576', anything],
  [
    'an integer of 4,096 bits',
    () => 'define void @f(ptr %p) {\n %x = load i4096, ptr %p\n %y = add i4096 %x, 1\n store i4096 %y, ptr %p\n ret void\n}',
    anything,
  ],
  [
    'a vector of 1024 elements',
    () =>
      'define void @f(ptr %p) {\n %x = load <1024 x i64>, ptr %p\n %y = mul <1024 x i64> %x, %x\n store <1024 x i64> %y, ptr %p\n ret void\n}',
    anything,
  ],
  ['a division of i256', () => 'define i256 @f(i256 %a, i256 %b) {\n %c = sdiv i256 %a, %b\n ret i256 %c\n}', anything],
  [
    'a scalable vector',
    () =>
      'define <vscale x 4 x i32> @f(<vscale x 4 x i32> %a) {\n %b = add <vscale x 4 x i32> %a, %a\n ret <vscale x 4 x i32> %b\n}',
    refused,
  ],
  ['a recursive alias', () => '@a = alias i32, ptr @b\n@b = alias i32, ptr @a', refused],
  ['a global that is its own initial value', () => '@x = global ptr @x', ['ok']],
  ['an unreachable function', () => 'define void @f() { unreachable }', ['ok']],
  [
    'an empty module with module flags of nonsense',
    () => '!llvm.module.flags = !{!0}\n!0 = !{i32 99, !"x", i32 1}',
    [...anything],
  ],
  [
    'debug information that is broken',
    () => `${add.replace('ret i32 %sum', 'ret i32 %sum, !dbg !0')}\n!0 = !DILocation(line: 1, column: 1, scope: !1)\n!1 = !{}`,
    anything,
  ],
  ['gc "statepoint-example"', () => 'define void @f() gc "no-such-gc" {\n ret void\n}', anything],
  [
    'an unknown target feature',
    () => add.replace('{', 'nounwind "target-cpu"="no-such-cpu" "target-features"="+no-such-feature" {'),
    anything,
  ],
  ['a section name of nonsense', () => '@x = global i32 1, section "a b\\0Ac\\00d"', anything],
  [
    'constructors that are no functions',
    () =>
      '@llvm.global_ctors = appending global [1 x { i32, ptr, ptr }] [{ i32, ptr, ptr } { i32 1, ptr inttoptr (i64 5 to ptr), ptr null }]',
    anything,
  ],
  ['constructors of a wrong type', () => '@llvm.global_ctors = appending global [1 x i32] [i32 1]', anything],
  [
    'a constructor that takes arguments',
    () =>
      'define void @f(i32 %x) { ret void }\n@llvm.global_ctors = appending global [1 x { i32, ptr, ptr }] [{ i32, ptr, ptr } { i32 1, ptr @f, ptr null }]',
    anything,
  ],
  ['a line of 100 MB', () => `; ${'x'.repeat(100_000_000)}\n${add}`, ['ok']],
  ['a name of 10 MB', () => returning('x'.repeat(10_000_000), 1), anything],
  [
    '100,000 functions that are only declared',
    () => Array.from({ length: 100_000 }, (_, i) => `declare void @d${i}()`).join('\n'),
    ['ok'],
  ],
  ['types nested 100,000 deep', () => `@x = external global ${nested('{', 'i8', '}', 100_000)}`, refused],
  ['arrays nested 100,000 deep', () => `@x = global ${nested('[1 x ', 'i8', ']', 100_000)} zeroinitializer`, refused],
  ['constants nested 100,000 deep', () => `@x = global i64 ${nested('add (i64 1, i64 ', '1', ')', 100_000)}`, refused],
  [
    'constant expressions nested 100,000 deep',
    () => `@y = global i8 0\n@x = global ptr ${nested('getelementptr (i8, ptr ', '@y', ', i64 1)', 100_000)}`,
    anything,
  ],
  ['parentheses nested 100,000 deep', () => `define void @f() { ${nested('(', '', ')', 100_000)} }`, parse],
  [
    'metadata nested 100,000 deep',
    () => `!named = !{!0}\n${nested('!0 = !{', '', '}', 1)}\n!1 = ${nested('!{', '', '}', 100_000)}`,
    anything,
  ],
  [
    'a chain of 100,000 casts in one block',
    () =>
      `define i64 @f(i64 %x0) {\n${Array.from({ length: 100_000 }, (_, i) => ` %x${i + 1} = xor i64 %x${i}, ${i}`).join('\n')}\n ret i64 %x100000\n}`,
    anything,
  ],
  [
    'a chain of 20,000 blocks',
    () =>
      `define void @f() {\n br label %b0\n${Array.from({ length: 20_000 }, (_, i) => `b${i}:\n br label %b${i + 1}`).join('\n')}\nb20000:\n ret void\n}`,
    ['ok'],
  ],
];

function outcomeOf(jit: Jit, source: string | Uint8Array): string {
  try {
    jit.compile(source, { name: 'hostile', optLevel: 0 }).free();
    return 'ok';
  } catch (error) {
    if (!(error instanceof JitError)) throw error;
    expect(error.message).toContain('hostile');
    expect(error.message.length).toBeLessThan(20_000);
    return error.code;
  }
}

test.each(sources)('%s', (_, make, outcomes) => {
  const jit = makeJit();
  expect(outcomes).toContain(outcomeOf(jit, make()));
  expectWorking(jit);
});

test('all of the small ones one after the other, twice, in one Jit, also at O2', () => {
  const jit = makeJit();
  const small = sources.map(([, make]) => make).filter((make) => make().length < 100_000);
  for (let round = 0; round < 2; round++) {
    for (const make of small) outcomeOf(jit, make());
    expectWorking(jit);
  }
});
