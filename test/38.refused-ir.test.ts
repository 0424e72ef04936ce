/**
 * Valid IR that is refused: with UnsupportedError that names the construct and the symbol, at every level, and the Jit goes on.
 */
import { UnsupportedError, type OptLevel } from 'nomad-jit';
import { errorOf, expectWorking, makeJit } from './support/jits';
import { add } from './support/programs';
import { compileC } from './support/tools';

interface Refusal {
  source: string;
  message: RegExp;
}

const reading = (global: string) => `${global}\ndefine i32 @f() {\n  %a = load volatile i32, ptr @mine\n  ret i32 %a\n}`;
const inlined = (assembly: string, output = 'i64') =>
  `@n = global i32 5\ndefine ${output} @mine() {\n  %o = call ${output} asm sideeffect "${assembly}", "=r"()\n  ret ${output} %o\n}`;
const assembled = (...lines: string[]) => `${lines.map((line) => `module asm "${line}"`).join('\n')}\n${add}`;

const refusals: Record<string, Record<string, Refusal>> = {
  'thread-local variables': {
    'of another module': {
      source: '@mine = external thread_local global i32\ndefine i32 @f() {\n  %a = load i32, ptr @mine\n  ret i32 %a\n}',
      message: /thread-local variable 'mine' is another module's/,
    },
    'of another module, in C++': {
      source: compileC('c++', 'extern thread_local int mine; int f() { return mine; }'),
      message: /thread-local variable 'mine'/,
    },
    'whose address is an initial value': {
      source: '@mine = thread_local global i32 5\n@kept = global ptr @mine',
      message: /'kept' has the address of thread-local variable 'mine'/,
    },
    'in part, under another name': {
      source:
        '@mine = thread_local global [2 x i32] zeroinitializer\n@part = thread_local alias i32, getelementptr (i8, ptr @mine, i64 4)',
      message: /alias 'part'.*thread-local variable 'mine'/,
    },
    'of assembly': {
      source: assembled('.section .tdata,\\22awT\\22,@progbits', 'mine: .long 5'),
      message: /'\.tdata' \('mine'\) is for thread-local variables/,
    },
    'that assembly reads': {
      source: inlined('movl %fs:mine@TPOFF, $0', 'i32'),
      message: /R_X86_64_TPOFF32 towards 'mine'.*emulated/,
    },
  },
  aliases: {
    'of no variable': { source: '@mine = alias i32, inttoptr (i64 4096 to ptr)', message: /alias 'mine'/ },
    'of more than their variable': {
      source: '@n = global i32 5\n@mine = alias [2 x i32], ptr @n',
      message: /alias 'mine' reaches beyond variable 'n'/,
    },
    'of what lies before their variable': {
      source: '@n = global i32 5\n@mine = alias i8, getelementptr (i8, ptr @n, i64 -4)',
      message: /alias 'mine' reaches beyond variable 'n'/,
    },
  },
  'ifuncs of assembly': {
    '': {
      source: assembled('.globl mine', '.type mine,@gnu_indirect_function', 'mine: ret'),
      message: /ifunc 'mine' of assembly/,
    },
  },
  sections: Object.fromEntries(
    ['.preinit_array', '.ctors', '.dtors', '.eh_frame', '.gcc_except_table', '$__GOT', '.symtab', '.strtab', '.rela.text'].map(
      (name) => [
        name,
        {
          source: reading(`@mine = global i32 5, section "${name}"`),
          message: new RegExp(`'mine'.*'${name.replaceAll(/[$.]/g, '\\$&')}'`),
        },
      ],
    ),
  ),
  'what sections forbid': {
    'functions among pointers to functions': {
      source: 'define void @mine() section ".init_array" { ret void }',
      message: /'mine'/,
    },
    'variables among constants': { source: reading('@mine = global i32 5, section ".data.rel.ro"'), message: /variable 'mine'/ },
    'variables among functions': {
      source: `${reading('@mine = global i32 5, section ".same"')}\ndefine void @g() section ".same" { ret void }`,
      message: /'\.same' \('(mine|g)'\).*different permissions/,
    },
    'what is not loaded': {
      source: `${reading('@mine = global i32 5, section ".unloaded", !exclude !0')}\n!0 = !{}`,
      message: /'\.unloaded'.*not loaded/,
    },
    'assembly among pointers to functions': {
      source: assembled('.section .init_array,\\22aw\\22,@init_array', '.quad add'),
      message: /'\.init_array'.*functions to run/,
    },
    'assembly among unwind records': { source: assembled('.section .eh_frame,\\22a\\22', '.quad 1'), message: /module assembly/ },
    'inline assembly among unwind records': {
      source: inlined('.pushsection .eh_frame; .quad 1; .popsection; movq $$1, $0'),
      message: /function 'mine' has assembly in a reserved section/,
    },
    'assembly that writes and runs': {
      source: assembled('.section .both,\\22awx\\22', 'mine: .quad 1'),
      message: /'\.both' \('mine'\) is writable and executable/,
    },
  },
  names: {
    'of emulated thread-local variables': { source: '@__emutls_v.mine = global i8 1', message: /'__emutls_v\.mine'/ },
    'of the linker': { source: '@_GLOBAL_OFFSET_TABLE_ = external global i8', message: /'_GLOBAL_OFFSET_TABLE_'/ },
    'of ours, not to be mangled': { source: '@"\\01nomad.mine" = global i8 1', message: /nomad\.mine/ },
    'of ours, in assembly': {
      source: assembled('.globl nomad.initialize', 'nomad.initialize: ret'),
      message: /'nomad\.initialize'/,
    },
    'of ours, used by assembly': { source: assembled('call nomad.entry.mine'), message: /'nomad\.entry\.mine'/ },
    'that are numbers': { source: assembled('.globl mine', 'mine = 42'), message: /'mine' is an absolute number/ },
  },
  addresses: {
    'of 32 bits, in code': { source: inlined('movl n, $0', 'i32'), message: /'\.text\.mine'.*R_X86_64_32S.*'n'/ },
    'of 32 bits, in data': {
      source: '@n = global i32 3\n@mine = global i32 ptrtoint (ptr @n to i32)',
      message: /'\.data\.mine'.*R_X86_64_32 .*'(n|\.data\.n)'/,
    },
    'of the process, from assembly, without a slot': {
      source: inlined('leaq malloc(%rip), $0'),
      message: /R_X86_64_PC32 towards 'malloc'.*@GOTPCREL/,
    },
    'relative to a segment register': { source: '@mine = addrspace(257) global i32 5', message: /address space 257 of 'mine'/ },
    'in an address space of 32 bits': { source: '@mine = addrspace(270) global i32 5', message: /address space 270 of 'mine'/ },
    'that are signed': { source: '@mine = global i32 5\n@p = global ptr ptrauth (ptr @mine, i32 0)', message: /ptrauth.*'mine'/ },
    'aligned to more than an arena': { source: '@mine = global i32 5, align 131072', message: /131072 of 'mine'/ },
  },
  files: {
    'that assembly reads': { source: assembled('.globl mine', 'mine: .incbin \\22/dev/null\\22'), message: /reads files/ },
    'that inline assembly reads': {
      source: inlined('.include \\22/dev/null\\22'),
      message: /'mine' has assembly that reads files/,
    },
  },
  functions: {
    'with prefix data': { source: 'define i32 @mine() prefix i32 7 { ret i32 1 }', message: /'mine' has prefix data/ },
    'with kcfi calls': {
      source: 'define i32 @mine(ptr %p) {\n  %r = call i32 %p() [ "kcfi"(i32 12345) ]\n  ret i32 %r\n}',
      message: /'mine' has kcfi/,
    },
    'with scalable vectors': {
      source:
        'define void @mine(ptr %p) {\n  %a = load <vscale x 4 x i32>, ptr %p\n  store <vscale x 4 x i32> %a, ptr %p\n  ret void\n}',
      message: /'mine' has scalable vectors/,
    },
    'with scalable parameters': {
      source: 'define void @mine(<vscale x 2 x i64> %a) { ret void }',
      message: /'mine' has scalable vectors/,
    },
    'with vscale': {
      source: 'declare i64 @llvm.vscale.i64()\ndefine i64 @mine() {\n  %a = call i64 @llvm.vscale.i64()\n  ret i64 %a\n}',
      message: /'mine' has scalable vectors/,
    },
    anyregcc: { source: 'define anyregcc i32 @mine(i32 %a) { ret i32 %a }', message: /'mine' has anyregcc/ },
    'with exceptions of another platform': {
      source: `declare i32 @__CxxFrameHandler3(...)
declare void @callee()
define void @mine() personality ptr @__CxxFrameHandler3 {
  invoke void @callee() to label %done unwind label %caught
done:
  ret void
caught:
  %pad = cleanuppad within none []
  cleanupret from %pad unwind to caller
}`,
      message: /'mine' has the exception handling of another platform/,
    },
  },
  'constructors that are no functions': {
    '': {
      source:
        '@llvm.global_ctors = appending global [1 x { i32, ptr, ptr }] [{ i32, ptr, ptr } { i32 1, ptr inttoptr (i64 8 to ptr), ptr null }]',
      message: /'llvm\.global_ctors' is no function/,
    },
  },
  targets: {
    'of another processor': { source: `target triple = "aarch64-linux-gnu"\n${add}`, message: /'aarch64-linux-gnu'/ },
    'of another layout': { source: `target datalayout = "e-p:32:32"\n${add}`, message: /'e-p:32:32'/ },
  },
};

describe.each(Object.entries(refusals))('%s', (_, some) => {
  test.each(Object.entries(some))('%s', (_, { source, message }) => {
    const jit = makeJit();
    for (const optLevel of [0, 2] as OptLevel[]) {
      const error = errorOf(() => jit.compile(source, { name: 'subject', optLevel }));
      expect(error).toBeInstanceOf(UnsupportedError);
      expect(error.message).toMatch(message);
      expect(error.message).toMatch(/^subject: /);
    }
    expectWorking(jit);
  });
});

test("thread-local variables that begin with the address of what moves: refused with moves: 'all', right where only code moves", () => {
  const jit = makeJit();
  const source = `@n = global i32 7
@mine = thread_local global ptr @n
define i32 @f() {
  %p = load ptr, ptr @mine
  %a = load i32, ptr %p
  ret i32 %a
}`;
  const error = errorOf(() => jit.compile(source, { moves: 'all' }));
  expect([error.code, error.message]).toEqual([
    'ERR_UNSUPPORTED',
    expect.stringMatching(/'mine' has the address of 'n', which moves/),
  ]);
  const object = jit.load(source);
  for (let i = 50; i < 55; i++) {
    expect(object.get('f')()).toBe(7);
    object.relocate({ space: object.placement!.space, code: i * 65_536 });
  }
});

test('what LLVM itself refuses is an error in its words, not an end of the process', () => {
  const jit = makeJit();
  const sources = {
    'unsupported GC': 'define void @f() gc "nobody-has-this" { ret void }',
    appending: '@mine = appending global [1 x i32] [i32 1]',
    'larger than 2 GiB': assembled('.data', '.zero 0x400000000'),
    HiPE: 'define cc 11 i32 @f(i32 %a) { ret i32 %a }',
    'llvm.coro.size':
      'declare i64 @llvm.coro.size.i64()\ndefine i64 @f() {\n  %a = call i64 @llvm.coro.size.i64()\n  ret i64 %a\n}',
  };
  for (const [message, source] of Object.entries(sources)) {
    const error = errorOf(() => jit.compile(source, { optLevel: 0 }));
    expect([error.code, error.message]).toEqual(['ERR_CODEGEN', expect.stringContaining(message)]);
  }
  expectWorking(jit);
});
