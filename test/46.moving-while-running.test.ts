/**
 * Code that moves while it runs. Oracle: what the same code returns when nothing moves, and how deep the test knows the stack to be.
 */
import koffi from 'koffi';
import { hostFunction, PinnedError, StateError, type Callable, type CodeObject, type StackRoot } from 'nomad-jit';
import { callingHost, descending, i32Host, makeGround, sortingByHost, type Ground } from './support/hosts';
import { collectGarbage, errorOf, expectWorking, snapshot } from './support/jits';
import { add as adding } from './support/programs';
import { randomIntegers, seed } from './support/random';
import { expectSame, expectSameFields } from './support/same';

const optLevels = [0, 1, 2] as const;

/** What `descend(n)` returns when its host returns 0. */
function descendModel(n: number): number {
  return n === 0 ? 1 : Math.imul(descendModel(n - 1), 3) ^ n;
}

/** Where an object's code is now, as addresses. */
function codeRange(object: CodeObject): { base: bigint; limit: bigint } {
  const [symbol] = object.functions.keys();
  const base = object.addressOf(symbol!) & ~4095n; // makeGround places at whole pages, and code is shorter
  return { base, limit: base + BigInt(object.sizes.code) };
}

function expectInCode(root: StackRoot): void {
  const { base, limit } = codeRange(root.codeObject);
  expect(root.value > base && root.value <= limit).toBe(true);
  expect(root.address % 8n).toBe(0n);
}

describe.each(optLevels)('under its own feet, optLevel %d', (optLevel) => {
  test('a code object moves at each of 20 levels of recursion through JS', () => {
    const { add, nextCode } = makeGround();
    const places = new Set<bigint>();
    const host = i32Host((n) => {
      object.relocate(nextCode());
      places.add(object.addressOf('step'));
      const below = n === 0 ? 100 : (step(n - 1) as number);
      object.relocate(nextCode());
      return below + n;
    });
    const object: CodeObject = add(callingHost('step', 3), { optLevel, imports: { host } });
    const step: Callable = object.get('step');
    expect(step(20)).toBe(100 + 210 + 21 * 3);
    expect(places.size).toBe(21);
  });

  test('a code object moves while 20 frames of it wait, again and again', () => {
    const { add, nextCode, jit } = makeGround();
    const host = i32Host(() => {
      for (let i = 0; i < 10; i++) {
        object.relocate(nextCode());
        expect(jit.stackRoots().exact.length).toBe(21);
      }
      return 0;
    });
    const object: CodeObject = add(descending, { optLevel, imports: { host } });
    for (let round = 0; round < 3; round++) expect(object.get('descend')(20)).toBe(descendModel(20));
  });

  test('caller and callee move in one batch, with a bystander, and change places', () => {
    const { jit, add, nextCode } = makeGround();
    const host = i32Host((x) => {
      jit.relocate([
        [inner, { ...outer.placement!, constants: undefined, data: undefined }],
        [outer, { ...inner.placement!, constants: undefined, data: undefined }],
        [bystander, nextCode()],
      ]);
      return x * 10;
    });
    const inner: CodeObject = add(callingHost('inner', 1), { optLevel, imports: { host } });
    const source = callingHost('outer', 2).replaceAll('@host', '@inner');
    const outer: CodeObject = add(source, { optLevel, imports: { inner: inner.get('inner') } });
    const bystander = add(adding);
    for (let i = 0; i < 10; i++) expect([outer.get('outer')(i), bystander.get('add')(i, 1)]).toEqual([i * 10 + 3, i + 1]);
  });

  // libc's own frames have words that nobody has written since other functions had that part of the stack: they may pin.
  test(`through libc's qsort: the frames on both sides of it are known, and move unless pinned (seed ${seed})`, () => {
    const { jit, add, nextCode } = makeGround();
    const counts = new Set<number>();
    const host = hostFunction('i32 (i32, i32)', (a: number, b: number) => {
      const { exact, ambiguous } = jit.stackRoots();
      counts.add(exact.length);
      const move = (): unknown => object.relocate(nextCode());
      if (ambiguous.length === 0) move();
      else expect(errorOf(move)).toBeInstanceOf(PinnedError);
      return a < b ? -1 : a > b ? 1 : 0;
    });
    const object: CodeObject = add(sortingByHost, { optLevel, imports: { host } });
    const random = randomIntegers();
    const values = Int32Array.from({ length: 64 }, () => random(1000));
    const expected = Array.from(values).sort((a, b) => a - b);
    expect(object.get('sort')(values, 64)).toBe(5);
    expect(Array.from(values)).toEqual(expected);
    expect([...counts]).toEqual([2]); // compare's return slot, and sort's
  });
});

describe('stackRoots', () => {
  test('nothing when no code runs', () => {
    const { jit, add } = makeGround();
    add(adding).get('add')(1, 2);
    expect(jit.stackRoots()).toEqual({ exact: [], ambiguous: [] });
  });

  test.each([0, 1, 5, 50])(
    '%d + 1 frames: as many return slots, in the code, at distinct addresses, and nothing else',
    (depth) => {
      const { jit, add } = makeGround();
      let seen = 0;
      const host = i32Host(() => {
        const { exact, ambiguous } = jit.stackRoots();
        expect([exact.length, ambiguous]).toEqual([depth + 1, []]);
        expect(new Set(exact.map(({ address }) => address)).size).toBe(depth + 1);
        for (const root of exact) {
          expect([root.kind, root.codeObject === object]).toEqual(['return', true]);
          expectInCode(root);
        }
        return seen++;
      });
      const object = add(descending, { imports: { host } });
      object.get('descend')(depth);
      expect(seen).toBe(1);
    },
  );

  test('nested entries: those of all of them, also of other Jits apart', () => {
    const [one, two] = [makeGround(), makeGround()];
    const deepest: number[][] = [];
    const host = i32Host((n) => {
      if (n === 0) deepest.push([one.jit.stackRoots().exact.length, two.jit.stackRoots().exact.length]);
      return n === 0 ? 0 : steps[n % 2]!(n - 1);
    });
    const steps: Callable[] = [one, two].map((ground) => ground.add(callingHost('step'), { imports: { host } }).get('step'));
    steps[1]!(5); // 5 4 3 2 1 0: entered in two, two, one, two, one, two by the rule above
    steps[0]!(4);
    expect(deepest.map(([a, b]) => a! + b!)).toEqual([6, 5]);
    expect(deepest.every(([a, b]) => a! >= 2 && b! >= 2)).toBe(true);
  });

  test('after a move the slots have the new addresses; after the return there are none', () => {
    const { jit, add, nextCode } = makeGround();
    const host = i32Host(() => {
      const before = jit.stackRoots().exact;
      const from = object.addressOf('descend');
      object.relocate(nextCode());
      const delta = object.addressOf('descend') - from;
      expect(jit.stackRoots().exact.map(({ value }) => value)).toEqual(before.map(({ value }) => value + delta));
      expect(jit.stackRoots().exact.map(({ address }) => address)).toEqual(before.map(({ address }) => address));
      return 0;
    });
    const object: CodeObject = add(descending, { imports: { host } });
    expect(object.get('descend')(7)).toBe(descendModel(7));
    expect(jit.stackRoots()).toEqual({ exact: [], ambiguous: [] });
  });
});

/** `i64 hold(i64)`: keeps its argument in memory of its own frame while `void host(ptr)` runs, with that memory's address. */
const holding = `declare void @host(ptr)
define i64 @hold(i64 %x) {
  %p = alloca i64
  store volatile i64 %x, ptr %p
  call void @host(ptr %p)
  %r = load volatile i64, ptr %p
  ret i64 %r
}`;

/** Calls `inside` while code of `holding` waits that has the value of `word()` in its frame. */
function whileHolding({ add }: Ground, word: () => bigint, inside: (at: bigint) => void): bigint {
  const host = hostFunction('void (ptr)', inside);
  return add(holding, { imports: { host } }).get('hold')(word()) as bigint;
}

describe('a word that may be an address', () => {
  test('pins what it points into: PinnedError lists it, and nothing has moved', () => {
    const ground = makeGround();
    const target = ground.add(adding);
    const other = ground.add(callingHost('f'), { imports: { host: i32Host((x) => x) } });
    const inCode = target.addressOf('add');
    for (const word of [inCode, inCode + 1n, inCode + BigInt(target.sizes.code) - 1n]) {
      const returned = whileHolding(
        ground,
        () => word,
        (at) => {
          const roots = ground.jit.stackRoots().ambiguous.filter(({ codeObject }) => codeObject === target);
          const expected = { codeObject: target, kind: 'word', address: at, value: word };
          expect(roots).toContainEqual(expect.objectContaining(expected));
          const before = snapshot(ground.jit, [target, other], [ground.space]);
          const error = errorOf(() => target.relocate(ground.nextCode())) as unknown as PinnedError;
          expect(error).toBeInstanceOf(PinnedError);
          expect(error.code).toBe('ERR_PINNED');
          expect(error.roots.length).toBe(roots.length);
          for (const [i, root] of error.roots.entries()) expectSameFields(root, roots[i]!);
          const batch = [other, target].map((each) => [each, ground.nextCode()] as const);
          expect(errorOf(() => ground.jit.relocate(batch))).toBeInstanceOf(PinnedError);
          expect(snapshot(ground.jit, [target, other], [ground.space])).toEqual(before);
          expect(errorOf(() => target.free())).toBeInstanceOf(StateError);
          other.relocate(ground.nextCode());
        },
      );
      expect(returned).toBe(word);
    }
    target.relocate(ground.nextCode());
    expect(target.get('add')(1, 2)).toBe(3);
  });

  test('does not pin when it points elsewhere: beside the code, to an entry stub, or is a number', () => {
    const ground = makeGround();
    const target = ground.add(adding);
    const base = target.addressOf('add');
    for (const word of [base - 16n, base + BigInt(target.sizes.code) + 16n, target.get('add').entry, 0n, -1n, 12345n])
      whileHolding(
        ground,
        () => word,
        () => {
          expect(ground.jit.stackRoots().ambiguous.filter(({ codeObject }) => codeObject === target)).toEqual([]);
        },
      );
  });

  test('is found when code that the host function calls has written it to a frame that waits', () => {
    const ground = makeGround();
    const target = ground.add(adding);
    const poke = ground.add('define void @poke(ptr %p, i64 %x) {\n store i64 %x, ptr %p\n ret void\n}').get('poke');
    whileHolding(
      ground,
      () => 0n,
      (at) => {
        expect(ground.jit.stackRoots().ambiguous).toEqual([]);
        poke(at, target.addressOf('add'));
        expect(errorOf(() => target.relocate(ground.nextCode()))).toBeInstanceOf(PinnedError);
        expect(errorOf(() => target.free())).toBeInstanceOf(StateError);
        poke(at, 0n);
        target.relocate(ground.nextCode());
      },
    );
  });

  test('a return address that code has read and kept pins its own code object', () => {
    const { jit, add, nextCode } = makeGround();
    const source = `declare i32 @host(i32)
declare ptr @llvm.returnaddress(i32)
define internal i32 @reader(i32 %x) noinline {
  %p = alloca ptr
  %a = call ptr @llvm.returnaddress(i32 0)
  store volatile ptr %a, ptr %p
  %y = call i32 @host(i32 %x)
  %b = load volatile ptr, ptr %p
  %isSame = icmp eq ptr %a, %b
  %z = zext i1 %isSame to i32
  %r = add i32 %y, %z
  ret i32 %r
}
define i32 @f(i32 %x) {
  %y = call i32 @reader(i32 %x)
  %z = add i32 %y, 10
  ret i32 %z
}`;
    const host = i32Host((x) => {
      const { exact, ambiguous } = jit.stackRoots();
      expect(exact.length).toBe(2);
      expect(ambiguous.some(({ value }) => value === exact[1]!.value || value === exact[0]!.value)).toBe(true);
      expect(errorOf(() => object.relocate(nextCode()))).toBeInstanceOf(PinnedError);
      return x;
    });
    const object: CodeObject = add(source, { imports: { host } });
    expect(object.get('f')(5)).toBe(16);
    object.relocate(nextCode());
  });
});

// koffi makes C functions of JS functions, and code calls them as any other address.
describe('code that waits in a function of another addon', () => {
  const type = koffi.pointer(koffi.proto('int (int)'));

  test('can neither move nor go, also while code that it has called waits for a host function', () => {
    const { jit, add, nextCode } = makeGround();
    const seen: string[] = [];
    const look = (where: string): void => {
      const codes = [() => outer.relocate(nextCode()), () => outer.free()].map((run) => errorOf(run).code);
      const isListed = jit.stackRoots().ambiguous.some(({ codeObject }) => codeObject === outer);
      seen.push([where, ...codes, isListed].join(' '));
    };
    const host = i32Host((x) => {
      look('host');
      expectSame(
        jit.stackRoots().exact.map(({ codeObject }) => codeObject),
        [inner],
      );
      return x * 10;
    });
    const inner: CodeObject = add(callingHost('inner'), { imports: { host } });
    const outer: CodeObject = add(`define i32 @outer(i32 %x, ptr %f) {
  %y = call i32 %f(i32 %x)
  %z = add i32 %y, 100
  ret i32 %z
}`);
    const foreign = koffi.register((x: number): number => {
      look('foreign');
      const result = inner.get('inner')(x) as number;
      look('foreign');
      return result;
    }, type);
    try {
      expect(outer.get('outer')(4, koffi.address(foreign))).toBe(141);
    } finally {
      koffi.unregister(foreign);
    }
    expect(seen).toEqual(['foreign', 'host', 'foreign'].map((where) => `${where} ERR_PINNED ERR_STATE true`));
    expect(jit.stackRoots()).toEqual({ exact: [], ambiguous: [] });
    outer.relocate(nextCode());
    outer.free();
  });
});

describe('what runs can not go', () => {
  test('free, dispose and the space: StateError, nothing changed; afterwards they can', () => {
    const { jit, space, add } = makeGround();
    const codes: unknown[] = [];
    const host = i32Host((x) => {
      const before = snapshot(jit, [object], [space]);
      for (const run of [() => object.free(), () => jit.dispose()]) codes.push(errorOf(run).code);
      expect(snapshot(jit, [object], [space])).toEqual(before);
      const idle = add(adding);
      idle.free();
      expect(idle.state).toBe('freed');
      return x;
    });
    const object: CodeObject = add(callingHost('f'), { imports: { host } });
    expect([object.get('f')(4), codes]).toEqual([5, ['ERR_STATE', 'ERR_STATE']]);
    object.free();
    expectWorking(jit);
  });

  test("code of retain: 'none' neither", () => {
    const { add } = makeGround();
    const host = i32Host(() => Number(errorOf(() => object.free()) instanceof StateError));
    const object: CodeObject = add(callingHost('f', 10), { imports: { host }, retain: 'none' });
    expect(object.get('f')(0)).toBe(11);
  });

  test('a caller that waits further out can not go either', () => {
    const { add } = makeGround();
    const host = i32Host((x) => (x === 0 ? Number(errorOf(() => outer.free()) instanceof StateError) : inner.get('inner')(0)));
    const outer: CodeObject = add(callingHost('outer', 10), { imports: { host } });
    const inner: CodeObject = add(callingHost('inner', 100), { imports: { host } });
    expect(outer.get('outer')(1)).toBe(111);
  });

  test('a code object that JS drops while it runs goes when it has returned', async () => {
    const { jit, add } = makeGround();
    const live: number[] = [];
    const held: CodeObject[] = [];
    const host = hostFunction('i32 (i32)', (x: number) => {
      held.length = 0;
      for (let i = 0; i < 5; i++) globalThis.gc!();
      live.push(jit.stats().objects.live);
      return x;
    });
    (() =>
      held.push(
        add(callingHost('f').replace('%z = add', '%again = call i32 @host(i32 %y)\n  %z = add'), { imports: { host } }),
      ))();
    expect((() => held[0]!.get('f')(41))()).toBe(42);
    expect(live).toEqual([1, 1]);
    await collectGarbage(10);
    expect(jit.stats().objects.live).toBe(0);
  });
});
