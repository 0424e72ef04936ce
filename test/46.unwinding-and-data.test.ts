/**
 * Code that moves while it runs: with its data, in the middle of C++ exceptions, between Jits, at random. Oracle: what the same code does
 * when nothing moves, and a model in JS.
 */
import koffi from 'koffi';
import { hostFunction, PinnedError, type CodeObject } from 'nomad-jit';
import { callingHost, descending, i32Host, makeGround } from './support/hosts';
import { errorOf } from './support/jits';
import { randomIntegers, seed } from './support/random';
import { expectSameFields } from './support/same';
import { compileC } from './support/tools';

describe("moves: 'all'", () => {
  const counting = `@count = internal global i32 100
@table = internal constant [4 x i32] [i32 1, i32 10, i32 100, i32 1000]
declare i32 @host(i32)
define i32 @f(i32 %i) {
  %a = load i32, ptr @count
  %b = add i32 %a, 1
  store i32 %b, ptr @count
  %x = call i32 @host(i32 %i)
  %at = getelementptr [4 x i32], ptr @table, i32 0, i32 %x
  %t = load i32, ptr %at
  %c = load i32, ptr @count
  %d = add i32 %c, %t
  store i32 %d, ptr @count
  ret i32 %d
}`;

  test('data and constants follow, while the code that uses them waits, and keep what was stored', () => {
    const { add, next } = makeGround();
    const host = i32Host((i) => (object.relocate(next()), i));
    const object: CodeObject = add(counting, { imports: { host }, moves: 'all' });
    let count = 100;
    for (let i = 0; i < 40; i++) expect(object.get('f')(i % 4)).toBe((count += 1 + 10 ** (i % 4)));
  });

  test('an address of its data in a frame pins the data, and the code alone can move', () => {
    const { jit, space, add, next, nextCode } = makeGround();
    const source = `@kept = global i64 5
declare void @host(ptr)
define i64 @f() {
  %p = alloca ptr
  store volatile ptr @kept, ptr %p
  call void @host(ptr %p)
  %q = load volatile ptr, ptr %p
  %r = load i64, ptr %q
  ret i64 %r
}`;
    const outcomes: string[] = [];
    const host = hostFunction('void (ptr)', (at: bigint) => {
      const root = jit.stackRoots().ambiguous.find(({ address }) => address === at);
      expectSameFields(root, { codeObject: object, kind: 'word', address: at, value: object.addressOf('kept') });
      outcomes.push(errorOf(() => object.relocate(next())).name);
      object.relocate({ space, code: nextCode().code });
      object.writeGlobal('kept', 77n);
    });
    const object: CodeObject = add(source, { imports: { host }, moves: 'all' });
    expect([object.get('f')(), outcomes]).toEqual([77n, ['PinnedError']]);
    object.relocate(next());
    expect(object.readGlobal('kept')).toBe(77n);
  });
});

const cxx = `
extern "C" int host(int);
extern "C" void note(int);
struct Noisy { int id; Noisy(int i) : id(i) {} ~Noisy() { note(id); } };
extern "C" __attribute__((noinline)) int thrower(int x) { Noisy a(1); int y = host(x); if (y > 5) throw y; return y; }
extern "C" __attribute__((noinline)) int passing(int x) { Noisy b(2); Noisy c(3); return thrower(x) + 1; }
extern "C" int catching(int x) { Noisy d(4); try { return passing(x); } catch (int e) { Noisy f(5); return e * 10 + host(0); } }
extern "C" int twice(int x) { try { try { return passing(x); } catch (int e) { host(1); throw e + 1; } } catch (int e) { return e * 100; } }
extern "C" int careless(int x) { return passing(x); }
`;

describe('C++ exceptions', () => {
  /** The code, moved in each host function; `note` is one too, so code moves in destructors while frames are unwound. */
  const makeCxx = () => {
    const { jit, add, nextCode } = makeGround();
    const log: number[] = [];
    const counts = { moved: 0, pinned: 0 };
    const move = () => {
      try {
        object.relocate(nextCode());
        counts.moved++;
      } catch (error) {
        if (!(error instanceof PinnedError)) throw error;
        counts.pinned++;
      }
    };
    const host = i32Host((x) => (move(), x));
    const note = hostFunction('void (i32)', (id: number) => (move(), void log.push(id)));
    const object: CodeObject = add(compileC('c++', cxx), { imports: { host, note } });
    const outcome = (name: string, x: number) => {
      log.length = 0;
      return [object.get(name)(x), [...log]];
    };
    return { jit, object, counts, log, outcome };
  };

  test('thrown after a move of all frames, caught after more moves in destructors: the right value, in the right order', () => {
    const { outcome, counts } = makeCxx();
    for (let round = 0; round < 10; round++) {
      expect(outcome('catching', 3)).toEqual([4, [1, 3, 2, 4]]);
      expect(outcome('catching', 9)).toEqual([90, [1, 3, 2, 5, 4]]);
      expect(outcome('twice', 9)).toEqual([1000, [1, 3, 2]]);
    }
    expect(counts.moved).toBeGreaterThan(50);
  });

  test('one that nobody catches is an error at the JS caller, after moves too', () => {
    const { object, log, outcome } = makeCxx();
    for (let round = 0; round < 5; round++) {
      log.length = 0;
      const error = errorOf(() => object.get('careless')(9));
      expect([error.code, error.message]).toEqual(['ERR_TRAP', expect.stringContaining('careless')]);
      expect(outcome('careless', 2)).toEqual([3, [1, 3, 2]]);
    }
  });

  test('a JS exception after moves, with moves in the destructors that it runs', () => {
    const { add, nextCode } = makeGround();
    const log: number[] = [];
    const error = new Error('mine');
    let moved = 0;
    const move = () => {
      try {
        object.relocate(nextCode());
        moved++;
      } catch (caught) {
        if (!(caught instanceof PinnedError)) throw caught;
      }
    };
    const host = i32Host((x) => {
      move();
      if (x > 5) throw error;
      return x;
    });
    const note = hostFunction('void (i32)', (id: number) => (move(), void log.push(id)));
    const object: CodeObject = add(compileC('c++', cxx), { imports: { host, note } });
    for (let round = 0; round < 10; round++) {
      log.length = 0;
      expect(errorOf(() => object.get('careless')(9))).toBe(error);
      expect(log).toEqual([1, 3, 2]);
    }
    expect(moved).toBeGreaterThan(10);
  });
});

/** `i32 f(ptr g, i32 x)`: calls g, wherever it is from. */
const calling = `define i32 @f(ptr %g, i32 %x) {
  %y = call i32 %g(i32 %x)
  %z = add i32 %y, 1000
  ret i32 %z
}`;

describe('two Jits, code of one calls code of the other directly', () => {
  test('a host function throws: all code is left', () => {
    const [one, two] = [makeGround(), makeGround()];
    const error = new Error('mine');
    const host = i32Host((x) => {
      if (x > 0) throw error;
      return 5;
    });
    const inner = two.add(callingHost('inner'), { imports: { host } }).get('inner');
    const f = one.add(calling).get('f');
    for (let round = 0; round < 3; round++) {
      expect(f(inner, 0)).toBe(1006);
      expect(errorOf(() => f(inner, 1))).toBe(error);
    }
  });

  test('what runs moves with its frames, or is pinned', () => {
    const [one, two] = [makeGround(), makeGround()];
    const seen: number[] = [];
    const host = i32Host((x) => {
      const { exact, ambiguous } = two.jit.stackRoots();
      seen.push(exact.length + ambiguous.length);
      return x;
    });
    const inner = two.add(callingHost('inner'), { imports: { host } }).get('inner');
    one.add(calling).get('f')(inner, 1);
    expect(seen[0]).toBeGreaterThan(0);
  });
});

/** What the walk below does in each host function: reads numbers, then returns, throws, or enters code. */
function modelHost(next: (limit: number) => number, budget: { left: number }): number | undefined {
  if (budget.left-- <= 0) return 0;
  const action = next(4);
  if (action === 0) return undefined; // throws
  return action === 1 ? 5 : (modelWalk(next, budget, next(12)) ?? 7) & 0xff;
}

function modelWalk(next: (limit: number) => number, budget: { left: number }, depth: number): number | undefined {
  const value = modelHost(next, budget);
  if (value === undefined) return undefined;
  let result = value + 1;
  for (let n = 1; n <= depth; n++) result = Math.imul(result, 3) ^ n;
  return result;
}

test(`random walks: entries, depths and throws, everything moved at each host function, against a model (seed ${seed})`, () => {
  const random = randomIntegers();
  const { jit, space, add } = makeGround(512);
  const objects: CodeObject[] = [];
  let [budget, moves] = [0, 0];
  let next = random;
  const attempt = (depth: number): number => {
    try {
      return objects[moves % objects.length]!.get('descend')(depth) as number;
    } catch (error) {
      if (!(error instanceof RangeError)) throw error;
      return 7;
    }
  };
  const host = i32Host(() => {
    const half = (++moves % 2) * 65536;
    jit.relocate(objects.map((object, i) => [object, { space, code: half + 131072 + ((i * 7 + moves) % 8) * 512 }]));
    if (budget-- <= 0) return 0;
    const action = next(4);
    if (action === 0) throw new RangeError('walk');
    return action === 1 ? 5 : attempt(next(12)) & 0xff;
  });
  for (let i = 0; i < 8; i++) objects.push(add(descending, { imports: { host }, optLevel: (i % 3) as 0 | 1 | 2 }));
  for (let round = 0; round < 300; round++) {
    const [depth, start] = [random(20), random(2 ** 31)];
    const expected = modelWalk(randomIntegers(start), { left: 30 }, depth) ?? 7;
    [budget, next] = [30, randomIntegers(start)];
    expect(attempt(depth)).toBe(expected);
  }
  expect(moves).toBeGreaterThan(300);
});

/** The records of all code are there whenever code goes on, however it was entered and whoever has moved. */
describe('C++ exceptions after others have changed code', () => {
  const catching = compileC(
    'c++',
    `extern "C" __attribute__((noinline)) int thrower(int x) { throw x; }
extern "C" int catching(int x) { try { return thrower(x); } catch (int e) { return e * 10; } }`,
  );
  const outFirst = compileC(
    'c++',
    `extern "C" void out(int);
extern "C" int outFirst(int x) { try { out(x); if (x > 0) throw x; return -1; } catch (int e) { return e + 1; } }`,
  );
  const voidOfInt = koffi.pointer(koffi.proto('void (int)'));

  test('code of another Jit calls an entry stub whose code has moved', () => {
    const callee = makeGround(),
      caller = makeGround();
    const object = callee.add(catching);
    const calls = caller.add(
      'declare i32 @catching(i32)\ndefine i32 @f(i32 %x) {\n  %r = call i32 @catching(i32 %x)\n  ret i32 %r\n}',
      {
        imports: { catching: object.get('catching').entry },
      },
    );
    for (let i = 1; i < 5; i++) {
      expect(calls.get('f')(i)).toBe(10 * i);
      object.relocate(callee.nextCode());
    }
    expect(calls.get('f')(7)).toBe(70);
  });

  test.each(['place', 'relocate', 'free', 'another Jit', 'a call'])(
    'JS that code has reached through another addon: %s',
    (what) => {
      const { jit, add, next, nextCode } = makeGround();
      const elsewhere = makeGround();
      const other = elsewhere.add(catching),
        neighbours = [add(catching), add(catching)] as const;
      const unplaced = jit.compile(catching);
      const changes: Record<string, () => void> = {
        place: () => unplaced.place(next()),
        relocate: () => neighbours[0].relocate(nextCode()),
        free: () => neighbours[0].free(),
        'another Jit': () => other.relocate(elsewhere.nextCode()),
        'a call': () => {
          neighbours[0].relocate(nextCode());
          expect(neighbours[0].get('catching')(3)).toBe(30);
          neighbours[0].relocate(nextCode());
        },
      };
      const callback = koffi.register(changes[what]!, voidOfInt);
      try {
        const object = add(outFirst, { imports: { out: koffi.address(callback) } });
        expect(object.get('outFirst')(41)).toBe(42);
      } finally {
        koffi.unregister(callback);
      }
    },
  );
});
