/**
 * Tiers: what is recompiled when, who calls the new code then, and that random programs can't tell.
 */
import { CopyingCollector, Jit, StateError, type CodeObject, type Tiered } from 'nomad-jit';
import { replaceObject } from '../lib/tier/take-over';
import { coreOf } from '../lib/jit/parts';
import { ModelledProgram } from './support/collector-model';
import { settleTiers, verify, waiting } from './support/collectors';
import { descending, i32Host, withNoCodegen } from './support/hosts';
import { errorOf, makeJit } from './support/jits';
import { calling, returning } from './support/programs';
import { randomIntegers, seed } from './support/random';
import { expectSame } from './support/same';
import { liveIn, makeTiered, roundabout, sizesAt, type Unary } from './support/tiers';
import { assemble } from './support/tools';

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
    expectSame(
      events.map(({ object }) => object),
      objects,
    );
    expect(events.every(({ from, to }) => from === 0 && to === 2)).toBe(true);
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
    expectSame(
      events.map((event) => event.object),
      [object],
    );
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
      for (const { references } of all) expectSame(references, [callee]);
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
    expect([order, object.get('f')(5), liveIn(jit)]).toEqual([['exchanged', 'linked'], 16, 2]);
    expectSame(object.references, [callee]);
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
