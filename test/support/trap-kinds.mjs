/**
 * Every kind of trap, many times, in the thread that runs this.
 *
 * In: how often. Out: for each kind what came of it, counted, and how much memory grew. Always true: between traps the Jit is used for something
 * that has a right answer.
 */
import { Jit, hostFunction } from 'nomad-jit';

const source = `
declare void @llvm.trap() declare void @llvm.debugtrap() declare void @abort() declare i64 @strlen(ptr) declare ptr @memcpy(ptr, ptr, i64)
declare void @qsort(ptr, i64, i64, ptr) declare void @__assert_fail(ptr, ptr, i32, ptr) declare void @__stack_chk_fail() declare void @host()
declare i32 @feenableexcept(i32) declare i32 @fesetround(i32) declare void @_ZSt9terminatev() declare ptr @calloc(i64, i64) declare void @free(ptr)
declare i32 @_Unwind_RaiseException(ptr) declare i32 @__gxx_personality_v0(...) declare void @note()
@e = private constant [6 x i8] c"x > 0\\00" @f = private constant [4 x i8] c"a.c\\00" @g = private constant [2 x i8] c"f\\00"
define i32 @load(ptr %p) noinline { %v = load volatile i32, ptr %p ret i32 %v }
define void @store(ptr %p) noinline { store volatile i32 1, ptr %p ret void }
define i32 @divide(i32 %a, i32 %b) noinline { %v = sdiv i32 %a, %b ret i32 %v }
define i64 @remainder(i64 %a, i64 %b) noinline { %v = urem i64 %a, %b ret i64 %v }
define void @trap() { call void @llvm.trap() unreachable }
define void @breakpoint() { call void asm sideeffect "int3", ""() ret void }
define void @undefined() { call void asm sideeffect "ud2", ""() ret void }
define void @abortIt() { call void @abort() unreachable }
define void @assertIt() { call void @__assert_fail(ptr @e, ptr @f, i32 12, ptr @g) unreachable }
define void @smash() { call void @__stack_chk_fail() unreachable }
define void @terminate() { call void @_ZSt9terminatev() unreachable }
define i64 @length(ptr %p) { %n = call i64 @strlen(ptr %p) %m = add i64 %n, 0 ret i64 %m }
define i64 @lengthInFrame(ptr %p) { %n = call i64 @strlen(ptr %p) %m = add i64 %n, 1 ret i64 %m }
define void @copy(ptr %a, ptr %b, i64 %n) { %r = call ptr @memcpy(ptr %a, ptr %b, i64 %n) ret void }
define i32 @jump(ptr %p) { %r = call i32 %p() %s = add i32 %r, 1 ret i32 %s }
define i32 @tailJump(ptr %p) { %r = tail call i32 %p() ret i32 %r }
define i32 @badOrder(ptr %a, ptr %b) { %v = load volatile i32, ptr inttoptr (i64 16 to ptr) ret i32 %v }
define void @sort(ptr %p, i64 %n) { call void @qsort(ptr %p, i64 %n, i64 4, ptr @badOrder) ret void }
define double @unmasked(double %x) { %o = call i32 @feenableexcept(i32 4) %z = fsub double %x, %x
  %r = call double asm sideeffect "divsd $1, $0", "=x,x,0"(double %z, double %x) ret double %r }
define i32 @callOut(ptr %p) { call void @host() %v = load volatile i32, ptr %p ret i32 %v }
define i32 @mayThrow(ptr %p) noinline { call void @host() %v = call i32 @load(ptr %p) ret i32 %v }
define i32 @cleanup(ptr %p) noinline personality ptr @__gxx_personality_v0 { %v = invoke i32 @mayThrow(ptr %p) to label %a unwind label %b
a: ret i32 %v
b: %l = landingpad { ptr, i32 } cleanup call void @note() resume { ptr, i32 } %l }
define i32 @catchAll(ptr %p) personality ptr @__gxx_personality_v0 { %v = invoke i32 @cleanup(ptr %p) to label %a unwind label %b
a: ret i32 %v
b: %l = landingpad { ptr, i32 } catch ptr null ret i32 99 }
define void @foreign() { %q = call ptr @calloc(i64 1, i64 64) store i64 5209574053332902734, ptr %q
  %c = getelementptr i8, ptr %q, i64 8 store ptr @drop, ptr %c %r = call i32 @_Unwind_RaiseException(ptr %q) ret void }
define internal void @drop(i32 %why, ptr %q) { call void @free(ptr %q) ret void }
define i32 @deep(i32 %n) noinline { %a = alloca [64 x i32] store volatile i32 %n, ptr %a %m = add i32 %n, 1 %r = call i32 @deep(i32 %m)
  %v = load volatile i32, ptr %a %s = add i32 %r, %v ret i32 %s }
define i32 @huge(i32 %n) noinline { %a = alloca [500000 x i32] %p = getelementptr [500000 x i32], ptr %a, i32 0, i32 %n store volatile i32 %n, ptr %p
  %m = add i32 %n, 1 %r = call i32 @huge(i32 %m) %v = load volatile i32, ptr %p %s = add i32 %r, %v ret i32 %s }
define i32 @compare(ptr %a, ptr %b) { %x = alloca [4 x i32] store i32 7, ptr %x call void @qsort(ptr %x, i64 4, i64 4, ptr @compare) ret i32 1 }
define void @deepSort(ptr %p, i64 %n) { call void @qsort(ptr %p, i64 %n, i64 4, ptr @compare) ret void }
define i64 @fib(i64 %n) noinline { %c = icmp ult i64 %n, 2 br i1 %c, label %b, label %r b: ret i64 %n
  r: %a = sub i64 %n, 1 %x = call i64 @fib(i64 %a) %d = sub i64 %n, 2 %y = call i64 @fib(i64 %d) %s = add i64 %x, %y ret i64 %s }
define i64 @forever(i64 %n) { br label %l l: %s = phi i64 [0, %0], [%t, %l] %x = call i64 @fib(i64 %n) %t = add i64 %s, %x
  %c = icmp eq i64 %t, -1 br i1 %c, label %e, label %l e: ret i64 %t }
`;

const bytes = Buffer.alloc(5000);
const numbers = new Int32Array(10);

/** name: [what to do, kind, function, whether it takes long] */
const kinds = {
  'a load of null': [(f) => f.load(null), 'memory', 'load'],
  'a load of a small address': [(f) => f.load(8n), 'memory', 'load'],
  'a store far away': [(f) => f.store(0x123456789000n), 'memory', 'store'],
  'an address that is none': [(f) => f.load(0xdead000000000000n), 'memory', 'load'],
  'a division by zero': [(f) => f.divide(1, 0), 'arithmetic', 'divide'],
  'the smallest integer by -1': [(f) => f.divide(-2147483648, -1), 'arithmetic', 'divide'],
  'a remainder': [(f) => f.remainder(5n, 0n), 'arithmetic', 'remainder'],
  'an unmasked floating-point exception': [(f) => f.unmasked(5), 'arithmetic', 'unmasked'],
  'llvm.trap': [(f) => f.trap(), 'illegal', 'trap'],
  int3: [(f) => f.breakpoint(), 'illegal', 'breakpoint'],
  ud2: [(f) => f.undefined(), 'illegal', 'undefined'],
  abort: [(f) => f.abortIt(), 'abort', 'abortIt'],
  assert: [(f) => f.assertIt(), 'abort', 'assertIt'],
  'a smashed stack': [(f) => f.smash(), 'abort', 'smash'],
  'std::terminate': [(f) => f.terminate(), 'abort', 'terminate'],
  strlen: [(f) => f.length(16n), 'memory', 'length'],
  'strlen, not as a jump': [(f) => f.lengthInFrame(16n), 'memory', 'lengthInFrame'],
  memcpy: [(f) => f.copy(16n, bytes, 5000n), 'memory', 'copy'],
  'a call of null': [(f) => f.jump(null), 'memory', 'jump'],
  'a call of data': [(f) => f.jump(bytes), 'memory', 'jump'],
  'a jump to null': [(f) => f.tailJump(null), 'memory', 'tailJump'],
  "qsort's comparator": [(f) => f.sort(numbers, 10n), 'memory', 'badOrder'],
  'code that JS calls from code': [(f) => f.callOut(8n), 'memory', 'callOut'],
  'under destructors and catch (...)': [(f) => f.catchAll(8n), 'memory', 'load'],
  'an exception of a language': [(f) => f.foreign(), 'exception', 'foreign'],
  'endless recursion': [(f) => f.deep(0), 'stack', 'deep', true],
  'endless recursion with frames of megabytes': [(f) => f.huge(0), 'stack', 'huge', true],
  "endless recursion through qsort's comparator": [(f) => f.deepSort(new Int32Array(4), 4n), 'stack', 'compare', true],
};

function countOutcomes(f, [act, kind, symbol], count, check) {
  const outcomes = {};
  for (let i = 0; i < count; i++) {
    let outcome = 'returned';
    try {
      act(f);
    } catch (error) {
      const isRight = error.code === 'ERR_TRAP' && error.kind === kind && error.symbol === symbol;
      outcome = isRight ? 'right' : `${error.code} ${error.kind} ${error.symbol}: ${error.message}`;
    }
    if (!check()) outcome += ', and then a wrong answer';
    outcomes[outcome] = (outcomes[outcome] ?? 0) + 1;
  }
  return outcomes;
}

// As in memory.ts: bytes of malloc's that are in use.
function mallocMeter(jit) {
  const source = `
declare void @mallinfo2(ptr sret([10 x i64]))
define i64 @allocated() {
  %info = alloca [10 x i64]
  call void @mallinfo2(ptr sret([10 x i64]) %info)
  %mapped = getelementptr [10 x i64], ptr %info, i64 0, i64 4
  %used = getelementptr [10 x i64], ptr %info, i64 0, i64 7
  %a = load i64, ptr %mapped
  %b = load i64, ptr %used
  %sum = add i64 %a, %b
  ret i64 %sum
}`;
  const allocated = jit.load(source).get('allocated');
  return () => Number(allocated());
}

export function runTraps({ count, seldom, optLevel, only = () => true }) {
  const jit = new Jit({ optLevel });
  let notes = 0;
  const imports = { host: hostFunction('void ()', () => {}), note: hostFunction('void ()', () => void notes++) };
  const object = jit.load(source, { imports, name: 'kinds' });
  const f = Object.fromEntries([...object.functions.keys()].map((name) => [name, object.get(name)]));
  const allocated = mallocMeter(jit);
  const check = () => f.divide(42, 6) === 7 && 1 / 3 === 0.3333333333333333 && f.fib(5n) === 5n;
  const result = {};
  for (const [name, kind] of Object.entries(kinds)) {
    if (!only(name)) continue;
    const times = kind[3] ? seldom : count;
    countOutcomes(f, kind, Math.min(times, 50), check); // what grows once
    const parts = [1, 2, 3].map(() => {
      const before = allocated();
      const outcomes = countOutcomes(f, kind, Math.ceil(times / 3), check);
      return { outcomes, grown: allocated() - before };
    });
    // V8 takes and gives back memory when it likes; a leak is in each part.
    const leastGrown = Math.min(...parts.map(({ grown }) => grown));
    result[name] = { times: Math.ceil(times / 3), outcomes: parts.map(({ outcomes }) => outcomes), leastGrown };
  }
  jit.dispose();
  return { result, notes };
}

/** Interrupts after random times, in recursion of random depth. Returns what came of them, counted. */
export function runInterrupts({ count, optLevel, seed }) {
  let state = seed;
  const random = (limit) => Math.floor(((state = (state * 48271) % 0x7fffffff) / 0x7fffffff) * limit);
  const jit = new Jit({ optLevel });
  const object = jit.load(source, {
    imports: { host: hostFunction('void ()', () => {}), note: hostFunction('void ()', () => {}) },
  });
  const forever = object.get('forever');
  const outcomes = {};
  for (let i = 0; i < count; i++) {
    let outcome = 'returned';
    try {
      jit.withTimeout(random(2), () => forever(BigInt(3 + random(20))));
    } catch (error) {
      const isRight = error.code === 'ERR_TRAP' && error.kind === 'interrupt' && /^(fib|forever)$/.test(error.symbol);
      outcome = isRight && error.frames.at(-1).symbol === 'forever' ? 'right' : `${error.code} ${error.message}`;
    }
    outcomes[outcome] = (outcomes[outcome] ?? 0) + 1;
  }
  jit.dispose();
  return outcomes;
}
