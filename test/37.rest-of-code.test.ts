/**
 * What code does that could mind a move: jump tables, vectors, large data, exceptions, tail calls, assembly. Everything moves between any two
 * calls. Oracle: arithmetic in JS.
 */
import { hostFunction, PinnedError, type CodeObject } from 'nomad-jit';
import { errorOf, makeJit } from './support/jits';
import { computedGoto, cxxCatch, cxxThrow, dispatchModel, jumpTable, returning } from './support/programs';
import { compileC } from './support/tools';
import { expectWandering, makeWanderers, modes, type Program } from './support/wanderers';

/** `g`, and an `f` that returns what `g` returns. */
const through = (g: string, type = 'i32', convention = '') =>
  `${g}\ndefine ${type} @f() {\n  %r = call ${convention} ${type} @g()\n  ret ${type} %r\n}`;

const clobbers = '~{rcx},~{rdx},~{rsi},~{rdi},~{r8},~{r9},~{r10},~{r11}';

const lanes = (type: string, count: number, value: (i: number) => number | string) =>
  `<${Array.from({ length: count }, (_, i) => `${type} ${value(i)}`).join(', ')}>`;
const add = (a: number, b: number) => a + b;
const vectorSum = (round: number) =>
  [3, 5, 7, 11, 13, 17, 19, 23]
    .map((factor, i) => factor * (i + 1) + (i < 4 ? (i + 1) * [2, 4, 8, 1][i]! ** round : 0) + i + 8)
    .reduce(add);

const features: Record<string, Record<string, Program>> = {
  vectors: {
    'in memory, in constant pools, passed and returned': {
      source: `@four = global <4 x float> ${lanes('float', 4, (i) => `${i + 1}.0`)}
@eight = global <8 x i32> ${lanes('i32', 8, (i) => i + 1)}
@bytes = internal constant <16 x i8> ${lanes('i8', 16, (i) => i)}
define internal <8 x i32> @mix(<8 x i32> %x, <4 x float> %y, <16 x i8> %z) noinline {
  %a = mul <8 x i32> %x, <i32 3, i32 5, i32 7, i32 11, i32 13, i32 17, i32 19, i32 23>
  %i = fptosi <4 x float> %y to <4 x i32>
  %j = shufflevector <4 x i32> %i, <4 x i32> zeroinitializer, <8 x i32> ${lanes('i32', 8, (i) => i)}
  %k = add <8 x i32> %a, %j
  %l = zext <16 x i8> %z to <16 x i32>
  %m = shufflevector <16 x i32> %l, <16 x i32> poison, <8 x i32> ${lanes('i32', 8, (i) => i + 8)}
  %n = add <8 x i32> %k, %m
  ret <8 x i32> %n
}
define i32 @f() {
  %a = load volatile <4 x float>, ptr @four
  %b = load volatile <8 x i32>, ptr @eight
  %c = load volatile <16 x i8>, ptr @bytes
  %d = fmul <4 x float> %a, <float 2.0, float 4.0, float 8.0, float 1.0>
  store volatile <4 x float> %d, ptr @four
  %r = call <8 x i32> @mix(<8 x i32> %b, <4 x float> %d, <16 x i8> %c)
  %s = call i32 @llvm.vector.reduce.add.v8i32(<8 x i32> %r)
  ret i32 %s
}`,
      answers: [1, 2, 3, 4].map(vectorSum),
    },
    'wider than any register': {
      source: `@w = global <64 x i32> ${lanes('i32', 64, (i) => i)}
define i32 @f() {
  %b = load volatile <64 x i32>, ptr @w
  %s = call i32 @llvm.vector.reduce.add.v64i32(<64 x i32> %b)
  ret i32 %s
}`,
      answers: [2016, 2016, 2016],
    },
  },
  'tail calls': {
    'musttail, a million deep': {
      source: through(`define internal fastcc i32 @even(i32 %n) noinline {
  %z = icmp eq i32 %n, 0
  br i1 %z, label %yes, label %more
yes:
  ret i32 1
more:
  %k = sub i32 %n, 1
  %r = musttail call fastcc i32 @odd(i32 %k)
  ret i32 %r
}
define internal fastcc i32 @odd(i32 %n) noinline {
  %z = icmp eq i32 %n, 0
  br i1 %z, label %yes, label %more
yes:
  ret i32 0
more:
  %k = sub i32 %n, 1
  %r = musttail call fastcc i32 @even(i32 %k)
  ret i32 %r
}
define i32 @g() {
  %r = call fastcc i32 @even(i32 1000001)
  ret i32 %r
}`),
      answers: [0, 0, 0],
    },
    'tailcc and swifttailcc': {
      source: `define internal tailcc i32 @loop(i32 %n, i32 %a) noinline {
  %z = icmp eq i32 %n, 0
  br i1 %z, label %end, label %more
end:
  ret i32 %a
more:
  %k = sub i32 %n, 1
  %b = add i32 %a, 2
  %r = musttail call tailcc i32 @loop(i32 %k, i32 %b)
  ret i32 %r
}
define internal swifttailcc i32 @same(i32 %a) noinline { ret i32 %a }
define i32 @f() {
  %r = call tailcc i32 @loop(i32 1000000, i32 0)
  %s = call swifttailcc i32 @same(i32 %r)
  ret i32 %s
}`,
      answers: [2_000_000, 2_000_000],
    },
  },
  'inline assembly': {
    'memory operands': {
      source: `@n = internal global i32 5
define i32 @f() {
  %o = call i32 asm sideeffect "movl $1, $0; addl $$1, $1", "=&r,*m,~{memory}"(ptr elementtype(i32) @n)
  ret i32 %o
}`,
      answers: [5, 6, 7],
    },
    'names of the module, relative and absolute': {
      source: `@n = global i32 5
define i32 @g() { ret i32 100 }
define i32 @f() noredzone {
  %p = call ptr asm sideeffect "leaq n(%rip), $0", "=r"()
  %q = call ptr asm sideeffect "movabsq $$n, $0", "=r"()
  %a = load i32, ptr %p
  %next = add i32 %a, 1
  store i32 %next, ptr %q
  %b = call i32 asm sideeffect "call g", "={eax},${clobbers}"()
  %c = call i32 asm sideeffect "call \${1:P}", "={eax},i,${clobbers}"(ptr @g)
  %d = add i32 %a, %b
  %e = add i32 %c, %d
  ret i32 %e
}`,
      answers: [205, 206, 207],
    },
    'names of the process': {
      source: `define i32 @f() {
  %a = call i32 asm sideeffect "movl $$-5, %edi; call abs", "={eax},${clobbers}"()
  %p = call ptr asm sideeffect "movq abs@GOTPCREL(%rip), $0", "=r"()
  %b = call i32 %p(i32 -70)
  %c = add i32 %a, %b
  ret i32 %c
}`,
      answers: [75, 75, 75],
    },
    'labels, sections and jumps of its own': {
      source: `define i32 @f() {
  %a = call i32 asm sideeffect "leaq 1f(%rip), %rcx; jmp *%rcx; 1: movl $$7, $0", "=r,~{rcx}"()
  %b = call i32 asm sideeffect ".pushsection .mine,\\22aw\\22; 77: .quad 50; .popsection; movl 77b(%rip), $0; incl 77b(%rip)", "=r"()
  callbr void asm sideeffect "jmp \${0:l}", "!i"() to label %next [label %other]
next:
  ret i32 0
other:
  %c = add i32 %a, %b
  ret i32 %c
}`,
      answers: [57, 58, 59],
    },
  },
  'module assembly': {
    'functions, called and stored': {
      source: `module asm ".globl g"
module asm ".type g,@function"
module asm "g: call own"
module asm "ret"
module asm "own: movl $9, %eax"
module asm "ret"
declare i32 @g()
@kept = internal global ptr @g
define i32 @f() {
  %a = call i32 @g()
  %p = load volatile ptr, ptr @kept
  %b = call i32 %p()
  %c = add i32 %a, %b
  ret i32 %c
}`,
      answers: [18, 18, 18],
    },
    'data, common data and strings': {
      source: `module asm ".data"
module asm ".globl d"
module asm "d: .quad n"
module asm ".comm n,4,4"
module asm ".section .rodata.str1.1,\\22aMS\\22,@progbits,1"
module asm ".globl s"
module asm "s: .asciz \\22hi\\22"
@d = external global ptr
@s = external constant i8
define i32 @f() {
  %p = load ptr, ptr @d
  %a = load i32, ptr %p
  %b = add i32 %a, 1
  store i32 %b, ptr %p
  %c = load volatile i8, ptr @s
  %e = zext i8 %c to i32
  %r = add i32 %a, %e
  ret i32 %r
}`,
      answers: [104, 105, 106],
    },
  },
};

describe.each(Object.entries(features))('%s', (_, programs) => {
  test.each(Object.entries(programs))('%s', (_, program) => expectWandering(program));
});

describe.each(modes)('%j', (mode) => {
  test('jump tables and tables of labels', () => {
    const { add, repeat } = makeWanderers(mode);
    const [table, labels] = [add(jumpTable), add(computedGoto)];
    repeat(10, (i) => {
      expect(table.get('dispatch')(i - 1, 77)).toBe(dispatchModel(i - 1, 77));
      expect(labels.get('interpret')(Uint8Array.of(1, 2, 1, 2, 0))).toBe(6);
    });
  });

  test('an exception thrown in one code object and caught in another', () => {
    const { add, repeat } = makeWanderers(mode);
    const thrower = add(cxxThrow);
    const catcher = add(cxxCatch, { imports: { raise: thrower.get('raise') } });
    repeat(6, (i) => {
      expect(catcher.get('attempt')(i)).toBe(1000 + i);
    });
  });

  test('an exception that crosses code objects, all of which move while it is on its way', () => {
    const { add, move, repeat } = makeWanderers(mode);
    const counts = { moved: 0, pinned: 0 };
    const note = hostFunction('void (i32)', () => {
      const error = (() => {
        try {
          move();
        } catch (caught) {
          return caught;
        }
        return undefined;
      })();
      if (error !== undefined) expect(error).toBeInstanceOf(PinnedError);
      counts[error === undefined ? 'moved' : 'pinned']++;
    });
    const thrower = add(cxxThrow);
    const middle = `extern "C" void note(int); extern "C" void raise(int); struct Noisy { ~Noisy() { note(0); } };
      extern "C" void pass(int x) { Noisy noisy; note(1); raise(x); }`;
    const passing = add(compileC('c++', middle), { imports: { note, raise: thrower.get('raise') } });
    const catcher = add(cxxCatch, { imports: { raise: passing.get('pass') } });
    repeat(6, (i) => {
      expect(catcher.get('attempt')(i)).toBe(1000 + i);
    });
    expect(counts.moved).toBeGreaterThan(0);
  });

  test('musttail into another code object', () => {
    const { add, repeat } = makeWanderers(mode);
    const k = add('define i32 @k(i32 %x) {\n %y = mul i32 %x, 3\n ret i32 %y\n}').get('k');
    const source =
      'declare i32 @k(i32)\ndefine i32 @f(i32 %x) {\n %y = add i32 %x, 1\n %r = musttail call i32 @k(i32 %y)\n ret i32 %r\n}';
    const f = add(source, { imports: { k } }).get('f');
    repeat(6, (i) => {
      expect(f(i)).toBe(3 * (i + 1));
    });
  });

  // Nobody has proved where a function of assembly returns to: whatever may be above it stays.
  test('assembly that waits in a call: it and its caller are pinned', () => {
    const { add, move } = makeWanderers(mode);
    const host = hostFunction('i32 (i32)', (x: number) => {
      expect(() => move()).toThrow(PinnedError);
      return x + 1;
    });
    const source = `module asm ".globl g"
module asm ".type g,@function"
module asm "g: pushq %rbp; movq %rsp, %rbp; call host@PLT; addl $5, %eax; popq %rbp; ret"
declare i32 @g(i32)
declare i32 @host(i32)
define i32 @f(i32 %x) {
  %y = notail call i32 @g(i32 %x)
  ret i32 %y
}`;
    const object: CodeObject = add(source, { imports: { host } });
    for (let i = 0; i < 5; i++) expect(object.get('f')(i)).toBe(i + 6);
  });
});

describe('large data', () => {
  test('120 MB of zeros', () => {
    const jit = makeJit({ arenaBytes: 2 ** 31 - 65536 });
    const space = jit.createSpace({ dataBytes: 400_000_000 });
    const object = jit.compile(
      `@big = internal global [120000000 x i8] zeroinitializer
define i32 @f(i64 %i) {
  %at = getelementptr i8, ptr @big, i64 %i
  %a = load i8, ptr %at
  %b = add i8 %a, 1
  store i8 %b, ptr %at
  %r = zext i8 %b to i32
  ret i32 %r
}`,
      { moves: 'all' },
    );
    object.place({ space, code: 0, data: 4096 });
    const f = object.get('f');
    for (let i = 1; i <= 3; i++) {
      expect([f(0), f(60_000_000), f(119_999_999)]).toEqual([i, i, i]);
      object.relocate({ space, code: 65536 * i, data: i % 2 === 0 ? 0 : 200_000_000 });
    }
  });

  test('constants of 400 kB', () => {
    const values = Array.from({ length: 100_000 }, (_, i) => 3 * i);
    const source = `@big = internal constant [100000 x i32] [${values.map((value) => `i32 ${value}`).join(', ')}]
define i32 @f(i32 %i) {
  %at = getelementptr i32, ptr @big, i32 %i
  %a = load i32, ptr %at
  ret i32 %a
}`;
    for (const moves of ['code', 'all'] as const) {
      const jit = makeJit();
      const space = jit.createSpace();
      const object = jit.compile(source, { moves }).place({ space, code: 0, constants: 0 });
      for (let i = 1; i < 6; i++) {
        for (const index of [0, 50_000, 99_999]) expect(object.get('f')(index)).toBe(3 * index);
        object.relocate({ space, code: i * 1_048_576, ...(moves === 'code' && { constants: (7 - i) * 524_288 }) });
      }
    }
  });
});

test('what a module calls, but nobody has, is named: also of split stacks and atomics without instructions', () => {
  const sources = {
    __morestack: `define void @g(ptr %p) "split-stack" {\n  %a = alloca [9000 x i8]\n  store volatile ptr %a, ptr %p\n  ret void\n}`,
    __atomic_load: 'define i256 @g(ptr %p) {\n  %a = load atomic i256, ptr %p seq_cst, align 1\n  ret i256 %a\n}',
    __start_mine: `@d = global i32 1, section "mine"\n@__start_mine = external hidden global i32\ndefine ptr @g() { ret ptr @__start_mine }`,
  };
  for (const [symbol, source] of Object.entries(sources))
    expect(errorOf(() => makeJit().compile(`${source}\n${returning('f', 1)}`)).symbols).toEqual([symbol]);
});
