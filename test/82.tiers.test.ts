/**
 * Tiers: what is recompiled when, that nobody can tell but by its speed, and what is left of the old code.
 */
import { CopyingCollector, Jit, SpaceFullError, StateError, type CodeObject, type Tiered } from 'nomad-jit';
import { replaceObject } from '../lib/collector/take-over';
import { coreOf } from '../lib/core';
import { childResult, runChild } from './support/child';
import { settleTiers, verify, waiting, type Collected } from './support/collectors';
import { ModelledProgram } from './support/collector-model';
import { descending, i32Host, withNoCodegen } from './support/hosts';
import { collectGarbage, errorOf, expectWorking, makeJit } from './support/jits';
import { calling, counter, cxxThrowAndCatch, mix, mixModel, returning, threeSegments } from './support/programs';
import { randomIntegers, seed } from './support/random';
import { assemble } from './support/tools';

/** `i32 name(i32 x)`: x * factor, by way of memory, as a front end writes it: long at O0, short at O2. */
function roundabout(name: string, factor: number): string {
  return `define i32 @${name}(i32 %x) {
  %a = alloca i32
  store i32 %x, ptr %a
  %b = load i32, ptr %a
  %c = mul i32 %b, ${factor}
  store i32 %c, ptr %a
  %d = load i32, ptr %a
  ret i32 %d
}`;
}

const text = `@text = private unnamed_addr constant [6 x i8] c"later\\00"
define ptr @text_of() {
  %slot = alloca ptr
  store ptr @text, ptr %slot
  %p = load ptr, ptr %slot
  ret ptr %p
}`;

/** `i32 first(ptr)`: the byte there. */
const first = 'define i32 @first(ptr %p) {\n  %b = load i8, ptr %p\n  %x = zext i8 %b to i32\n  ret i32 %x\n}';

type Unary = (x: number) => number;

/** A Jit and a collector that recompiles only what it is told to, or what is promoted. */
function makeTiered(
  options: ConstructorParameters<typeof CopyingCollector>[1] = {},
  compileThreads = 2,
): Collected & { events: Tiered[] } {
  const jit = makeJit({ compileThreads });
  const collector = new CopyingCollector(jit, { tier: true, ...options });
  const events: Tiered[] = [];
  collector.on('tiered', (event) => events.push(event));
  return { jit, collector, events };
}

/** Sizes of `source` at a level. */
function sizesAt(optLevel: 0 | 2, source: string): CodeObject['sizes'] {
  return makeJit().compile(source, { optLevel }).sizes;
}

function liveIn(jit: Jit): number {
  return jit.stats().objects.live;
}

describe('options', () => {
  test.each([
    [{ tier: 7 }, 'TypeError'],
    [{ tier: null }, 'TypeError'],
    [{ tier: { hotCalls: 0 } }, 'RangeError'],
    [{ tier: { hotCalls: '9' } }, 'TypeError'],
    [{ tier: { hotSamples: -1 } }, 'RangeError'],
    [{ tier: { optLevel: 0 } }, 'RangeError'],
  ])('%j is a %s, of a Jit and of a collector', (options, name) => {
    expect(errorOf(() => new Jit(options as never))).toMatchObject({ name, message: /tier/ });
    expect(errorOf(() => new CopyingCollector(makeJit(), options as never))).toMatchObject({ name, message: /tier/ });
  });

  test("the Jit's are its collectors' default; without any there are no tiers", async () => {
    const jit = makeJit({ tier: { optLevel: 1 }, optLevel: 3 });
    const [tiered, plain] = [new CopyingCollector(jit, { nurseryBytes: 65536 }), new CopyingCollector(jit, { tier: false })];
    const events: Tiered[] = [];
    tiered.on('tiered', (event) => events.push(event));
    const first = tiered.compile(roundabout('f', 3));
    expect(await tiered.tierUp(first)).toBe(true);
    expect(events.map((event) => [event.object === first, event.from, event.to])).toEqual([[true, 0, 1]]);
    const object = plain.compile(roundabout('f', 3));
    expect([await plain.tierUp(object), plain.tierStats, object.sizes]).toEqual([
      false,
      undefined,
      sizesAt(2, roundabout('f', 3)),
    ]);
    expect(new CopyingCollector(makeJit()).tierStats).toBe(undefined);
  });

  test('a level that the user asks for is respected', async () => {
    const { collector } = makeTiered();
    const object = collector.compile(roundabout('f', 3), { optLevel: 0 });
    expect([object.sizes, collector.tierStats!.candidates]).toEqual([sizesAt(0, roundabout('f', 3)), 0]);
    expect(await collector.tierUp(object)).toBe(false);
  });
});

describe('when', () => {
  test('what is promoted is recompiled; it is the same code object, in other code', async () => {
    const { jit, collector, events } = makeTiered({ promoteAfter: 2 });
    const objects = Array.from({ length: 20 }, (_, i) => collector.compile(roundabout('f', i), { name: `number ${i}` }));
    const calls = objects.map((object) => object.get<Unary>('f'));
    const before = objects.map(({ id, name, functions }, i) => [id, name, functions, calls[i]!.entry]);
    expect(objects[0]!.sizes).toEqual(sizesAt(0, roundabout('f', 3)));
    expect(collector.tierStats).toMatchObject({ candidates: 20, tiered: 0, compiling: 0 });
    expect(collector.tierStats!.sourceBytes).toBeGreaterThan(20 * 20);
    collector.collect('minor');
    await settleTiers(collector);
    expect(events).toEqual([]);
    expect(collector.collect('minor').promoted).toBe(20);
    await settleTiers(collector);
    expect(events.map(({ object, from, to }) => [object, from, to])).toEqual(objects.map((object) => [object, 0, 2]));
    expect(events.every(({ milliseconds }) => milliseconds > 0)).toBe(true);
    expect(objects.map(({ sizes }) => sizes)).toEqual(objects.map((_, i) => sizesAt(2, roundabout('f', i))));
    expect(objects.map(({ id, name, functions }, i) => [id, name, functions, objects[i]!.get('f').entry])).toEqual(before);
    expect(calls.map((call) => call(7))).toEqual(objects.map((_, i) => 7 * i));
    expect(collector.tierStats).toEqual({ candidates: 0, compiling: 0, tiered: 20, failed: 0, sourceBytes: 0, outdated: 0 });
    expect(liveIn(jit)).toBe(20);
    expect(collector.collect('minor')).toMatchObject({ moved: 0, freed: 20, liveObjects: 20 });
    expect(collector.collect('major').moved).toBe(20);
    expect(calls.map((call) => call(-2))).toEqual(objects.map((_, i) => -2 * i + 0));
    verify(jit);
  });

  test.each(['0', '1'])('what JS calls often is recompiled at that very call (NOMAD_JIT_NO_CODEGEN=%s)', async (noCodegen) => {
    const { collector, events } = withNoCodegen(noCodegen, () => makeTiered({ tier: { hotCalls: 10 } }));
    const object = collector.compile(roundabout('f', 5));
    const [a, b] = withNoCodegen(noCodegen, () => [object.get<Unary>('f'), object.get<Unary>('f')]);
    for (let i = 0; i < 9; i++) expect((i % 2 ? a : b)(i)).toBe(5 * i);
    await settleTiers(collector);
    expect(events).toEqual([]);
    expect(a(9)).toBe(45);
    await settleTiers(collector);
    expect(events.map((event) => event.object)).toEqual([object]);
    for (let i = 0; i < 30; i++) expect([a(i), b(i), object.get('f')(i)]).toEqual([5 * i, 5 * i, 5 * i]);
    await settleTiers(collector);
    expect(events.length).toBe(1);
  });

  test('what collections find on the stack is recompiled when nothing runs any more', async () => {
    const { jit, collector, events } = makeTiered({ tier: { hotSamples: 3 } });
    const wait = i32Host((x) => (collector.collect('minor'), x * 2));
    const object = collector.compile(waiting('f'), { imports: { wait } });
    const waits = object.get<Unary>('f');
    collector.addRoot(object);
    for (let i = 1; i <= 3; i++) {
      expect(waits(i)).toBe(2 * i + 1);
      const { candidates, compiling } = collector.tierStats!;
      expect([events.length, candidates, compiling]).toEqual([0, 1, 0]);
    }
    await settleTiers(collector);
    expect(events.length).toBe(1);
    expect([waits(4), liveIn(jit)]).toEqual([9, 1]);
  });

  test('tierUp recompiles at once; many at once, from bitcode too', async () => {
    const { collector, events } = makeTiered();
    const objects = Array.from({ length: 30 }, (_, i) =>
      collector.compile(i % 3 === 0 ? assemble(roundabout('f', i)) : roundabout('f', i)),
    );
    const done = objects.flatMap((object) => [collector.tierUp(object), collector.tierUp(object)]);
    expect(await Promise.all(done)).toEqual(done.map(() => true));
    expect(events.length).toBe(30);
    expect(objects.map((object) => object.get('f')(3))).toEqual(objects.map((_, i) => 3 * i));
    expect(await collector.tierUp(objects[0]!)).toBe(false);
    expect(errorOf(() => collector.tierUp({} as never)).name).toBe('TypeError');
  });
});

describe('who refers to it', () => {
  test('callers at any level call the new code, and the old code is gone', async () => {
    const { jit, collector } = makeTiered();
    const callee = collector.compile(roundabout('g', 3));
    const imports = { g: callee.get('g') };
    const callers = ([0, 2, undefined] as const).map((optLevel) =>
      collector.compile(calling('f', 'g', 1), optLevel === undefined ? { imports } : { imports, optLevel }),
    );
    const later = jit.compile(calling('f', 'g', 1), { imports });
    expect(callers.map((caller) => caller.get('f')(5))).toEqual([16, 16, 16]);
    expect(await collector.tierUp(callee)).toBe(true);
    collector.collect();
    verify(jit);
    expect(liveIn(jit)).toBe(5);
    const all = [...callers, collector.adopt(later), collector.compile(calling('f', 'g', 1), { imports })];
    for (let round = 0; round < 3; round++) {
      expect(all.map((caller) => caller.get('f')(5))).toEqual([16, 16, 16, 16, 16]);
      expect(all.map(({ references }) => references)).toEqual(all.map(() => [callee]));
      collector.collect();
    }
    expect(errorOf(() => callee.free())).toBeInstanceOf(StateError);
    for (const caller of all) caller.free();
    callee.free();
    expect(jit.stats().objects).toEqual({ live: 0, placed: 0 });
  });

  test('a stored address leads to the new code', async () => {
    const { jit, collector } = makeTiered();
    const callee = collector.compile(roundabout('g', 3));
    const taking = collector.compile('declare i32 @g(i32)\ndefine ptr @where() {\n  ret ptr @g\n}', {
      imports: { g: callee.get('g') },
    });
    const through = collector.compile('define i32 @through(ptr %f, i32 %x) {\n  %y = call i32 %f(i32 %x)\n  ret i32 %y\n}');
    const address = taking.get('where')() as bigint;
    expect([address, through.get('through')(address, 4)]).toEqual([callee.get('g').entry, 12]);
    expect(await collector.tierUp(callee)).toBe(true);
    expect(await collector.tierUp(taking)).toBe(true);
    expect([taking.get('where')(), callee.get('g').entry]).toEqual([address, address]);
    expect([through.get('through')(address, 5), through.get('through')(callee.get('g'), 6)]).toEqual([15, 18]);
    verify(jit);
  });

  test('what it is defined as, declared as and redirected from', async () => {
    const { jit, collector } = makeTiered();
    jit.declare('later', 'i32 (i32)');
    const early = collector.compile(calling('early', 'later', 1));
    const old = collector.compile(roundabout('old', 2));
    const object = collector.compile(roundabout('g', 3));
    jit.define('later', object.get('g'));
    jit.redirect(old.get<Unary>('old'), object.get<Unary>('g'));
    const check = (factor: number): void => {
      const late = collector.compile(calling('late', 'later', 2));
      const found = [early.get('early')(10), old.get('old')(10), late.get('late')(10)];
      expect(found).toEqual([10 * factor + 1, 10 * factor, 10 * factor + 2]);
    };
    check(3);
    expect(await collector.tierUp(object)).toBe(true);
    expect(await collector.tierUp(old)).toBe(false); // nobody calls it any more
    collector.collect();
    check(3);
    jit.redirect(object.get<Unary>('g'), collector.compile(roundabout('next', 7)).get<Unary>('next'));
    check(7);
    verify(jit);
  });

  test('what was being compiled when its import was exchanged is linked to the new code', async () => {
    const { jit, collector } = makeTiered({}, 1);
    const callee = collector.compile(roundabout('g', 3));
    const order: string[] = [];
    const exchanged = collector.tierUp(callee).then(() => order.push('exchanged'));
    await Promise.resolve();
    const caller = jit.compileAsync(calling('f', 'g', 1), { imports: { g: callee.get('g') } });
    await Promise.all([exchanged, caller.then(() => order.push('linked'))]);
    const object = collector.adopt(await caller);
    expect([order, object.get('f')(5), object.references, liveIn(jit)]).toEqual([['exchanged', 'linked'], 16, [callee], 2]);
  });

  test('frames of the old code return into it, and then it is gone', async () => {
    const { jit, collector } = makeTiered();
    const source = descending;
    const seen: number[] = [];
    const host = i32Host((n) => {
      if (seen.push(n) > 1) return n;
      const faster = collector.adopt(jit.compile(source, { optLevel: 2, imports: { host } }));
      replaceObject(coreOf(jit)!, object, faster);
      collector.collect();
      verify(jit);
      expect([object.sizes.code < longer, faster.state, liveIn(jit)]).toEqual([true, 'freed', 2]);
      expect(object.get('descend')(5)).toBe(model(5)); // the new code, while the old one waits
      return n;
    });
    const model = (n: number): number => (n === 0 ? 1 : Math.imul(model(n - 1), 3) ^ n);
    const object: CodeObject = collector.compile(source, { imports: { host } });
    const longer = object.sizes.code;
    expect(object.get('descend')(12)).toBe(model(12));
    collector.collect();
    await settleTiers(collector);
    expect([liveIn(jit), object.get('descend')(7), seen.length]).toEqual([1, model(7), 3]);
    verify(jit);
  });
});

describe('what can not be exchanged', () => {
  const ownAddress = 'define internal void @h() {\n  ret void\n}\ndefine ptr @f() {\n  ret ptr @h\n}';
  const compared =
    '@sentinel = internal constant i32 0\ndefine i1 @f(ptr %p) {\n  %is = icmp eq ptr %p, @sentinel\n  ret i1 %is\n}\ndefine ptr @none() {\n  ret ptr @sentinel\n}';
  const inlined = `${roundabout('g', 3).replace('define', 'define linkonce_odr')}\ndefine i32 @f(i32 %x) {\n  %y = call i32 @g(i32 %x)\n  ret i32 %y\n}`;
  const constructed =
    'declare i32 @abs(i32)\n@llvm.global_ctors = appending global [1 x { i32, ptr, ptr }] [{ i32, ptr, ptr } { i32 65535, ptr @start, ptr null }]\ndefine internal void @start() {\n  %x = call i32 @abs(i32 1)\n  ret void\n}\ndefine i32 @f() {\n  ret i32 1\n}';

  test.each([
    ['data', counter],
    ['data and constants', threeSegments],
    ['C++ exceptions of its own types', cxxThrowAndCatch],
    ['stored addresses of its own functions', ownAddress],
    ['constants that are told apart by their addresses', compared],
    ['functions that only O0 exports', inlined],
    ['constructors', constructed],
  ])('code with %s is compiled at the upper level at once', async (_, source) => {
    const { jit, collector } = makeTiered();
    const object = collector.compile(source);
    expect([object.sizes, collector.tierStats!.candidates, liveIn(jit)]).toEqual([sizesAt(2, source), 0, 1]);
    collector.collect();
    expect(await collector.tierUp(object)).toBe(false);
  });

  test('what refers to nothing where it is never run compiles as it does without tiers', async () => {
    const { collector } = makeTiered();
    const source = `declare void @nowhere()\ndefine i32 @f() {\n  br i1 false, label %never, label %always\nnever:\n  call void @nowhere()\n  br label %always\nalways:\n  ret i32 5\n}`;
    const object = collector.compile(source);
    expect([object.get('f')(), await collector.tierUp(object)]).toEqual([5, false]);
    const missing = errorOf(() => collector.compile(calling('f', 'nowhere', 1)));
    expect(missing).toMatchObject({ name: 'UnresolvedSymbolError', symbols: ['nowhere'] });
  });

  test('constants alone stay as they are', async () => {
    const { collector } = makeTiered();
    const object = collector.compile('@answer = constant i32 42');
    const address = object.addressOf('answer');
    expect(await collector.tierUp(object)).toBe(false);
    collector.collect();
    await settleTiers(collector);
    expect([object.readGlobal('answer'), object.addressOf('answer')]).toEqual([42, address]);
  });

  test('code that is redirected or frozen before its turn stays as it is', async () => {
    const { jit, collector, events } = makeTiered();
    const [redirected, frozen, target] = [3, 4, 5].map((factor) => collector.compile(roundabout('f', factor)));
    const pending = [redirected!, frozen!].map((object) => collector.tierUp(object));
    jit.redirect(redirected!.get<Unary>('f'), target!.get<Unary>('f'));
    const saved = frozen!.freeze();
    expect(await Promise.all(pending)).toEqual([false, false]);
    frozen!.thaw(saved);
    collector.collect();
    expect([redirected!.get('f')(2), frozen!.get('f')(2), events.length]).toEqual([10, 8, 0]);
  });
});

describe('constants', () => {
  test('an address of a constant that the old code has returned is good as long as the new code lives', async () => {
    const { jit, collector, events } = makeTiered();
    const kept = { object: collector.compile(text) as CodeObject | undefined, address: 0n };
    const read = collector.compile(first, { optLevel: 2 }).get<(address: bigint) => number>('first');
    kept.address = kept.object!.get('text_of')() as bigint;
    expect(await collector.tierUp(kept.object!)).toBe(true);
    await collectGarbage();
    collector.collect();
    expect([collector.tierStats!.outdated, liveIn(jit)]).toEqual([1, 3]);
    for (let i = 0; i < 50; i++) collector.compile(text); // would use the memory again
    expect([read(kept.address), read(kept.object!.get('text_of')() as bigint)]).toEqual([108, 108]);
    verify(jit);
    kept.object = undefined;
    events.length = 0;
    await collectGarbage();
    collector.collect();
    await settleTiers(collector);
    expect([collector.tierStats!.outdated, liveIn(jit)]).toEqual([0, 1]);
  });

  test('old code that is kept for its constants goes with a circle of references', async () => {
    const { jit, collector, events } = makeTiered();
    await (async () => {
      const back = collector.compile('define ptr @back() {\n  ret ptr null\n}', { optLevel: 0 });
      const a = collector.compile(`declare ptr @back()\n${text}\ndefine ptr @a() {\n  %p = call ptr @back()\n  ret ptr %p\n}`, {
        imports: { back: back.get('back') },
      });
      const b = collector.compile('declare ptr @text_of()\ndefine ptr @b() {\n  %p = call ptr @text_of()\n  ret ptr %p\n}', {
        imports: { text_of: a.get('text_of') },
      });
      jit.redirect(back.get('back'), b.get('b'));
      expect(await Promise.all([collector.tierUp(a), collector.tierUp(b)])).toEqual([true, true]);
      expect(a.get('a')()).toBe(a.get('text_of')());
      expect(collector.tierStats!.outdated).toBe(1);
      events.length = 0;
    })();
    await collectGarbage();
    collector.collect();
    await collectGarbage();
    collector.collect();
    expect([collector.tierStats!.outdated, liveIn(jit)]).toEqual([0, 0]);
  });

  test('freed by hand, the old code goes with the new one', async () => {
    const { jit, collector } = makeTiered();
    const object = collector.compile(text);
    expect(await collector.tierUp(object)).toBe(true);
    object.free();
    await settleTiers(collector);
    expect([collector.tierStats!.outdated, liveIn(jit)]).toEqual([0, 0]);
  });
});

describe('meanwhile', () => {
  /** Long enough for anything to happen meanwhile. */
  const long = Array.from({ length: 12 }, (_, i) => mix.replaceAll('@twist', `@twist${i}`).replaceAll('@mix', `@mix${i}`)).join(
    '\n',
  );

  test('what dies is not raised', async () => {
    const { jit, collector, events } = makeTiered();
    const done = (() => collector.tierUp(collector.compile(long)))();
    await collectGarbage(2);
    expect(collector.tierStats!.compiling).toBe(1);
    expect(await done).toBe(false);
    collector.collect();
    await settleTiers(collector);
    expect([events, liveIn(jit)]).toEqual([[], 0]);
  });

  test('what is freed is not raised, nor is what gets its handle', async () => {
    const { jit, collector, events } = makeTiered();
    const [queued, compiling] = [collector.compile(roundabout('f', 3)), collector.compile(long)];
    const done = [collector.tierUp(compiling), collector.tierUp(queued)];
    compiling.free();
    queued.free();
    const others = [4, 5].map((factor) => collector.compile(roundabout('f', factor), { optLevel: 0 }));
    expect(await Promise.all(done)).toEqual([false, false]);
    expect([events, liveIn(jit)]).toEqual([[], 2]);
    expect(others.map((object) => object.get('f')(2))).toEqual([8, 10]);
  });

  test('disposing of the collector ends it, and leaves the code', async () => {
    const { jit, collector, events } = makeTiered({}, 1);
    const objects = [long, roundabout('f', 3)].map((source) => collector.compile(source));
    const done = objects.map((object) => collector.tierUp(object));
    await Promise.resolve();
    collector.dispose();
    expect(await Promise.all(done)).toEqual([false, false]);
    expect([objects[0]!.get('mix3')(5), objects[1]!.get('f')(5), events]).toEqual([mixModel(5), 15, []]);
    await settleTiers(collector);
    expect(liveIn(jit)).toBe(2);
  });

  test('disposing of the Jit ends it', async () => {
    const jit = new Jit({ compileThreads: 1 });
    const collector = new CopyingCollector(jit, { tier: true });
    const failures: unknown[] = [];
    collector.on('tier-error', (failure) => failures.push(failure));
    const done = [long, roundabout('f', 3), roundabout('f', 4)].map((source) => collector.tierUp(collector.compile(source)));
    await Promise.resolve();
    jit.dispose();
    expect(await Promise.all(done)).toEqual([false, false, false]);
    expect(failures).toEqual([]);
    expectWorking(makeJit());
  });

  test('without room in the old generation it is a tier-error, and the old code goes on', async () => {
    const jit = makeJit();
    const collector = new CopyingCollector(jit, { tier: true, nurseryBytes: 65536, oldBytes: 4096 });
    const object = collector.compile(mix);
    expect(await collector.tierUp(object)).toBe(false); // nobody listens
    const another = collector.compile(mix);
    const failed = new Promise((resolve) => collector.once('tier-error', resolve));
    expect(await collector.tierUp(another)).toBe(false);
    expect(await failed).toEqual({ object: another, error: expect.any(SpaceFullError) as unknown });
    expect(collector.tierStats).toMatchObject({ failed: 2, tiered: 0, candidates: 0, sourceBytes: 0, outdated: 0 });
    expect([object.get('mix')(9), another.get('mix')(9), liveIn(jit)]).toEqual([mixModel(9), mixModel(9), 2]);
  });

  test('a listener may free, collect and compile; what it throws is uncaught, and does no harm', async () => {
    const script = `const jit = new nomad.Jit();
      const collector = new nomad.CopyingCollector(jit, { tier: true });
      const seen = [];
      process.on('uncaughtException', (error) => seen.push(error.message));
      process.on('unhandledRejection', () => seen.push('unhandled'));
      collector.on('tiered', ({ object }) => { collector.collect(); if (seen.length > 0) object.free(); throw new Error('mine'); });
      const objects = [1, 2].map(() => collector.compile(programs.add));
      (async () => {
        for (const object of objects) await collector.tierUp(object);
        setImmediate(() => console.log(JSON.stringify([seen, objects.map(({ state }) => state), jit.stats().objects.live])));
      })();`;
    expect(await childResult(script)).toEqual([['mine', 'mine'], ['placed', 'freed'], 1]);
  });

  test('the process does not wait for what is compiled in the background, but for tierUp', async () => {
    const script = (then: string): string => `const jit = new nomad.Jit({ compileThreads: 1 });
      const collector = new nomad.CopyingCollector(jit, { tier: true, promoteAfter: 1 });
      globalThis.kept = Array.from({ length: 300 }, () => collector.compile(programs.mix));
      collector.collect();
      ${then}`;
    const result = await runChild(script(`process.on('exit', () => console.log(collector.tierStats.tiered < 300))`));
    expect(result).toEqual({ code: 0, signal: null, stdout: 'true\n', stderr: '' });
    expect(await childResult(script('collector.tierUp(kept[3]).then((done) => console.log(done));'))).toBe(true);
  });
});

test('zeal: everything moves at every host call, and is recompiled in every turn', async () => {
  const { jit, collector } = makeTiered({ zeal: true, tier: { hotCalls: 3 } });
  const host = i32Host((x) => x ^ 5);
  const objects: CodeObject[] = [];
  for (let round = 0; round < 12; round++) {
    objects.push(collector.compile(descending, { imports: { host } }), collector.compile(returning('f', round)));
    const model = (n: number): number => (n === 0 ? 6 : Math.imul(model(n - 1), 3) ^ n);
    for (const object of objects) if (object.functions.has('descend')) expect(object.get('descend')(4)).toBe(model(4));
    if (round % 3 === 2) await settleTiers(collector);
  }
  await settleTiers(collector);
  expect(objects.filter((_, i) => i % 2 === 1).map((object) => object.get('f')())).toEqual(
    Array.from({ length: 12 }, (_, i) => i),
  );
  expect(collector.tierStats!.tiered).toBeGreaterThanOrEqual(12);
  verify(jit);
});

const operations = Number(process.env.OPERATIONS ?? 20_000);

test(
  `${operations} operations on code that is recompiled meanwhile do what the model says (SEED=${seed})`,
  async () => {
    const random = randomIntegers();
    const program = new ModelledProgram(random, { tier: { hotCalls: 20 } });
    for (let done = 0; done < operations; done++) {
      try {
        if (done % 4000 === 3999) await program.check();
        else if (random(50) === 0) await new Promise((resolve) => setImmediate(resolve));
        program.step();
      } catch (error) {
        throw new Error(`operation ${done} with SEED=${seed}: ${(error as Error).stack}`, { cause: error });
      }
    }
    await program.check();
    const { tiered, failed, outdated } = program.collector.tierStats!;
    expect([failed, outdated]).toEqual([0, 0]);
    expect(tiered).toBeGreaterThan(operations / 500);
    program.jit.dispose();
  },
  Math.max(120_000, operations * 6),
);
