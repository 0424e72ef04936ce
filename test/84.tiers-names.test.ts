/**
 * What names stand for after a recompile: what they stood for before, and what redirections have made of that since. Oracle: the same program
 * without tiers.
 */
import type { Callable, CodeObject } from 'nomad-jit';
import { collectAll, settleTiers, verify } from './support/collectors';
import { i32Host } from './support/hosts';
import { calling } from './support/programs';
import { randomIntegers, seed } from './support/random';
import { makeTiered, roundabout, type Unary } from './support/tiers';

const unary = (object: CodeObject, name: string): Callable<Unary> => object.get<Unary>(name);

test.each(['a callable', 'a host function', 'the process'])(
  'a name that was %s, and is defined anew, stays what it was',
  async (what) => {
    const { jit, collector } = makeTiered();
    if (what === 'a callable') jit.define('toupper', collector.compile(roundabout('g', 3)).get<Unary>('g'));
    if (what === 'a host function')
      jit.define(
        'toupper',
        i32Host((x) => x * 3),
      );
    const early = collector.compile(calling('early', 'toupper', 1));
    jit.define('toupper', collector.compile(roundabout('h', 5)).get<Unary>('h'));
    const late = collector.compile(calling('late', 'toupper', 1));
    const expected = [what === 'the process' ? 66 : 97 * 3 + 1, 97 * 5 + 1];
    const found = (): number[] => [unary(early, 'early')(97), unary(late, 'late')(97)];
    expect(found()).toEqual(expected);
    expect([await collector.tierUp(early), await collector.tierUp(late)]).toEqual([true, true]);
    expect(found()).toEqual(expected);
    verify(jit);
  },
);

test('a name that another type is defined for meanwhile', async () => {
  const { jit, collector } = makeTiered();
  jit.define('g', collector.compile(roundabout('g', 3)).get<Unary>('g'));
  const early = collector.compile(calling('early', 'g', 1));
  jit.define('g', collector.compile('define i64 @g() {\n  ret i64 7\n}').get('g'));
  expect([await collector.tierUp(early), unary(early, 'early')(2)]).toEqual([true, 7]);
});

test('an import whose code object has been exchanged, and has its functions elsewhere', async () => {
  const { jit, collector } = makeTiered();
  const two = collector.compile(`${roundabout('first', 2)}\n${roundabout('second', 3)}`);
  const caller = collector.compile(calling('caller', 'f', 1), { imports: { f: two.get('second') } });
  expect(await collector.tierUp(two)).toBe(true);
  expect(await collector.tierUp(caller)).toBe(true);
  expect(unary(caller, 'caller')(5)).toBe(16);
  verify(jit);
});

test('an import that has been redirected, and freed or forgotten since', async () => {
  const both = makeTiered();
  const { jit, collector } = both;
  const next = collector.compile(roundabout('next', 5));
  const [freed, forgotten] = ['freed', 'forgotten'].map((name) => {
    const old = collector.compile(roundabout('g', 3));
    const caller = collector.compile(calling(name, 'toupper', 1), { imports: { toupper: old.get('g') } });
    jit.redirect(old.get('g'), next.get('next'));
    if (name === 'freed') old.free();
    return caller;
  }) as [CodeObject, CodeObject];
  await collectAll(both, 'major', [next, freed, forgotten]);
  for (const object of [freed, forgotten]) {
    const call = unary(object, object.functions.keys().next().value!);
    expect(call(97)).toBe(97 * 5 + 1);
    expect(await collector.tierUp(object)).toBe(true);
    expect(call(97)).toBe(97 * 5 + 1);
  }
  verify(jit);
  jit.redirect(next.get('next'), collector.compile(roundabout('last', 7)).get('last'));
  expect([unary(freed, 'freed')(1), unary(forgotten, 'forgotten')(1)]).toEqual([8, 8]);
});

test('a wrapper still calls what it wraps, and others can be led back', async () => {
  const { jit, collector } = makeTiered();
  const old = collector.compile(roundabout('f', 3));
  const imports = { f: old.get('f') };
  const user = collector.compile(calling('user', 'f', 1), { imports });
  const wrapper = collector.compile(calling('wrapper', 'f', 100), { imports });
  jit.redirect(old.get('f'), wrapper.get('wrapper'));
  const found = (): number[] => [unary(user, 'user')(5), unary(wrapper, 'wrapper')(5)];
  expect(found()).toEqual([116, 115]);
  for (const object of [user, wrapper]) expect(await collector.tierUp(object)).toBe(true);
  expect(found()).toEqual([116, 115]);
  verify(jit);
  jit.redirect(old.get('f'), old.get('f'));
  expect(found()).toEqual([16, 115]);
  verify(jit);
});

test(`random definitions, redirections and recompiles (seed ${seed})`, async () => {
  const next = randomIntegers();
  const { jit, collector } = makeTiered();
  // What a name stands for is settled when code is linked to it; what its function has become, when it is called.
  const functions: Array<{ object: CodeObject; name: string; body: (x: number) => number; leads: number }> = [];
  const result = (i: number, x: number): number => functions[functions[i]!.leads]!.body(x);
  let defined = -1;
  for (let step = 0; step < 150; step++) {
    const name = `f${step}`;
    const usesDefinition = next(2) === 0;
    const callee = usesDefinition ? defined : next(step + 1) - 1;
    if (callee < 0) {
      functions.push({ object: collector.compile(roundabout(name, step)), name, body: (x) => Math.imul(x, step), leads: step });
    } else {
      const { object, name: calleeName } = functions[callee]!;
      const options = usesDefinition ? {} : { imports: { callee: object.get(calleeName) } };
      const body = (x: number): number => (result(callee, x) + step) | 0;
      functions.push({ object: collector.compile(calling(name, 'callee', step), options), name, body, leads: step });
    }
    defined = next(functions.length);
    jit.define('callee', functions[defined]!.object.get(functions[defined]!.name));
    const [to, from] = [next(functions.length), next(functions.length)].sort((a, b) => a - b) as [number, number];
    if (next(4) === 0 && functions[to]!.leads === to) {
      jit.redirect(functions[from]!.object.get(functions[from]!.name), functions[to]!.object.get(functions[to]!.name));
      for (const each of functions) if (each.leads === from) each.leads = to;
      functions[from]!.leads = to;
    }
    if (next(3) === 0) void collector.tierUp(functions[next(functions.length)]!.object);
    if (next(5) === 0) await settleTiers(collector);
    if (next(9) === 0) collector.collect(next(2) === 0 ? 'minor' : 'major');
    const tested = next(functions.length);
    const { object, name: testedName } = functions[tested]!;
    expect([testedName, unary(object, testedName)(step)]).toEqual([testedName, result(tested, step)]);
    verify(jit);
  }
  expect([collector.tierStats!.failed, collector.tierStats!.tiered]).toEqual([0, expect.anything()]);
  expect(collector.tierStats!.tiered).toBeGreaterThan(10);
});
