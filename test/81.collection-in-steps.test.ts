/**
 * A major collection in steps (`maxPause`). Oracle: what each code object returns, the records' own check, and a count of pieces.
 */
import { CopyingCollector, PlacementError, SpaceFullError, StateError, type CodeObject, type Collection } from 'nomad-jit';
import { childResult } from './support/child';
import {
  collect,
  compileHolding,
  expectSound,
  extentOf,
  makeCollector,
  nativeOf,
  settleTiers,
  verify,
  type Collected,
} from './support/collectors';
import { collectGarbage, errorOf, makeJit } from './support/jits';
import { returning, threeSegments } from './support/programs';
import { randomIntegers, seed } from './support/random';

/** One piece of work, so that a step is as short as it can be. */
const step = { kind: 'major', maxPause: Number.MIN_VALUE } as const;
/** Code objects that a piece looks at. */
const pieceLength = 512;

function upTo(count: number): number[] {
  return Array.from({ length: count }, (_, i) => i);
}

/** Many at once; number i has `f<i>` that returns i. */
function compileMany(collector: CopyingCollector, count: number, first = 0): CodeObject[] {
  const source = upTo(count).map((i) => returning(`f${first + i}`, first + i));
  const result = collector.compile(source.join('\n'), { granularity: 'function' });
  collector.addRoot(result.rest); // else it is dead: nothing refers to it
  return upTo(count).map((i) => result.object(`f${first + i}`)!);
}

function expectResults(held: ReadonlyArray<CodeObject | undefined>): void {
  const wrong = [...held.entries()].filter(([i, object]) => object !== undefined && object.get(`f${i}`)() !== i);
  expect(wrong.map(([i]) => i)).toEqual([]);
}

function present(held: ReadonlyArray<CodeObject | undefined>): CodeObject[] {
  return held.filter((object) => object !== undefined);
}

/** Steps until the collection is complete. */
function finish(collector: CopyingCollector, between: (report: Collection) => void = () => undefined): Collection[] {
  const reports: Collection[] = [];
  do {
    reports.push(collector.collect(step));
    between(reports.at(-1)!);
  } while (!reports.at(-1)!.isComplete);
  return reports;
}

const sum = (reports: readonly Collection[], key: 'moved' | 'freed'): number => reports.reduce((n, each) => n + each[key], 0);

/** A collector whose code is all in the old generation. */
function makeOld(count: number): Collected & { held: Array<CodeObject | undefined> } {
  const both = makeCollector({ promoteAfter: 0, zeal: false });
  return { ...both, held: count === 0 ? [] : compileMany(both.collector, count) };
}

describe('one', () => {
  test('moves everything once, a piece a step, and everything works in between', () => {
    const { jit, collector, held } = makeOld(3 * pieceLength);
    const places = present(held).map((object) => extentOf(object).base);
    const reports = finish(collector, () => {
      expectSound(jit, present(held));
      expectResults(held);
    });
    const pieces = 4; // with the rest of the module
    expect(reports).toHaveLength(1 + 2 * pieces + 1); // the nursery, the search for the dead, the moves, the end
    expect(Math.max(...reports.map(({ moved }) => moved))).toBe(pieceLength);
    expect(sum(reports, 'moved')).toBe(3 * pieceLength);
    expect(present(held).filter((object, i) => extentOf(object).base === places[i])).toEqual([]);
    expect(reports.map(({ isComplete }) => isComplete)).toEqual(reports.map((_, i) => i === reports.length - 1));
  });

  test('frees what is dead, piece by piece, and leaves its room in one block', async () => {
    const { jit, collector, held } = makeOld(3 * pieceLength);
    for (const i of held.keys()) if (i % 2 === 0) held[i] = undefined;
    await collectGarbage();
    const reports = finish(collector, () => expectResults(held));
    expect(Math.max(...reports.map(({ freed }) => freed))).toBeLessThanOrEqual(pieceLength);
    expect(sum(reports, 'freed')).toBeGreaterThanOrEqual(1.5 * pieceLength - 20); // V8 may still hold some
    expect(reports.at(-1)!.fragmentationAfter).toBe(0);
    expectSound(jit, present(held));
  });

  test('the dead that refer to each other in a circle of several pieces go too', async () => {
    const { jit, collector } = makeOld(1);
    const count = 3 * pieceLength;
    const ring = (i: number): string =>
      `define i32 @r${i}(i32 %x) noinline {\n %c = icmp eq i32 %x, 0\n br i1 %c, label %end, label %on\non:\n %y = sub i32 %x, 1\n %z = call i32 @r${(i + 1) % count}(i32 %y)\n ret i32 %z\nend:\n ret i32 ${i}\n}`;
    (() => {
      const result = collector.compile(upTo(count).map(ring).join('\n'), { granularity: 'function' });
      expect(result.get('r0')(count - 1)).toBe(count - 1);
    })();
    await collectGarbage();
    finish(collector);
    expect(jit.stats().objects.live).toBeLessThan(pieceLength);
  });

  test('the nursery is collected at its beginning; minor collections go on in between', async () => {
    const both = makeCollector({ promoteAfter: 1, zeal: false });
    const held: Array<CodeObject | undefined> = compileMany(both.collector, 2 * pieceLength);
    both.collector.collect('minor');
    let atFlip = 0;
    let hasMoved = false;
    const reports = finish(both.collector, ({ moved }) => {
      hasMoved ||= moved > 0;
      held.push(both.collector.compile(returning(`f${held.length}`, held.length)));
      if (!hasMoved) atFlip = held.length;
      collect(both, 'minor', present(held));
      expectResults(held);
    });
    expect(sum(reports, 'moved')).toBe(atFlip);
    for (const i of held.keys()) held[i] = undefined;
    await collectGarbage();
    expect(both.collector.collect().liveObjects).toBeLessThan(20);
  });

  test('a whole collection in its middle completes it, and moves everything', () => {
    const { jit, collector, held } = makeOld(2 * pieceLength);
    for (let i = 0; i < 5; i++) expect(collector.collect(step).isComplete).toBe(false);
    const report = collector.collect({ maxPause: Infinity, findGarbage: false });
    expect([report.isComplete, report.liveObjects]).toEqual([true, 2 * pieceLength + 1]);
    expect(report.moved).toBeGreaterThanOrEqual(2 * pieceLength);
    expectSound(jit, present(held));
    expectResults(held);
  });

  test('pinned code stays where it is, and the next but one moves it', () => {
    const { jit, collector } = makeOld(0);
    let reports: Collection[] = [];
    const places: bigint[] = [];
    const holding = compileHolding(collector, (x, self) => {
      places.push(self.addressOf('hold'));
      reports = finish(collector, () => expectResults(held));
      places.push(self.addressOf('hold'));
      return x;
    });
    const held = compileMany(collector, 2 * pieceLength); // above it, so that it lies in the way
    expect(holding.get('hold')(5)).toBe(6);
    expect(places[1]).toBe(places[0]);
    expect(sum(reports, 'moved')).toBe(2 * pieceLength);
    expect(Math.max(...reports.map(({ pinned }) => pinned))).toBe(1);
    // It is an obstacle in the half that is filled next; the collection after that moves it.
    for (let i = 0; i < 2; i++) finish(collector, () => expectSound(jit, [holding, ...held]));
    expect(holding.addressOf('hold')).not.toBe(places[0]);
    expectResults(held);
  });

  test('data keep what was written between two steps', () => {
    const { collector } = makeOld(pieceLength);
    const objects = upTo(20).map(() => collector.compile(threeSegments, { moves: 'all' }));
    let calls = 0n;
    finish(collector, () => {
      calls++;
      for (const object of objects) expect(object.get('square')(4)).toBe(16);
    });
    for (const object of objects) expect(object.readGlobal('calls')).toBe(calls);
  });
});

describe('what the program does in between', () => {
  test('compiling, freeing by hand, forgetting, minor and whole collections, in any order', async () => {
    const next = randomIntegers(seed);
    const both = makeOld(pieceLength + 100);
    const { jit, collector, held } = both;
    const live = (): number[] => [...held.keys()].filter((i) => held[i] !== undefined);
    const anyOf = (list: readonly number[]): number => list[next(list.length)]!;
    const operations: Array<() => void> = [
      () => void collector.collect(step),
      () => void collector.collect(step),
      () => void collector.collect(step),
      () => held.push(collector.compile(returning(`f${held.length}`, held.length))),
      () => held.push(...compileMany(collector, 30, held.length)),
      () => void collector.collect('minor'),
      () => {
        if (next(8) === 0) collector.collect({ maxPause: Infinity, findGarbage: false });
      },
      () => {
        for (const i of upTo(20).map(() => anyOf(live()))) {
          held[i]?.free();
          held[i] = undefined;
        }
      },
      () => {
        for (const i of upTo(20).map(() => anyOf(live()))) held[i] = undefined;
      },
    ];
    for (let i = 0; i < 150; i++) {
      operations[next(operations.length)]!();
      if (i % 10 === 0) await collectGarbage(1);
      expectResults(held);
      expectSound(jit, present(held));
    }
    finish(collector);
    expectResults(held);
  });

  test('a collector that is disposed in its middle leaves everything where it is, until that dies', async () => {
    const { jit, collector, held } = makeOld(2 * pieceLength);
    for (let i = 0; i < 5; i++) collector.collect(step);
    collector.dispose();
    expect(errorOf(() => collector.collect(step))).toBeInstanceOf(StateError);
    expectResults(held);
    for (const object of present(held)) object.free();
    held.length = 0;
    await collectGarbage();
    expect(jit.stats().objects.live).toBe(0);
    verify(jit);
  });

  test('a Jit that is disposed in its middle ends it', async () => {
    const { jit, collector } = makeOld(2 * pieceLength);
    for (let i = 0; i < 5; i++) collector.collect(step);
    jit.dispose();
    await new Promise((resolve) => setTimeout(resolve, 20));
    expect(errorOf(() => collector.collect(step))).toBeInstanceOf(StateError);
  });

  test('a step that is refused ends it: what has moved has, the rest is gone around once, and moves then', () => {
    const { jit, collector, held } = makeOld(3 * pieceLength);
    const places = (): bigint[] => present(held).map((object) => extentOf(object).base);
    const first = places();
    while (collector.collect(step).moved !== pieceLength);
    const before = places();
    const hasMoved = before.filter((place, i) => place !== first[i]).length;
    const moveBatch = jest.spyOn(nativeOf(jit), 'moveBatch').mockImplementation(() => {
      throw new PlacementError('refused');
    });
    expect(errorOf(() => collector.collect(step)).message).toBe('refused');
    moveBatch.mockRestore();
    expect(places()).toEqual(before);
    expectResults(held);
    const sound = (): void => expectSound(jit, present(held));
    const moved = [finish(collector, sound), finish(collector, sound)].map((reports) => sum(reports, 'moved'));
    expect(moved).toEqual([hasMoved, 3 * pieceLength]);
    expectResults(held);
  });

  test('the room that a refused step has taken is free again', () => {
    const slot = 80; // bytes of a smallest one
    const both = makeCollector({ promoteAfter: 0, oldBytes: 4 * pieceLength * slot, zeal: false });
    const { jit, collector } = both;
    const held = compileMany(collector, 3 * pieceLength);
    while (collector.collect(step).moved !== pieceLength);
    const moveBatch = jest.spyOn(nativeOf(jit), 'moveBatch').mockImplementation(() => {
      throw new PlacementError('refused');
    });
    expect(errorOf(() => collector.collect(step)).message).toBe('refused');
    moveBatch.mockRestore();
    const collections: Collection[] = [];
    collector.on('collection', (report) => collections.push(report));
    held.push(...compileMany(collector, 970, held.length)); // a piece or two are there, of four
    expect(collections).toEqual([]);
    expectResults(held);
  });

  test('so is what a minor collection has taken that is refused in between', () => {
    const slot = 80;
    const both = makeCollector({
      promoteAfter: 1,
      nurseryBytes: 2 * pieceLength * slot,
      oldBytes: 4 * pieceLength * slot,
      zeal: false,
    });
    const { jit, collector } = both;
    const held = compileMany(collector, 2 * pieceLength - 10);
    collector.collect('minor');
    while (collector.collect(step).moved === 0);
    held.push(...compileMany(collector, pieceLength, held.length));
    const moveBatch = jest.spyOn(nativeOf(jit), 'moveBatch').mockImplementation(() => {
      throw new PlacementError('refused');
    });
    for (let i = 0; i < 5; i++) expect(errorOf(() => collector.collect('minor')).message).toBe('refused');
    moveBatch.mockRestore();
    expect(collector.collect('minor')).toMatchObject({ moved: pieceLength, promoted: pieceLength });
    finish(collector, () => expectSound(jit, present(held)));
    expectResults(held);
  });
});

describe('by itself', () => {
  test('the rest follows by a timer, each step with an event', async () => {
    const { collector, held } = makeOld(3 * pieceLength);
    const reports: Collection[] = [];
    const complete = new Promise<void>((resolve) =>
      collector.on('collection', (report) => {
        reports.push(report);
        if (report.isComplete) resolve();
      }),
    );
    expect(collector.collect(step)).toBe(reports[0]);
    await complete;
    expect(reports).toHaveLength(1 + 2 * 4 + 1);
    expect(sum(reports, 'moved')).toBe(3 * pieceLength);
    expectResults(held);
  });

  test('a step that fails there is an event, and the process goes on', async () => {
    const { jit, collector, held } = makeOld(2 * pieceLength);
    const failure = new Promise((resolve) => collector.once('collection-error', resolve));
    jest.spyOn(nativeOf(jit), 'moveBatch').mockImplementation(() => {
      throw new PlacementError('refused');
    });
    collector.collect(step);
    expect(await failure).toMatchObject({ message: 'refused' });
    jest.restoreAllMocks();
    expectResults(held);
    expect([finish(collector), finish(collector)].map((reports) => sum(reports, 'moved'))).toEqual([0, 2 * pieceLength]);
  });

  test('it begins when half of what was free is used, and is paced by what is compiled', async () => {
    const both = makeCollector({ promoteAfter: 0, oldBytes: 2 ** 16, maxPause: 1000, zeal: false });
    const { jit, collector } = both;
    const reports: Collection[] = [];
    collector.on('collection', (report) => reports.push(report));
    const held = upTo(5).map((i) => collector.compile(returning(`f${i}`, i)));
    for (let i = 0; i < 200; i++) collector.compile(returning('g', i)).free(); // room that is given back at once is not used
    expect(reports).toEqual([]);
    const most = 2 ** 16 / 2 / 16; // the smallest has 16 bytes
    for (let i = 5; i < most && reports.length === 0; i++) held.push(collector.compile(returning(`f${i}`, i)));
    expect(reports.map(({ kind, isComplete }) => [kind, isComplete])).toEqual([['major', true]]);
    expect(held.length).toBeGreaterThan(most / 8);
    expectResults(held);
    await settleTiers(collector);
    expectSound(jit, held);
  });

  test('without room it is completed at once, and then SpaceFullError comes; freeing makes room', () => {
    const both = makeCollector({ promoteAfter: 0, oldBytes: 2 ** 16, maxPause: Number.MIN_VALUE, zeal: false });
    const { jit, collector } = both;
    const held: CodeObject[] = [];
    const fill = (): void => {
      for (let i = held.length; i < 2 ** 12; i++) held.push(collector.compile(returning(`f${i}`, i)));
    };
    expect(errorOf(fill)).toBeInstanceOf(SpaceFullError);
    expect(errorOf(fill)).toBeInstanceOf(SpaceFullError);
    expectResults(held);
    expectSound(jit, held);
    const { length } = held;
    for (const object of held.splice(length / 2)) object.free();
    while (held.length < length) held.push(collector.compile(returning(`f${held.length}`, held.length)));
    expectResults(held);
  });

  test('it does not keep the process', async () => {
    const script = `
      const jit = new nomad.Jit();
      const collector = new nomad.CopyingCollector(jit, { promoteAfter: 0 });
      const source = Array.from({ length: 2000 }, (_, i) => programs.add.replace('@add', '@f' + i)).join('\\n');
      const all = collector.compile(source, { granularity: 'function', optLevel: 0 });
      const { isComplete } = collector.collect({ maxPause: 1e-9 });
      process.on('exit', () => console.log(JSON.stringify([isComplete, all.get('f7')(3, 4)])));`;
    expect(await childResult(script)).toEqual([false, 7]);
  });
});

test('bad values are TypeError or RangeError', () => {
  const jit = makeJit();
  const { collector } = makeCollector();
  for (const maxPause of ['1', null, {}, 1n]) {
    expect(errorOf(() => new CopyingCollector(jit, { maxPause } as object))).toBeInstanceOf(TypeError);
    expect(errorOf(() => collector.collect({ maxPause } as object))).toBeInstanceOf(TypeError);
  }
  for (const maxPause of [0, -1, NaN, -Infinity]) {
    expect(errorOf(() => new CopyingCollector(jit, { maxPause }))).toBeInstanceOf(RangeError);
    expect(errorOf(() => collector.collect({ maxPause }))).toBeInstanceOf(RangeError);
  }
});
