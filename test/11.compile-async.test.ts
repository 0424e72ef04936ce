/**
 * compileAsync: as compile, off the event loop.
 */
import { setImmediate as nextTurn } from 'node:timers/promises';
import { Jit, type Callable } from 'nomad-jit';
import { at, collectGarbage, errorOf, expectWorking, makeJit, rejectionOf } from './support/jits';
import { add, calling, mix, mixModel, multiplying, returning, threeSegments } from './support/programs';
import { assemble } from './support/tools';

const malformed: Array<[string, string | Uint8Array]> = [
  ['a syntax error', 'define i32 @f( {'],
  ['what the verifier refuses', 'define i32 @f() {\n %x = add i32 %y, 1\n %y = add i32 %x, 1\n ret i32 %y\n}'],
  ['an unresolved symbol', calling('f', 'nobody_defines_this', 0)],
  ['another target', `target triple = "aarch64-linux-gnu"\n${add}`],
  ['bad bitcode', assemble(add).subarray(0, 200)],
  ['inline assembly that does not assemble', 'define void @f() {\n call void asm "gibberish", ""()\n ret void\n}'],
];

test('the result is what compile gives', async () => {
  const jit = makeJit();
  const options = { name: 'three', moves: 'all', optLevel: 1 } as const;
  const [now, later] = [jit.compile(threeSegments, options), await jit.compileAsync(threeSegments, options)];
  for (const key of ['name', 'state', 'moves', 'retain', 'sizes', 'alignments', 'relocationCount', 'relocationBytes'] as const)
    expect([key, later[key]]).toEqual([key, now[key]]);
  expect(later.functions).toEqual(now.functions);
  expect(later.globals).toEqual(now.globals);
  later.place(at(jit.createSpace(), 1));
  expect(later.get('square')(3)).toBe(9);
});

test.each(malformed)('%s rejects with the error that compile throws', async (_, source) => {
  const jit = makeJit();
  const now = errorOf(() => jit.compile(source, { name: 'bad' }));
  const later = await rejectionOf(jit.compileAsync(source, { name: 'bad' }));
  expect(later).toBeInstanceOf(now.constructor);
  expect(Object.entries(later)).toEqual(Object.entries(now));
  expect(later.message).toBe(now.message);
  expectWorking(jit);
});

test('bad options reject; nothing is thrown', async () => {
  const jit = makeJit();
  expect(await rejectionOf(jit.compileAsync(7 as never))).toBeInstanceOf(TypeError);
  expect(await rejectionOf(jit.compileAsync(add, { optLevel: 9 as never }))).toBeInstanceOf(RangeError);
});

test('60 at once all arrive, each with its own answer, ids in the order of the calls', async () => {
  const jit = makeJit();
  const space = jit.createSpace();
  const indices = Array.from({ length: 60 }, (_, i) => i);
  const objects = await Promise.all(indices.map((i) => jit.compileAsync(returning('f', i * i))));
  for (const i of indices) expect(objects[i]!.place(at(space, i)).get('f')()).toBe(i * i);
  expect(objects.map(({ id }) => id)).toEqual(objects.map(({ id }) => id).sort((a, b) => a - b));
});

test('compile works while compileAsync is under way', async () => {
  const jit = makeJit();
  const pending = [mix, mix].map((source) => jit.compileAsync(source, { moves: 'all' }));
  for (let i = 0; i < 10; i++) expect(jit.load(returning('f', i)).get('f')()).toBe(i);
  const space = jit.createSpace();
  const objects = await Promise.all(pending);
  objects.forEach((object, i) => expect(object.place(at(space, i, 65536)).get('mix')(i)).toBe(mixModel(i)));
});

test('imports are kept alive until it is done, though JS has forgotten them', async () => {
  const jit = makeJit({ compileThreads: 1 });
  const forgotten = ((): { callable: Callable | undefined } => ({
    callable: jit.load(multiplying('triple', 3)).get('triple'),
  }))();
  await nextTurn(); // for what a job has made V8 keeps until its end
  const first = jit.compileAsync(mix);
  const second = jit.compileAsync(calling('f', 'triple', 1), { imports: { triple: forgotten.callable! } });
  forgotten.callable = undefined;
  await collectGarbage(2);
  await first;
  const object = await second;
  expect(object.place(at(jit.createSpace(), 1)).get('f')(7)).toBe(22);
  expect(object.references.map((each) => [...each.functions.keys()])).toEqual([['triple']]);
});

test('an import may move meanwhile', async () => {
  const jit = makeJit();
  const space = jit.createSpace();
  const callee = jit.compile(multiplying('triple', 3)).place(at(space, 0));
  const pending = jit.compileAsync(calling('f', 'triple', 1), { imports: { triple: callee.get('triple') } });
  callee.relocate({ space, code: 1 << 20 });
  expect((await pending).place(at(space, 9)).get('f')(7)).toBe(22);
});

test('a Jit that is forgotten while it compiles does no harm', async () => {
  const pending = (() => new Jit().compileAsync(mix, { moves: 'all' }))();
  await collectGarbage(2);
  const object = await pending;
  await collectGarbage(2);
  expect([object.state, object.functions.has('mix')]).toEqual(['unplaced', true]);
  object.free();
  expect(object.state).toBe('freed');
});
