/**
 * Tiers: code that can't be exchanged, constants of the old code, and what happens meanwhile.
 */
import { CopyingCollector, hostFunction, Jit, SpaceFullError, type CodeObject, type TierFailure } from 'nomad-jit';
import { childResult, runChild } from './support/child';
import { settleTiers, verify } from './support/collectors';
import { collectGarbage, errorOf, expectWorking, makeJit } from './support/jits';
import { calling, counter, cxxThrowAndCatch, mix, mixModel, threeSegments } from './support/programs';
import { liveIn, makeTiered, roundabout, sizesAt, type Unary } from './support/tiers';

const text = `@text = private unnamed_addr constant [6 x i8] c"later\\00"
define ptr @text_of() {
  %slot = alloca ptr
  store ptr @text, ptr %slot
  %p = load ptr, ptr %slot
  ret ptr %p
}`;

/** `i32 first(ptr)`: the byte there. */
const first = 'define i32 @first(ptr %p) {\n  %b = load i8, ptr %p\n  %x = zext i8 %b to i32\n  ret i32 %x\n}';

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
    await Promise.resolve(); // the compile begins in a microtask
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
    const failed = new Promise<TierFailure>((resolve) => collector.once('tier-error', resolve));
    expect(await collector.tierUp(another)).toBe(false);
    const { object: failing, error } = await failed;
    expect(failing).toBe(another);
    expect(error).toBeInstanceOf(SpaceFullError);
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

describe('what changes between a compile and the exchange', () => {
  test('no more is recompiled at once than there are threads', async () => {
    const { jit, collector } = makeTiered({}, 1);
    const done = Array.from({ length: 10 }, (_, i) => collector.tierUp(collector.compile(roundabout('f', i))));
    await Promise.resolve();
    expect(collector.tierStats!.compiling).toBe(1);
    expect(await Promise.all(done)).toEqual(Array(10).fill(true));
    expect(liveIn(jit)).toBe(10);
  });

  test('an import that is not used may be freed', async () => {
    const { jit, collector } = makeTiered();
    const unused = jit.load(threeSegments);
    const object = collector.compile(roundabout('f', 3), { imports: { square: unused.get('square') } });
    unused.free();
    expect(await collector.tierUp(object)).toBe(true);
    expect([object.sizes, object.get('f')(5)]).toEqual([sizesAt(2, roundabout('f', 3)), 15]);
  });

  test.each(['dispose', 'freeze'] as const)('to %s it while room is made for the new code: that is given up', async (what) => {
    const jit = makeJit();
    const collector = new CopyingCollector(jit, { tier: true, promoteAfter: 9, nurseryBytes: 65_536, oldBytes: 8192 });
    const seen: string[] = [];
    const note = hostFunction('void ()', () => {
      seen.push(what);
      if (what === 'dispose') collector.dispose();
      else victim.freeze();
    });
    // Leaves no room for the victim in the old generation, and has an end.
    const filling = `declare void @note()
@llvm.global_dtors = appending global [1 x { i32, ptr, ptr }] [{ i32, ptr, ptr } { i32 1, ptr @end, ptr null }]
define internal void @end() {
  call void @note()
  ret void
}
define void @f() {
  call void asm sideeffect ".skip 6000", ""()
  ret void
}`;
    const filler = { object: jit.compile(filling, { imports: { note } }) as CodeObject | undefined };
    collector.adopt(filler.object!);
    for (let i = 0; i < 9; i++) collector.collect('minor'); // it is old then
    const victim = collector.compile(mix);
    await collectGarbage(1);
    filler.object = undefined;
    expect(await collector.tierUp(victim)).toBe(false);
    expect([seen, collector.tierStats!.tiered, victim.get('mix')(3)]).toEqual([[what], 0, mixModel(3)]);
    await collectGarbage();
    expect(liveIn(jit)).toBe(1);
  });
});
