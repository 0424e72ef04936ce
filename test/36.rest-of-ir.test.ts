/**
 * What a module says of its names, before and after main: linkage, aliases, ifuncs, constructors, thread-local variables. Everything moves
 * between any two calls. Oracle: the answers that the same module has natively.
 */
import { hostFunction, type CodeObject } from 'nomad-jit';
import { childResult, runChild } from './support/child';
import { errorOf, makeJit } from './support/jits';
import { returning } from './support/programs';
import { compileC } from './support/tools';
import { expectWandering, makeWanderers, modes, type Program } from './support/wanderers';

const sumOf = (...terms: string[]) =>
  [
    '  %s0 = add i32 0, 0',
    ...terms.map((term, i) => `  %s${i + 1} = add i32 %s${i}, ${term}`),
    `  ret i32 %s${terms.length}`,
  ].join('\n');

const features: Record<string, Record<string, Program>> = {
  linkage: {
    'weak, linkonce, hidden and protected definitions are the module’s own': {
      source: `@w = weak global i32 1
@c = weak_odr constant i32 20
@h = hidden global i32 300
define linkonce i32 @l() noinline { ret i32 4000 }
define weak_odr protected i32 @p() noinline { ret i32 50000 }
define i32 @f() {
  %w = load i32, ptr @w
  %c = load volatile i32, ptr @c
  %h = load i32, ptr @h
  %l = call i32 @l()
  %p = call i32 @p()
${sumOf('%w', '%c', '%h', '%l', '%p')}
}`,
      answers: [54321, 54321, 54321],
    },
    'common variables are zeros': {
      source: `@one = common global i32 0
@many = common global [100 x i64] zeroinitializer, align 64
define i64 @f() {
  %a = load i32, ptr @one
  %b = add i32 %a, 1
  store i32 %b, ptr @one
  %last = getelementptr i64, ptr @many, i64 99
  %c = load i64, ptr %last
  %d = add i64 %c, 10
  store i64 %d, ptr %last
  %e = zext i32 %b to i64
  %r = add i64 %d, %e
  ret i64 %r
}`,
      answers: [11n, 22n, 33n, 44n],
    },
    comdats: {
      source: `$g = comdat any
$l = comdat largest
@l = linkonce_odr global i32 5, comdat
define linkonce_odr i32 @g() comdat { ret i32 2 }
define internal i32 @h() noinline comdat($g) { ret i32 30 }
define i32 @f() {
  %a = call i32 @g()
  %b = call i32 @h()
  %c = load i32, ptr @l
${sumOf('%a', '%b', '%c')}
}`,
      answers: [37, 37, 37],
    },
    'extern_weak symbols that nobody defines are null': {
      source: `@data = extern_weak global i32
declare extern_weak i32 @function()
@kept = internal global ptr @function
define i32 @f() {
  %p = load volatile ptr, ptr @kept
  %a = icmp eq ptr %p, null
  %b = icmp eq ptr @data, null
  %c = and i1 %a, %b
  br i1 %c, label %both, label %call
call:
  %r = call i32 @function()
  ret i32 %r
both:
  ret i32 1
}`,
      answers: [1, 1, 1],
    },
  },
  aliases: {
    'of functions, called and stored, also of aliases': {
      source: `define internal fastcc i32 @impl(i32 %x) noinline {
  %y = add i32 %x, 1
  ret i32 %y
}
@a = alias i32 (i32), ptr @impl
@b = weak alias i32 (i32), ptr @a
@kept = internal global ptr @b
define i32 @f() {
  %x = call fastcc i32 @b(i32 1)
  %p = load volatile ptr, ptr @kept
  %y = call fastcc i32 %p(i32 %x)
  ret i32 %y
}`,
      answers: [3, 3, 3],
    },
    'of the middle of a variable': {
      source: `@all = global [4 x i32] [i32 1, i32 2, i32 3, i32 4]
@third = alias i32, getelementptr ([4 x i32], ptr @all, i32 0, i32 2)
@fixed = constant [2 x i32] [i32 100, i32 200]
@second = internal alias i32, getelementptr ([2 x i32], ptr @fixed, i32 0, i32 1)
@kept = global ptr @second
define i32 @f() {
  %a = load volatile i32, ptr @third
  %n = add i32 %a, 1
  %at = getelementptr i32, ptr @all, i32 2
  store volatile i32 %n, ptr %at
  %p = load volatile ptr, ptr @kept
  %b = load i32, ptr %p
${sumOf('%a', '%b')}
}`,
      answers: [203, 204, 205],
    },
  },
  ifuncs: {
    'called, stored, aliased, with arguments on the stack': {
      source: `define internal i64 @impl(i64 %a, i64 %b, i64 %c, i64 %d, i64 %e, i64 %g, i64 %h, ptr byval([2 x i64]) %i) noinline {
  %at = getelementptr i64, ptr %i, i32 1
  %j = load i64, ptr %at
  %k = mul i64 %h, %j
  %l = add i64 %a, %k
  ret i64 %l
}
define internal ptr @choose() { ret ptr @impl }
@chosen = ifunc i64 (i64, i64, i64, i64, i64, i64, i64, ptr), ptr @choose
@other = alias i64 (i64, i64, i64, i64, i64, i64, i64, ptr), ptr @chosen
@kept = global ptr @other
@pair = global [2 x i64] [i64 3, i64 100]
define i64 @f() {
  %x = call i64 @chosen(i64 1, i64 0, i64 0, i64 0, i64 0, i64 0, i64 7, ptr byval([2 x i64]) @pair)
  %p = load volatile ptr, ptr @kept
  %y = call i64 %p(i64 %x, i64 0, i64 0, i64 0, i64 0, i64 0, i64 5, ptr byval([2 x i64]) @pair)
  ret i64 %y
}`,
      answers: [1201n, 1201n, 1201n],
    },
    'with variable arguments': {
      source: `define double @impl(double %a, ...) noinline { ret double %a }
define internal ptr @choose() { ret ptr @impl }
@chosen = internal ifunc double (double, ...), ptr @choose
define double @f() {
  %x = call double (double, ...) @chosen(double 2.5, double 3.0)
  ret double %x
}`,
      answers: [2.5, 2.5, 2.5],
    },
    'of the process': {
      source: `declare i32 @abs(i32)
define internal ptr @choose() { ret ptr @abs }
@chosen = ifunc i32 (i32), ptr @choose
define i32 @f() {
  %x = call i32 @chosen(i32 -5)
  ret i32 %x
}`,
      answers: [5, 5, 5],
    },
    'of C, resolved before constructors, knowing the processor': {
      source: compileC(
        'c',
        `static int n = 1; static int one(int x) { return x + 1; } static int two(int x) { return x + 2; }
        static void *pick(void) { __builtin_cpu_init(); return __builtin_cpu_supports("sse2") ? two : one; }
        int g(int) __attribute__((ifunc("pick"))); int (*fp)(int) = g;
        __attribute__((constructor)) static void early(void) { n = g(10); }
        int f(void) { return g(3) + fp(4) * 100 + n * 10000; }`,
      ),
      answers: [120_605, 120_605, 120_605],
    },
    'that throw': {
      source: compileC(
        'c++',
        `static int thrower(int x) { if (x > 2) throw x; return x; } extern "C" void *pick() { return (void *)thrower; }
        int g(int) __attribute__((ifunc("pick"))); extern "C" int f() { try { return g(7); } catch (int e) { return e * 10; } }`,
      ),
      answers: [70, 70, 70],
    },
  },
};

describe.each(Object.entries(features))('%s', (_, programs) => {
  test.each(Object.entries(programs))('%s', (_, program) => expectWandering(program));
});

test('what an alias of a part is for JS: its own type and address', () => {
  const object = makeJit().load(`@all = global [4 x i32] [i32 1, i32 2, i32 3, i32 4]
@third = alias i32, getelementptr ([4 x i32], ptr @all, i32 0, i32 2)`);
  expect(object.globals.get('third')).toEqual({ text: 'i32', kind: 'i32', constant: false, sizeBytes: 4 });
  object.writeGlobal('third', 30);
  expect([object.readGlobal('third'), object.addressOf('third') - object.addressOf('all')]).toEqual([30, 8n]);
});

describe('definitions elsewhere', () => {
  test.each(modes)('available_externally and extern_weak take another code object’s, %j', (mode) => {
    const { add, repeat } = makeWanderers(mode);
    const owner = add(`${returning('k', 9)}\n${returning('w', 5)}`);
    const imports = { k: owner.get('k'), w: owner.get('w') };
    const user = add(
      `define available_externally i32 @k() noinline { ret i32 9 }
declare extern_weak i32 @w()
define i32 @f() {
  %k = call i32 @k()
  %none = icmp eq ptr @w, null
  br i1 %none, label %end, label %more
more:
  %w = call i32 @w()
  %r = add i32 %k, %w
  ret i32 %r
end:
  ret i32 %k
}`,
      { imports },
    );
    repeat(4, () => {
      expect(user.get('f')()).toBe(14);
    });
  });

  test.each(modes)('dso_local_equivalent of a function of the process and of another code object, %j', (mode) => {
    const { add, repeat } = makeWanderers(mode);
    const imports = { k: add(`define i32 @k(i32 %x) {\n %y = mul i32 %x, 3\n ret i32 %y\n}`).get('k') };
    const distance = (i: number, name: string) =>
      `@d${i} = internal constant i32 trunc (i64 sub (i64 ptrtoint (ptr dso_local_equivalent @${name} to i64), i64 ptrtoint (ptr @d${i} to i64)) to i32)`;
    const call = (i: number) =>
      `  %o${i} = load volatile i32, ptr @d${i}\n  %w${i} = sext i32 %o${i} to i64\n  %p${i} = getelementptr i8, ptr @d${i}, i64 %w${i}`;
    const user = add(
      `declare i32 @k(i32)\ndeclare i32 @abs(i32)\n${distance(1, 'k')}\n${distance(2, 'abs')}
define i32 @f() {
${call(1)}\n${call(2)}
  %a = call i32 %p1(i32 -5)
  %b = call i32 %p2(i32 %a)
  ret i32 %b
}`,
      { imports },
    );
    repeat(4, () => {
      expect(user.get('f')()).toBe(15);
    });
  });
});

const structor = (name: string, digit: number) =>
  `define internal void @${name}() {\n  call void @log(i32 ${digit})\n  ret void\n}`;

describe('sections of functions to run', () => {
  test.each(modes)('.init_array and .fini_array run with llvm.global_ctors, by priority, %j', (mode) => {
    const { add, move } = makeWanderers(mode);
    const log: number[] = [];
    const object = add(
      `declare void @log(i32)
@x = internal global [3 x ptr] [ptr @a, ptr null, ptr @b], section ".init_array.200"
@y = global ptr @c, section ".init_array"
@z = internal constant ptr @d, section ".init_array.100"
@v = global ptr @e, section ".fini_array"
@u = global ptr @h, section ".fini_array.7"
@llvm.used = appending global [2 x ptr] [ptr @x, ptr @z], section "llvm.metadata"
@llvm.global_ctors = appending global [1 x { i32, ptr, ptr }] [{ i32, ptr, ptr } { i32 150, ptr @g, ptr null }]
${['a', 'b', 'c', 'd', 'e', 'g', 'h'].map((name, i) => structor(name, i + 1)).join('\n')}`,
      { imports: { log: hostFunction('void (i32)', (digit: number) => void log.push(digit)) } },
    );
    for (let i = 0; i < 3; i++) move();
    expect(log).toEqual([4, 6, 1, 2, 3]);
    object.free();
    expect(log).toEqual([4, 6, 1, 2, 3, 5, 7]);
  });

  test('an entry that is no function is refused', () => {
    for (const value of ['ptr inttoptr (i64 8 to ptr)', 'i64 8', '[1 x i64] [i64 8]'])
      expect(errorOf(() => makeJit().compile(`@mine = global ${value}, section ".init_array"`))).toMatchObject({
        ...{ code: 'ERR_UNSUPPORTED', message: expect.stringContaining("'mine'") },
      });
  });
});

const threadLocals = `@plain = thread_local global i32 5
@early = thread_local(initialexec) global i32 60
@own = internal thread_local(localexec) global [3 x i64] [i64 0, i64 0, i64 700], align 64
@zero = thread_local(localdynamic) global i32 0, section ".tbss"
@shared = common thread_local global i32 0
@same = thread_local alias i32, ptr @plain
@function = weak thread_local global ptr @seven
define internal i32 @seven() { ret i32 7000 }
declare ptr @llvm.threadlocal.address.p0(ptr)
define i32 @f() {
  %plain = call ptr @llvm.threadlocal.address.p0(ptr @same)
  %a = load i32, ptr %plain
  %b = load i32, ptr @early
  %own = getelementptr i64, ptr @own, i32 2
  %long = load i64, ptr %own
  %c = trunc i64 %long to i32
  %zero = call ptr @llvm.threadlocal.address.p0(ptr @zero)
  %d = load i32, ptr %zero
  %e = load i32, ptr @shared
  %called = load ptr, ptr @function
  %g = call i32 %called()
  %next = add i32 %d, 10000
  store i32 %next, ptr %zero
  store i32 %next, ptr @shared
${sumOf('%a', '%b', '%c', '%d', '%e', '%g')}
}`;

const noisy = `extern "C" void note(int); extern "C" int pthread_create(unsigned long *, void *, void *(*)(void *), void *);
extern "C" int pthread_join(unsigned long, void **);
struct Noisy { int id; Noisy(int i) : id(i) {} ~Noisy() { note(id); } };
static thread_local Noisy first(1); thread_local Noisy second(2);
extern "C" int touch(int add) { second.id += add; first.id += add; return second.id * 1000 + first.id; }
static void *start(void *) { return (void *)(long)touch(10); }
extern "C" long elsewhere() { unsigned long id; void *result; pthread_create(&id, 0, start, 0); pthread_join(id, &result); return (long)result; }`;

describe('thread-local variables', () => {
  test('every model, with initial values and without, common, weak and aliased', () =>
    expectWandering({ source: threadLocals, answers: [7765, 27_765, 47_765] }));

  test('begin anew in each thread; destructors run when a thread ends, or when the code object is freed', async () => {
    const source = compileC('c++', noisy);
    const logger = `@entries = global [100 x i32] zeroinitializer
@count = global i32 0
define void @note(i32 %x) {
  %n = atomicrmw add ptr @count, i32 1 seq_cst
  %at = getelementptr [100 x i32], ptr @entries, i32 0, i32 %n
  store i32 %x, ptr %at
  ret void
}
define i32 @entry(i32 %i) {
  %at = getelementptr [100 x i32], ptr @entries, i32 0, i32 %i
  %x = load i32, ptr %at
  ret i32 %x
}`;
    const told = await childResult(`const jit = new nomad.Jit();
const space = jit.createSpace();
const logger = jit.compile(${JSON.stringify(logger)}).place({ space, code: 0, constants: 0, data: 0 });
const log = () => Array.from({ length: logger.readGlobal('count') }, (_, i) => logger.get('entry')(i));
const object = jit.compile(${JSON.stringify(source)}, { imports: { note: logger.get('note') } });
object.place({ space, code: 65536, constants: 65536, data: 65536 });
const told = [];
for (let i = 2; i < 5; i++) {
  told.push(object.get('touch')(100), Number(object.get('elsewhere')()), log());
  object.relocate({ space, code: 65536 * i, data: 65536 * i });
}
object.free();
console.log(JSON.stringify([...told, log()]));`);
    const ended = [12, 11];
    expect(told).toEqual([
      ...[102_101, 12_011, ended],
      ...[202_201, 12_011, [...ended, ...ended]],
      ...[302_301, 12_011, [...ended, ...ended, ...ended]],
      [...ended, ...ended, ...ended, 302, 301],
    ]);
  });
});

test('a process ends with thread-local objects whose destructors would call JS: they do not run', async () => {
  const source = compileC('c++', noisy);
  const script = `const jit = new nomad.Jit();
const note = nomad.hostFunction('void (i32)', () => console.log('note'));
globalThis.kept = jit.load(${JSON.stringify(source)}, { imports: { note } });
kept.get('touch')(1);
process.exit(3);`;
  expect(await runChild(script)).toEqual({ code: 3, signal: null, stdout: '', stderr: '' });
});

describe('moved in the middle', () => {
  test.each(modes)('an ifunc’s target waits in a host function while all moves, %j', (mode) => {
    const { add, move } = makeWanderers(mode);
    const host = hostFunction('i32 (i32)', (x: number) => (move(), x + 1));
    const object: CodeObject = add(
      `declare i32 @host(i32)
define internal i32 @impl(i32 %x) {
  %y = call i32 @host(i32 %x)
  %z = mul i32 %y, 2
  ret i32 %z
}
define internal ptr @choose() { ret ptr @impl }
@chosen = ifunc i32 (i32), ptr @choose
define i32 @f(i32 %x) {
  %y = call i32 @chosen(i32 %x)
  %z = add i32 %y, 5
  ret i32 %z
}`,
      { imports: { host } },
    );
    for (let i = 0; i < 5; i++) expect(object.get('f')(i)).toBe(2 * (i + 1) + 5);
  });
});
