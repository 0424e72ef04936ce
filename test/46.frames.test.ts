/**
 * One test for each kind of frame that can stand between a caller and a host function while the caller moves (I12, I16).
 *
 * Oracle: what each function returns when nothing moves, known beforehand; and where the caller is afterwards: moved, or where it was with a
 * PinnedError. Code that has been left is traps, so a return slot that was missed ends the process.
 */
import { hostFunction, PinnedError, UnsupportedError, type CodeObject } from 'nomad-jit';
import { i32Host, makeGround } from './support/hosts';
import { errorOf, makeJit } from './support/jits';

interface FrameKind {
  readonly what: string;
  /** Defines `i32 callee(i32)`, which calls `i32 host(i32)` and returns what that returns plus its argument. */
  readonly callee: string;
  /** What becomes of the caller, at O0 and O2. */
  readonly caller: 'moves' | 'is pinned';
  /** How the caller declares and calls it; by default as a C function. */
  readonly call?: string;
}

// Once code handles signals, each host function asks whether a handler has interrupted something: that walks all of these frames, too.
beforeAll(() => {
  const source =
    'declare ptr @signal(i32, ptr) define internal void @h(i32 %s) { ret void } define void @f() { %a = call ptr @signal(i32 12, ptr @h) %b = call ptr @signal(i32 12, ptr null) ret void }';
  makeJit().load(source).get('f')();
});

const plainCall =
  'declare i32 @callee(i32)\ndefine i32 @caller(i32 %x) {\n %r = call i32 @callee(i32 %x)\n %s = add i32 %r, 100\n ret i32 %s\n}';
const host = 'declare i32 @host(i32)\n';
const ending = ' %r = call i32 @host(i32 %x)\n %s = add i32 %r, %x\n ret i32 %s\n}';
const use = 'declare void @llvm.stackrestore(ptr)\ndeclare ptr @llvm.stacksave()\n';
const assembly = (lines: string) =>
  lines
    .split(/[;\n]/)
    .map((line) => `module asm "${line.trim()}"`)
    .join('\n');

const frames: readonly FrameKind[] = [
  { what: 'plain', callee: `${host}define i32 @callee(i32 %x) {\n${ending}`, caller: 'moves' },
  {
    what: 'aligned to 64 bytes',
    callee: `${host}define i32 @callee(i32 %x) {\n %p = alloca i32, align 64\n store volatile i32 %x, ptr %p\n${ending}`,
    caller: 'moves',
  },
  {
    what: 'of a size that is not known',
    callee: `${host}${use}define i32 @callee(i32 %x) {\n %p = alloca i8, i32 %x\n store volatile i8 1, ptr %p\n${ending}`,
    caller: 'moves',
  },
  {
    what: 'aligned, and of a size that is not known',
    callee: `${host}define i32 @callee(i32 %x) {\n %a = alloca i32, align 64\n %p = alloca i8, i32 %x\n store volatile i32 1, ptr %a\n store volatile i8 1, ptr %p\n${ending}`,
    caller: 'moves',
  },
  {
    what: 'that keeps what it works with in registers for the caller',
    callee: `${host}define preserve_nonecc i32 @inner(i32 %x) noinline {\n${ending}\ndefine i32 @callee(i32 %x) {\n %r = call preserve_nonecc i32 @inner(i32 %x)\n ret i32 %r\n}`,
    caller: 'moves',
  },
  {
    what: 'of a function that saves it on one path only',
    callee: `${host}define i32 @callee(i32 %x) {\n %z = icmp eq i32 %x, -1\n br i1 %z, label %early, label %late\nearly:\n ret i32 0\nlate:\n${ending}`,
    caller: 'moves',
  },
  {
    what: 'with inline assembly that changes rbx',
    callee: `${host}define i32 @callee(i32 %x) {\n call { i32, i32, i32, i32 } asm sideeffect "cpuid", "={ax},={bx},={cx},={dx},0,~{memory}"(i32 0)\n${ending}`,
    caller: 'moves',
  },
  {
    what: "of GHC's convention, which passes an argument in rbp",
    callee: `${host}define internal ghccc i32 @inner(i64 %x, i64 %y) noinline {\n %a = trunc i64 %y to i32\n ret i32 %a\n}\ndefine i32 @callee(i32 %x) {\n %w = zext i32 %x to i64\n %v = call ghccc i32 @inner(i64 7, i64 %w)\n %r = call i32 @host(i32 %v)\n %s = add i32 %r, %v\n ret i32 %s\n}`,
    caller: 'is pinned',
  },
  {
    what: 'of a function that takes its return address',
    callee: `${host}declare ptr @llvm.returnaddress(i32)\ndefine i32 @callee(i32 %x) {\n %p = call ptr @llvm.returnaddress(i32 0)\n %q = alloca ptr\n store volatile ptr %p, ptr %q\n${ending}`,
    caller: 'is pinned',
  },
  {
    what: 'of a naked function',
    callee: `${host}define i32 @callee(i32 %x) naked {\n call void asm sideeffect "pushq %rdi; callq host@PLT; popq %rdi; addl %edi, %eax; retq", ""()\n unreachable\n}`,
    caller: 'is pinned',
  },
  {
    what: 'of module assembly, with records',
    callee: `${assembly('.text; .globl callee; .type callee,@function; callee:; .cfi_startproc; pushq %rdi; .cfi_adjust_cfa_offset 8; callq host@PLT; popq %rdi; .cfi_adjust_cfa_offset -8; addl %edi, %eax; retq; .cfi_endproc; .size callee, .-callee')}\n${host}declare i32 @callee(i32)\ndefine void @unused() {\n ret void\n}`,
    caller: 'is pinned',
    call: 'own',
  },
  {
    what: 'of module assembly, without records',
    callee: `${assembly('.text; .globl callee; .type callee,@function; callee:; pushq %rdi; callq host@PLT; popq %rdi; addl %edi, %eax; retq; .size callee, .-callee')}\n${host}declare i32 @callee(i32)\ndefine void @unused() {\n ret void\n}`,
    caller: 'is pinned',
    call: 'own',
  },
  {
    what: 'of inline assembly that calls',
    callee: `${host}declare i32 @rand()\ndefine i32 @callee(i32 %x) {\n %z = call i32 @rand()\n %q = call { i32, i32 } asm sideeffect "subq $$144, %rsp; callq host@PLT; addq $$144, %rsp", "={ax},={di},1,~{rsi},~{rdx},~{rcx},~{r8},~{r9},~{r10},~{r11},~{memory}"(i32 %x)\n %r = extractvalue { i32, i32 } %q, 0\n %s = add i32 %r, %x\n ret i32 %s\n}`,
    caller: 'is pinned',
  },
  {
    what: 'of a Swift function that can be suspended',
    callee: `${host}define internal swifttailcc void @inner(ptr swiftasync %c, ptr %o, i32 %x) noinline {\n %v = load volatile i64, ptr %c\n %r = call i32 @host(i32 %x)\n %s = add i32 %r, %x\n store i32 %s, ptr %o\n store volatile i64 %v, ptr %c\n ret void\n}\ndefine i32 @callee(i32 %x) {\n %o = alloca i32\n %c = alloca [4 x i64]\n call swifttailcc void @inner(ptr swiftasync %c, ptr %o, i32 %x)\n %r = load i32, ptr %o\n ret i32 %r\n}`,
    caller: 'is pinned',
  },
];

describe.each([0, 2] as const)('optLevel %d', (optLevel) => {
  test.each(frames)('a frame $what: its caller $caller', ({ callee, caller: outcome, call }) => {
    const { add, nextCode } = makeGround();
    const outcomes: string[] = [];
    const step = i32Host((n) => {
      try {
        caller.relocate(nextCode());
        outcomes.push('moves');
      } catch (error) {
        if (!(error instanceof PinnedError)) throw error;
        outcomes.push('is pinned');
      }
      return n * 2;
    });
    const source = call === 'own' ? `${callee}\n${plainCall.replace(/^.*\n/, '')}` : callee;
    const library: CodeObject = add(source, { optLevel, imports: { host: step } });
    const caller: CodeObject =
      call === 'own' ? library : add(plainCall, { optLevel, imports: { callee: library.get('callee') } });
    for (let round = 0; round < 3; round++) expect(caller.get('caller')(5 + round)).toBe(3 * (5 + round) + 100);
    expect(outcomes).toEqual([outcome, outcome, outcome]);
  });

  test('code that waits in another Jit: both know their part', () => {
    const one = makeGround();
    const other = makeGround();
    const step = i32Host((n) => {
      inner.relocate(one.nextCode());
      outer.relocate(other.nextCode());
      return n * 2;
    });
    const inner: CodeObject = one.add(frames[0]!.callee, { optLevel, imports: { host: step } });
    const outer: CodeObject = other.add(plainCall, { optLevel, imports: { callee: inner.get('callee').entry } });
    for (let round = 0; round < 3; round++) expect(outer.get('caller')(round)).toBe(3 * round + 100);
  });
});

// LLVM 22 tells where such a function's arguments are by a register that it does not keep for the caller: see docs/reference/ir.md.
describe('a frame with a copied return address', () => {
  const callee = `declare i32 @host(i32)
define i32 @callee(i32 %x, i32 %b, i32 %c, i32 %d, i32 %e, i32 %f, i32 %g) {
  %a = alloca i32, align 64
  %p = alloca i8, i32 %x
  store volatile i32 1, ptr %a
  store volatile i8 1, ptr %p
  call { i32, i32, i32, i32 } asm sideeffect "cpuid", "={ax},={bx},={cx},={dx},0,~{memory}"(i32 0)
  %r = call i32 @host(i32 %x)
  %s = add i32 %r, %g
  ret i32 %s
}`;
  const calling = `declare i32 @callee(i32, i32, i32, i32, i32, i32, i32)
define i32 @caller(i32 %x) {
  %r = call i32 @callee(i32 %x, i32 0, i32 0, i32 0, i32 0, i32 0, i32 %x)
  ret i32 %r
}`;

  test('at O0 its caller moves, by the slot that counts', () => {
    const { add, nextCode } = makeGround();
    const step = i32Host((n) => {
      caller.relocate(nextCode());
      return n * 2;
    });
    const library: CodeObject = add(callee, { optLevel: 0, imports: { host: step } });
    const caller: CodeObject = add(calling, { optLevel: 0, imports: { callee: library.get('callee') } });
    for (let round = 1; round < 4; round++) expect(caller.get('caller')(round)).toBe(3 * round);
  });

  test('where LLVM compiles it wrongly it is refused by name', () => {
    const { jit } = makeGround();
    const error = errorOf(() => jit.compile(callee, { optLevel: 2, imports: { host: hostFunction('i32 (i32)', () => 0) } }));
    expect(error).toBeInstanceOf(UnsupportedError);
    expect(error.message).toMatch(/'callee'.*miscompiled/);
  });
});
