/**
 * Names whose functions come later, and functions that others take the place of. Oracle: each program's answer by hand; at random, a model of
 * who calls whom.
 */
import {
  CopyingCollector,
  hostFunction,
  PlacementError,
  SignatureError,
  StateError,
  type Callable,
  type CodeObject,
  type CompileOptions,
  type Jit,
} from 'nomad-jit';
import { collect, collectAll, makeCollector, verify, waiting } from './support/collectors';
import { i32Host } from './support/hosts';
import { at, codeAt, errorOf, expectWorking, makeJit, snapshot } from './support/jits';
import { calling, multiplying, returning } from './support/programs';
import { randomIntegers, seed } from './support/random';

type Unary = (x: number) => number;

/** `i32 name(i32 x)`: `base` at 0, else 2 * next(x - 1) + 1. */
function stepping(name: string, next: string, base: number): string {
  return `declare i32 @${next}(i32)
define i32 @${name}(i32 %x) {
  %is_last = icmp eq i32 %x, 0
  br i1 %is_last, label %last, label %more
last:
  ret i32 ${base}
more:
  %less = sub i32 %x, 1
  %below = call i32 @${next}(i32 %less)
  %twice = mul i32 %below, 2
  %sum = add i32 %twice, 1
  ret i32 %sum
}`;
}

/** What `stepping` returns after `x` steps from `base`. */
const stepped = (x: number, base: number): number => 2 ** x * (base + 1) - 1;

/** `i32 through(i32 x)`: calls the address of `callee` that is stored in data. */
const throughData = (callee: string): string => `declare i32 @${callee}(i32)
@stored = global ptr @${callee}
define i32 @through(i32 %x) {
  %f = load volatile ptr, ptr @stored
  %y = call i32 %f(i32 %x)
  ret i32 %y
}`;

const unary = (object: CodeObject, name: string): Callable<Unary> => object.get<Unary>(name);

const ways = (['jitlink', 'runtimedyld'] as const).flatMap((linker) =>
  (['relocations', 'object'] as const).map((retain) => [linker, retain] as const),
);

describe('declare', () => {
  test('until it is defined, calls throw a StateError that names it, through all code on the way', () => {
    const jit = makeJit();
    jit.declare('later', 'i32 (i32)');
    const inner = jit.load(calling('inner', 'later', 1));
    const outer = jit.load(calling('outer', 'inner', 1), { imports: { inner: inner.get('inner') } });
    const address = jit.load(throughData('later'));
    for (const run of [unary(inner, 'inner'), unary(outer, 'outer'), unary(address, 'through')])
      for (let i = 0; i < 2; i++) {
        const error = errorOf(() => run(3));
        expect([error instanceof StateError, error.message]).toEqual([true, expect.stringContaining("'later'")]);
      }
    expectWorking(jit);
    jit.define('later', jit.load(multiplying('g', 10)).get('g'));
    expect([unary(inner, 'inner')(3), unary(outer, 'outer')(3), unary(address, 'through')(3)]).toEqual([31, 32, 30]);
  });

  const definitions: Record<string, (jit: Jit) => Parameters<Jit['define']>[1]> = {
    'a callable': (jit) => jit.load(multiplying('g', 10)).get('g'),
    'a host function': () => i32Host((x) => x * 10),
    'an address': (jit) => {
      const object = jit.load(multiplying('g', 10));
      jit.define('alive', object.get('g'));
      return object.get('g').entry;
    },
  };

  test.each(Object.entries(definitions))(
    'defined as %s: calls and stored addresses lead there, before and after moves',
    (_, make) => {
      const jit = makeJit();
      const space = jit.createSpace();
      jit.declare('later', 'i32 (i32)');
      const direct = jit.compile(calling('direct', 'later', 1)).place(at(space, 1));
      const stored = jit.compile(throughData('later')).place(at(space, 2));
      jit.define('later', make(jit));
      const late = jit.compile(calling('late', 'later', 2)).place(at(space, 3));
      for (let i = 4; i < 10; i += 3) {
        expect([unary(direct, 'direct')(4), unary(stored, 'through')(4), unary(late, 'late')(4)]).toEqual([41, 40, 42]);
        [direct, stored, late].forEach((object, k) => object.relocate(codeAt(space, i + k)));
        verify(jit);
      }
    },
  );

  test.each(ways)('%s, retain: %s: recursion through declared names', (linker, retain) => {
    const jit = makeJit({ linker });
    const space = jit.createSpace();
    for (const name of ['self', 'even', 'odd']) jit.declare(name, 'i32 (i32)');
    const options: CompileOptions = { retain };
    const self = jit.compile(stepping('s', 'self', 5), options).place(at(space, 1));
    const even = jit.compile(stepping('e', 'odd', 0), options).place(at(space, 2));
    const odd = jit.compile(stepping('o', 'even', 1), options).place(at(space, 3));
    jit.define('self', self.get('s'));
    jit.define('even', even.get('e'));
    jit.define('odd', odd.get('o'));
    for (let i = 4; i < 13; i += 3) {
      expect([unary(self, 's')(6), unary(even, 'e')(4), unary(even, 'e')(5)]).toEqual([
        stepped(6, 5),
        stepped(4, 0),
        stepped(5, 1),
      ]);
      [self, even, odd].forEach((object, k) => object.relocate(codeAt(space, i + k)));
      verify(jit);
    }
  });

  test('a function of the wrong type is a SignatureError, and the name stays declared', () => {
    const jit = makeJit();
    jit.declare('later', 'i32 (i32)');
    const caller = jit.load(calling('caller', 'later', 1));
    const wrong = jit.load(returning('none', 3));
    const values = [wrong.get('none'), hostFunction('i32 (i64)', () => 1)];
    const before = snapshot(jit, [caller, wrong]);
    for (const value of values) expect(errorOf(() => jit.define('later', value))).toBeInstanceOf(SignatureError);
    expect(snapshot(jit, [caller, wrong])).toEqual(before);
    expect(errorOf(() => unary(caller, 'caller')(1))).toBeInstanceOf(StateError);
    jit.define(
      'later',
      i32Host((x) => x * 3),
    );
    expect(unary(caller, 'caller')(7)).toBe(22);
    for (const type of ['i32', 'i32 (metadata)', '', 'i32 (i32) nonsense'])
      expect(errorOf(() => jit.declare('other', type))).toBeInstanceOf(SignatureError);
  });

  test('declared again before it is defined: both generations of callers follow', () => {
    const jit = makeJit();
    jit.declare('later', 'i32 (i32)');
    const first = jit.load(calling('first', 'later', 1));
    jit.declare('later', 'i32 (i32)');
    const second = jit.load(calling('second', 'later', 2));
    jit.define(
      'later',
      i32Host((x) => x * 10),
    );
    expect([unary(first, 'first')(1), unary(second, 'second')(1)]).toEqual([11, 12]);
  });

  test('circles through declared names die', async () => {
    const both = makeCollector();
    const { jit, collector } = both;
    (() => {
      for (let round = 0; round < 10; round++) {
        jit.declare('again', 'i32 (i32)');
        const object = collector.compile(stepping('f', 'again', round));
        jit.define('again', object.get('f'));
        expect(unary(object, 'f')(3)).toBe(stepped(3, round));
      }
    })();
    jit.define('again', 1n); // the name was the last one's root
    await collectAll(both, 'major', []);
    expect(jit.stats().objects.live).toBe(0);
  });
});

describe('redirect', () => {
  test('calls, the callable itself, stored addresses and later compiles follow, one redirection after another, and moves', () => {
    const jit = makeJit();
    const space = jit.createSpace();
    const [f, g, h] = ['f', 'g', 'h'].map((name, i) => jit.compile(multiplying(name, i + 2)).place(at(space, i + 1))) as [
      ...[CodeObject, CodeObject, CodeObject],
    ];
    const imports = { f: f.get('f') };
    const direct = jit.compile(calling('direct', 'f', 1), { imports }).place(at(space, 4));
    const stored = jit.compile(throughData('f'), { imports }).place(at(space, 5));
    let place = 6;
    const expectFactor = (factor: number): void => {
      const late = jit.compile(calling('late', 'f', 2), { imports }).place(at(space, 30));
      for (let i = 0; i < 2; i++) {
        const found = [unary(f, 'f')(10), unary(direct, 'direct')(10), unary(stored, 'through')(10), unary(late, 'late')(10)];
        expect(found).toEqual([10 * factor, 10 * factor + 1, 10 * factor, 10 * factor + 2]);
        for (const object of [f, g, h, direct, stored]) object.relocate(codeAt(space, place++));
        place = place > 20 ? 6 : place;
        verify(jit);
      }
      late.free();
    };
    expectFactor(2);
    jit.redirect(f.get('f'), g.get('g'));
    expectFactor(3);
    jit.redirect(f.get('f'), h.get('h'));
    expectFactor(4);
    expect([unary(g, 'g')(1), unary(h, 'h')(1)]).toEqual([3, 4]);
    jit.redirect(h.get('h'), g.get('g'));
    expectFactor(3);
    jit.redirect(f.get('f'), f.get('f'));
    expectFactor(2);
    expect([unary(g, 'g')(1), unary(h, 'h')(1)]).toEqual([3, 3]);
  });

  test('a wrapper calls the function whose place it takes, and what a function calls itself it goes on calling', () => {
    const jit = makeJit();
    const old = jit.load(`${multiplying('f', 2)}
define i32 @inside(i32 %x) {
  %y = call i32 @f(i32 %x)
  ret i32 %y
}`);
    const user = jit.load(calling('user', 'f', 1), { imports: { f: old.get('f') } });
    const wrapper = jit.load(calling('wrapper', 'f', 100), { imports: { f: old.get('f') } });
    jit.redirect(old.get('f'), wrapper.get('wrapper'));
    expect([unary(user, 'user')(5), unary(old, 'f')(5), unary(old, 'inside')(5)]).toEqual([111, 110, 10]);
    jit.redirect(old.get('f'), old.get('f'));
    expect([unary(user, 'user')(5), unary(old, 'f')(5), unary(wrapper, 'wrapper')(5)]).toEqual([11, 10, 110]);
    jit.redirect(old.get('inside'), old.get('f'));
    expect(unary(old, 'inside')(5)).toBe(10);
    const third = jit.load(multiplying('third', 7));
    jit.redirect(old.get('f'), third.get('third'));
    expect([unary(old, 'inside')(5), unary(old, 'f')(5)]).toEqual([35, 35]);
    const late = jit.load(calling('late', 'inside', 1), { imports: { inside: old.get('inside') } });
    expect(unary(late, 'late')(5)).toBe(36);
    verify(jit);
    for (const object of [late, user]) object.free();
    wrapper.free();
    old.free();
    third.free();
    expect(jit.stats().objects.live).toBe(0);
  });

  test('a wrapper of what has been redirected goes on calling what it called', () => {
    const jit = makeJit();
    const [f, g] = [2, 3].map((factor) => jit.load(multiplying('f', factor))) as [CodeObject, CodeObject];
    const imports = { f: f.get('f') };
    const user = jit.load(calling('user', 'f', 1), { imports });
    jit.redirect(f.get('f'), g.get('f'));
    const wrapper = jit.load(calling('wrapper', 'f', 100), { imports });
    jit.redirect(f.get('f'), wrapper.get('wrapper'));
    expect([unary(user, 'user')(5), unary(f, 'f')(5)]).toEqual([116, 115]);
    jit.redirect(f.get('f'), f.get('f'));
    expect([unary(user, 'user')(5), unary(f, 'f')(5), unary(wrapper, 'wrapper')(5)]).toEqual([11, 10, 115]);
  });

  test('refused: other types, what is freed or not placed, what was redirected itself; nothing changed', () => {
    const jit = makeJit();
    const [f, g, none, gone, unplaced] = [
      ...[multiplying('f', 2), multiplying('g', 3), returning('none', 1), multiplying('gone', 4)].map((source) =>
        jit.load(source),
      ),
      jit.compile(multiplying('unplaced', 5)),
    ] as [CodeObject, CodeObject, CodeObject, CodeObject, CodeObject];
    const late = unary(gone, 'gone');
    gone.free();
    jit.redirect(g.get('g'), jit.load(multiplying('next', 7)).get('next'));
    const foreign = makeJit().load(multiplying('h', 2)).get('h');
    const from = unary(f, 'f');
    const refused: ReadonlyArray<readonly [ErrorClass: new (message: string) => Error, from: unknown, to: unknown]> = [
      [SignatureError, from, none.get('none')],
      ...[late, unary(unplaced, 'unplaced'), unary(g, 'g')].map((to) => [StateError, from, to] as const),
      [StateError, late, from],
      [PlacementError, from, foreign],
      [PlacementError, foreign, from],
      ...[undefined, 5, (): number => 1, f].flatMap((wrong) => [
        [TypeError, from, wrong] as const,
        [TypeError, wrong, from] as const,
      ]),
    ];
    const before = snapshot(jit, [f, g, none, unplaced]);
    for (const [ErrorClass, wrongFrom, wrongTo] of refused)
      expect(errorOf(() => jit.redirect(wrongFrom as never, wrongTo as never))).toBeInstanceOf(ErrorClass);
    expect(snapshot(jit, [f, g, none, unplaced])).toEqual(before);
    expect([from(5), unary(g, 'g')(5)]).toEqual([10, 35]);
  });

  test('old code lives until its last activation returns, and then dies', async () => {
    const both = makeCollector();
    const { jit, collector } = both;
    const replacement = collector.compile(multiplying('g', 10));
    const seen: number[] = [];
    (() => {
      const imports = { wait: hostFunction('i32 (i32)', (x: number) => replace(x)) };
      const old = collector.compile(waiting('f'), { imports });
      const caller = collector.compile(calling('caller', 'f', 5), { imports: { f: old.get('f') } });
      jit.define('caller', caller.get('caller'));
      function replace(x: number): number {
        jit.redirect(old.get('f'), replacement.get('g'));
        collect(both, 'major', []);
        seen.push(unary(caller, 'caller')(x)); // a new call of the old name, while the old code waits
        return x * 2;
      }
      seen.push(unary(caller, 'caller')(7));
      seen.push(unary(caller, 'caller')(7));
    })();
    expect(seen).toEqual([75, 7 * 2 + 1 + 5, 75]);
    jit.define('caller', 1n);
    await collectAll(both, 'major', [replacement]);
  });

  test('old code that nothing but redirected calls refers to dies, and can be freed by hand', async () => {
    const both = makeCollector();
    const { jit, collector } = both;
    const caller = await (async () => {
      let version = collector.compile(multiplying('f', 1));
      const object = collector.compile(calling('caller', 'f', 5), { imports: { f: version.get('f') } });
      for (let i = 2; i < 300; i++) {
        const next = collector.compile(multiplying('f', i));
        jit.redirect(version.get('f'), next.get('f'));
        if (i % 2 === 0) version.free();
        version = next;
        expect(unary(object, 'caller')(3)).toBe(3 * i + 5);
        if (i % 100 === 0) await collectAll(both, 'major', [object, version]);
      }
      return object;
    })();
    await collectAll(both, 'major', [caller, ...caller.references]);
    expect(unary(caller, 'caller')(3)).toBe(3 * 299 + 5);
    expect(errorOf(() => caller.references[0]!.free()).message).toContain('still referred to by');
  });

  test.each(['jitlink', 'runtimedyld'] as const)('%s: old code whose address is stored lives, and leads on', async (linker) => {
    const jit = makeJit({ linker });
    const both = { jit, collector: new CopyingCollector(jit) };
    const { collector } = both;
    const caller = (() => {
      const old = collector.compile(multiplying('f', 2));
      const object = collector.compile(throughData('f'), { imports: { f: old.get('f') } });
      jit.redirect(old.get('f'), collector.compile(multiplying('g', 3)).get('g'));
      return object;
    })();
    await collectAll(both, 'major', [caller, ...caller.references, ...caller.references.flatMap((each) => each.references)]);
    expect(unary(caller, 'through')(7)).toBe(21);
  });

  test.each(ways)(`%s, retain: %s: random redirections of 40 functions that call each other (seed ${seed})`, (linker, retain) => {
    const next = randomIntegers();
    const jit = makeJit({ linker, verifyMoves: true });
    const space = jit.createSpace();
    // Each function calls another of lower number, once directly and once by a stored address. `leads` is where its name leads now.
    const count = 40;
    const leads = Array.from({ length: count }, (_, i) => i);
    const calls: number[] = [];
    const objects: CodeObject[] = [];
    for (let i = 0; i < count; i++) {
      calls.push(i === 0 ? -1 : next(i));
      const source =
        i === 0 ? multiplying('f0', 3) : `${calling(`f${i}`, 'callee', i)}\n${throughData('callee').replace(/^declare.*/, '')}`;
      const imports = i === 0 ? {} : { callee: objects[calls[i]!]!.get(`f${calls[i]}`) };
      objects.push(jit.compile(source, { imports, retain }).place(at(space, i + 1, 512)));
    }
    const bodyOf = (i: number, x: number): number => (i === 0 ? x * 3 : bodyOf(leads[calls[i]!]!, x) + i);
    let place = count + 1;
    for (let step = 0; step < 300; step++) {
      const from = 1 + next(count - 1);
      const to = next(from); // of lower number: no circle
      if (next(4) === 0) {
        jit.redirect(objects[from]!.get(`f${from}`), objects[from]!.get(`f${from}`));
        leads[from] = from;
      } else if (leads[to] === to) {
        jit.redirect(objects[from]!.get(`f${from}`), objects[to]!.get(`f${to}`));
        leads.forEach((now, i) => (leads[i] = now === from || i === from ? to : now));
      }
      objects[next(count)]!.relocate(codeAt(space, place++, 512));
      if (place > 4 * count) {
        place = count + 1;
        objects.forEach((object, i) => object.relocate(codeAt(space, 5 * count + i, 512)));
      }
      const i = next(count);
      expect([i, unary(objects[i]!, `f${i}`)(step)]).toEqual([i, bodyOf(leads[i]!, step)]);
      if (i > 0) expect(unary(objects[i]!, 'through')(step)).toBe(bodyOf(leads[calls[i]!]!, step));
      const late = jit.load(calling('late', 'callee', 1), { imports: { callee: objects[i]!.get(`f${i}`) }, retain });
      expect(unary(late, 'late')(step)).toBe(bodyOf(leads[i]!, step) + 1);
      late.free();
      verify(jit);
    }
  });
});
