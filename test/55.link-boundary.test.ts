/**
 * What is wrong with an object file ends its link, by either linker, and nothing else (I6, I14, I18).
 *
 * Oracles: the error's class; known answers of the compile after it; the process's memory.
 */
import { readFileSync } from 'node:fs';
import { hostFunction, JitError, LinkError, UnsupportedError } from 'nomad-jit';
import { errorOf, makeJit } from './support/jits';
import { add } from './support/programs';

const linkers = ['jitlink', 'runtimedyld'] as const;
const assembly = (...lines: string[]): string => lines.map((line) => `module asm "${line.replaceAll('"', '\\22')}"\n`).join('');
const resident = (): number => Number(/^VmRSS:\s+(\d+)/m.exec(readFileSync('/proc/self/status', 'utf8'))?.[1]) * 1024;
const section = '.section .text.z,"ax",@progbits';
const global = '@g = global i64 7\ndefine i64 @f() { %v = load i64, ptr @g ret i64 %v }';

describe.each(linkers)('%s', (linker) => {
  const jit = (): ReturnType<typeof makeJit> => makeJit({ linker });

  test.each(['1000000000000', '5000000000', '100000000000000'])('a variable of %s bytes takes no memory', (bytes) => {
    const own = jit();
    own.load(add);
    const before = resident();
    const error = errorOf(() => own.compile(`@g = global [${bytes} x i8] zeroinitializer define ptr @f() { ret ptr @g }`));
    expect(error).toBeInstanceOf(LinkError);
    expect(error.message).toContain(`${bytes} bytes of data are more than the arena's`);
    expect(resident() - before).toBeLessThan(32 * 2 ** 20);
    expect(own.load(add).get('add')(2, 3)).toBe(5);
  });

  test('a size that 64 bits can not count is refused by name', () => {
    expect(() => jit().compile('@huge = global [2305843009213693952 x i64] zeroinitializer')).toThrow(/'huge' is larger/);
    expect(() => jit().compile('@huge = global { [1073741824 x [1073741824 x [64 x i64]]], i8 } zeroinitializer')).toThrow(
      /'huge' is larger/,
    );
    expect(() => jit().compile('define void @f() { %a = alloca [2305843009213693952 x i64] ret void }')).toThrow(
      UnsupportedError,
    );
  });

  test('relocations that no linker expects are errors, one after the other in one Jit', () => {
    const own = jit();
    const kinds =
      '64 PC64 PC32 32 32S 16 8 PC16 PC8 GOT32 PLT32 GLOB_DAT JUMP_SLOT RELATIVE GOTPCREL GOTOFF64 GOTPC32 GOT64 GOTPCREL64 GOTPC64 GOTPLT64 PLTOFF64 SIZE32 SIZE64 IRELATIVE GOTPCRELX REX_GOTPCRELX COPY DTPMOD64 TPOFF64';
    let errors = 0;
    for (const kind of kinds.split(' ')) {
      const source = assembly(section, '.globl z', 'z: .zero 16', `.reloc z+4, R_X86_64_${kind}, g`) + global;
      try {
        own.compile(source);
      } catch (error) {
        expect(error).toBeInstanceOf(JitError);
        errors++;
      }
    }
    expect(errors).toBeGreaterThan(15);
    expect(own.load(global).get('f')()).toBe(7n);
  });

  test.each([
    ['behind the last byte', ['z: ret', 'e:', '.reloc e+35, R_X86_64_PC32, g'], /not in the 1 bytes/],
    ['half behind it', ['z: .zero 16', '.reloc z+13, R_X86_64_PC32, g'], /not in the 16 bytes/],
    [
      'in the same bytes as another',
      ['z: .zero 16', '.reloc z+4, R_X86_64_PC32, g', '.reloc z+6, R_X86_64_PC32, g'],
      /two relocations/,
    ],
  ])('a relocation %s is refused by name', (_, lines, message) => {
    const own = jit();
    const error = errorOf(() => own.compile(assembly(section, '.globl z', ...lines) + global));
    expect(error).toBeInstanceOf(UnsupportedError);
    expect(error.message).toMatch(message);
    expect(own.load(global).get('f')()).toBe(7n);
  });

  test.each(['+65536', '+1', '-64'])('a call of %s from the start of what is elsewhere is refused by name', (addend) => {
    const own = jit();
    const callee = own.load('define i32 @callee(i32 %x) { ret i32 %x }').get('callee');
    const call = (to: string): string => assembly('.globl f', `f: call ${to}`, 'ret') + 'declare i32 @callee(i32)';
    for (const name of ['callee', 'toupper']) {
      const error = errorOf(() => own.compile(call(`${name}@PLT${addend}`), { imports: { callee } }));
      expect(error).toBeInstanceOf(UnsupportedError);
      expect(error.message).toContain(`calls '${name}' with ${String(Number(addend))} added`);
    }
    expect(own.load(call('callee@PLT'), { imports: { callee } }).references.length).toBe(1);
  });

  test('an addend that some place in the arena could not reach is refused, others move anywhere', () => {
    const own = jit();
    const far = (addend: string): string =>
      `@g = global i64 7\ndefine i64 @far() { %a = call i64 asm "leaq g${addend}(%rip), $0", "=r"() ret i64 %a }`;
    for (const addend of ['+0x4c000000', '+0x7f000000']) expect(() => own.compile(far(addend))).toThrow(LinkError);
    const { code, data } = own.stats().reservedBytes;
    const space = own.createSpace({ codeBytes: code - 0x10000, constantBytes: 0x10000, dataBytes: data - 0x10000 });
    const object = own.compile(far('+0x10000000'));
    const ends = [
      { code: 0, data: 0 },
      { code: 0, data: data - 0x20000 },
      { code: code - 0x20000, data: 0 },
    ];
    object.place({ space, ...ends[0]! });
    for (const end of ends) {
      object.relocate({ space, ...end });
      expect(BigInt.asUintN(64, object.get('far')() as bigint)).toBe(object.addressOf('g') + 0x10000000n);
    }
  });

  test('alignment of assembly, common symbols and a section named .got', () => {
    const own = jit();
    expect(() => own.compile(assembly(section, '.p2align 20', 'z: ret') + add)).toThrow(/alignment 1048576 of section '.text.z'/);
    const common = (): unknown => own.compile(assembly('.comm n,4,4') + add);
    expect(() => own.compile(assembly('.comm n,4,4') + add, { retain: 'object' })).toThrow(/'n' of assembly is common/);
    if (linker === 'runtimedyld') expect(common).toThrow(/'n' of assembly is common/);
    else expect(common).not.toThrow();
    const got = '@g = global i32 7, section ".got"\n@environ = external global ptr\ndefine ptr @e() { ret ptr @environ }';
    const object = own.load(`${got}\ndefine i32 @f() { %v = load i32, ptr @g ret i32 %v }`);
    expect(object.get('f')()).toBe(7);
    expect(object.get('e')()).not.toBe(0n);
  });
});

test('assembly leaves nothing in the code generator for the next module', () => {
  const jit = makeJit();
  for (let i = 0; i < 40; i++) {
    jit.compile(assembly(section, '.globl z', 'z: .zero 16', '.reloc z+4, R_X86_64_64, g') + global);
    expect(jit.load(global).get('f')()).toBe(7n);
  }
});

test('safestack is refused by name', () => {
  const source = 'define i32 @f() safestack { %a = alloca i32 store volatile i32 1, ptr %a ret i32 1 }';
  expect(() => makeJit().compile(source)).toThrow(/function 'f' has safestack/);
});

test('what is wrong with a module that has debug information is an IRVerifyError, and nothing is printed', () => {
  const source = `define i32 @llvm.sqrt(i32 %x) { ret i32 %x }
!llvm.module.flags = !{!0}
!0 = !{i32 2, !"Debug Info Version", i32 3}`;
  expect(errorOf(() => makeJit().compile(source)).name).toBe('IRVerifyError');
});

test('a type that is nested too deeply is an error', () => {
  const deep = `${'{'.repeat(200_000)} i32 ${'}'.repeat(200_000)} ()`;
  expect(() => hostFunction(deep, () => 0)).toThrow(JitError);
  expect(makeJit().load(add).get('add')(2, 3)).toBe(5);
});
