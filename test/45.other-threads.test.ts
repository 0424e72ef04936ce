/**
 * Code that calls host functions on a thread that it made itself: no JS is there. Each case in a process of its own.
 */
import { childResult } from './support/child';

const threads = `declare i32 @pthread_create(ptr, ptr, ptr, ptr)
declare i32 @pthread_join(i64, ptr)
define internal i64 @begin(ptr %start) {
  %id = alloca i64
  %failed = call i32 @pthread_create(ptr %id, ptr null, ptr %start, ptr null)
  %value = load i64, ptr %id
  ret i64 %value
}
define internal void @end(i64 %id) {
  call i32 @pthread_join(i64 %id, ptr null)
  ret void
}`;

const kinds = { i1: 'true', i32: '5', i64: '5n', double: '5.5', ptr: '16n' };

/** `f`: on another thread, what `host` returns is stored in `seen`; `own` calls it here. */
function storing(kind: string): string {
  return `${threads}
@seen = global i64 -1
declare ${kind} @host(i32, double)
define internal ptr @start(ptr %x) {
  %r = call ${kind} @host(i32 7, double 1.0)
  store i64 0, ptr @seen
  store ${kind} %r, ptr @seen
  ret ptr null
}
define i32 @f() {
  %id = call i64 @begin(ptr @start)
  call void @end(i64 %id)
  ret i32 3
}
define ${kind} @own() {
  %r = call ${kind} @host(i32 7, double 1.0)
  ret ${kind} %r
}`;
}

const tell = `const tell = (run) => { try { return String(run()); } catch (error) { return error.code + ' ' + error.message; } };`;
const refusal = "ERR_STATE host function 'mine' was called on another thread than its Jit's: it did not run, and code got 0";

describe.each(['', '1'])('NOMAD_JIT_NO_CODEGEN=%s', (value) => {
  test.each(Object.entries(kinds))('%s: code gets 0, and its JS caller a StateError; the Jit goes on', async (kind, result) => {
    const script = `${tell}
const jit = new nomad.Jit();
let calls = 0;
const host = nomad.hostFunction('${kind} (i32, double)', function mine() { calls++; return ${result}; });
const object = jit.load(${JSON.stringify(storing(kind))}, { imports: { host } });
const [f, own] = [object.get('f'), object.get('own')];
const told = [];
for (let round = 0; round < 3; round++) told.push(tell(f), String(object.readGlobal('seen')), tell(own), calls);
jit.dispose();
console.log(JSON.stringify(told));`;
    const told = await childResult<unknown[]>(script, { environment: { NOMAD_JIT_NO_CODEGEN: value } });
    const own = result.replace('n', '');
    expect(told).toEqual([1, 2, 3].flatMap((calls) => [refusal, '0', own, calls]));
  });
});

test('threads that call all the time disturb neither calls on the own thread nor each other', async () => {
  const source = `${threads}
@sum = global i64 0
@others = global i64 0
declare i32 @host(i32)
define internal ptr @start(ptr %x) {
entry:
  br label %loop
loop:
  %i = phi i32 [ 1, %entry ], [ %next, %loop ]
  %r = call i32 @host(i32 %i)
  %wide = sext i32 %r to i64
  %old = atomicrmw add ptr @others, i64 %wide seq_cst
  %next = add i32 %i, 1
  %more = icmp slt i32 %next, 200000
  br i1 %more, label %loop, label %done
done:
  ret ptr null
}
define void @f(i32 %count) {
entry:
  %a = call i64 @begin(ptr @start)
  %b = call i64 @begin(ptr @start)
  br label %loop
loop:
  %i = phi i32 [ 0, %entry ], [ %next, %loop ]
  %r = call i32 @host(i32 %i)
  %wide = sext i32 %r to i64
  %old = load i64, ptr @sum
  %new = add i64 %old, %wide
  store i64 %new, ptr @sum
  %next = add i32 %i, 1
  %more = icmp slt i32 %next, %count
  br i1 %more, label %loop, label %done
done:
  call void @end(i64 %a)
  call void @end(i64 %b)
  ret void
}`;
  const told = await childResult<string[]>(`${tell}
const jit = new nomad.Jit();
// Placed by hand: zeal would move it, and nobody walks the stacks of other threads.
const object = jit.compile(${JSON.stringify(source)}, { imports: { host: nomad.hostFunction('i32 (i32)', function mine(x) { return 2 * x; }) } });
object.place({ space: jit.createSpace(), code: 0, constants: 0, data: 0 });
const told = [tell(() => object.get('f')(50000))];
console.log(JSON.stringify([...told, String(object.readGlobal('sum')), String(object.readGlobal('others'))]));`);
  expect(told).toEqual([refusal, String(50_000 * 49_999), '0']);
});

test('each thread has Jits of its own: a worker calls host functions as the main thread does', async () => {
  const script = `const { Worker } = require('node:worker_threads');
const run = \`const nomad = require(\${JSON.stringify(require.resolve('./dist/index.js'))});
const host = nomad.hostFunction('i32 (i32)', (x) => x + 1);
const source = 'declare i32 @host(i32) define i32 @f(i32 %x) { %r = call i32 @host(i32 %x) ret i32 %r }';
require('node:worker_threads').parentPort.postMessage(new nomad.Jit().load(source, { imports: { host } }).get('f')(41));\`;
new Worker(run, { eval: true }).on('message', (value) => console.log(JSON.stringify(value)));`;
  expect(await childResult<number>(script)).toBe(42);
});

test('while another thread is in code nothing moves, is freed or is redirected; afterwards everything is', async () => {
  const script = `${tell}
const jit = new nomad.Jit();
const object = jit.load(${JSON.stringify(`${threads}
@goesOn = global i32 1
@isIn = global i32 0
@id = global i64 0
define internal ptr @start(ptr %x) {
  store atomic i32 1, ptr @isIn seq_cst, align 4
  br label %loop
loop:
  %g = load atomic i32, ptr @goesOn seq_cst, align 4
  %c = icmp ne i32 %g, 0
  br i1 %c, label %loop, label %end
end:
  ret ptr null
}
define void @begins() {
  %id = call i64 @begin(ptr @start)
  store i64 %id, ptr @id
  br label %loop
loop:
  %g = load atomic i32, ptr @isIn seq_cst, align 4
  %c = icmp eq i32 %g, 0
  br i1 %c, label %loop, label %end
end:
  ret void
}
define void @ends() {
  store atomic i32 0, ptr @goesOn seq_cst, align 4
  %id = load i64, ptr @id
  call void @end(i64 %id)
  ret void
}`)});
const other = jit.load(programs.add);
const [f, g] = [1, 2].map((n) => jit.load('define i32 @f() { ret i32 ' + n + ' }'));
const caller = jit.load('declare i32 @f() define i32 @call() { %r = call i32 @f() ret i32 %r }', { imports: { f: f.get('f') } });
const space = jit.createSpace();
const told = () => [
  tell(() => (other.relocate({ space, code: 64 * (1 + at++) }), 'moved')),
  tell(() => (jit.redirect(f.get('f'), g.get('f')), 'redirected')),
  caller.get('call')(),
  tell(() => (other.free(), 'freed')),
].map((each) => String(each).split(' ')[0]);
let at = 0;
object.get('begins')();
const during = told();
object.get('ends')();
console.log(JSON.stringify([during, told()]));`;
  expect(await childResult<unknown[]>(script)).toEqual([
    ['ERR_PINNED', 'ERR_STATE', '1', 'ERR_STATE'],
    ['moved', 'redirected', '2', 'freed'],
  ]);
});
