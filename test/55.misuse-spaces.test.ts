/**
 * What users can reach and must not use: a collector's own spaces; listeners that throw or call back; the Jit's default space.
 */
import { CopyingCollector, type CodeObject } from 'nomad-jit';
import { makeCollector, verify } from './support/collectors';
import { childResult } from './support/child';
import { errorOf, makeJit } from './support/jits';
import { returning, threeSegments } from './support/programs';

describe("a collector's own space, by hand", () => {
  const operations: Array<[string, (managed: CodeObject, mine: CodeObject, placed: CodeObject) => unknown]> = [
    ['dispose', (managed) => managed.placement!.space.dispose()],
    ['allocate', (managed, mine) => managed.placement!.space.allocate(mine)],
    ['place', (managed, mine) => mine.place({ space: managed.placement!.space, code: 4096, constants: 0, data: 0 })],
    ['relocate one into it', (managed, _, placed) => placed.relocate({ space: managed.placement!.space, code: 4096 })],
    ['relocate within it', (managed) => managed.relocate({ space: managed.placement!.space, code: 65536 })],
  ];
  test.each(operations)('%s: refused, and later collections are none the worse', (_, run) => {
    const { jit, collector } = makeCollector();
    const managed = collector.compile(returning('f', 7));
    const mine = jit.compile(returning('f', 8));
    const placed = jit.load(returning('f', 9));
    expect(errorOf(() => run(managed, mine, placed)).name).toBe('StateError');
    expect([managed.placement?.code, mine.state]).toEqual([0, 'unplaced']);
    for (const kind of ['minor', 'major', 'minor'] as const) collector.collect(kind);
    expect([managed, placed].map((object): unknown => object.get('f')())).toEqual([7, 9]);
    verify(jit);
  });

  test('its half when it is empty, too', () => {
    const { collector } = makeCollector({ promoteAfter: 99 });
    const managed = collector.compile(returning('f', 7));
    const half = managed.placement!.space;
    collector.collect('minor');
    expect(errorOf(() => half.dispose()).name).toBe('StateError');
    for (let i = 0; i < 3; i++) collector.collect('minor');
    expect(managed.get('f')()).toBe(7);
  });

  test("a managed code object in a user's space is collected all the same", () => {
    const { jit, collector } = makeCollector();
    const managed = collector.compile(returning('f', 7));
    const space = jit.createSpace();
    managed.relocate({ space, code: space.allocate(managed).code });
    for (const kind of ['minor', 'major', 'major'] as const) collector.collect(kind);
    expect(managed.get('f')()).toBe(7);
    managed.free();
    expect([space.usedBytes, collector.collect().liveObjects]).toEqual([0, 0]);
    space.dispose();
    verify(jit);
  });
});

test('two collectors for one code object: the second is refused until the first is disposed', () => {
  const { jit, collector } = makeCollector();
  const other = new CopyingCollector(jit);
  const managed = collector.compile(returning('f', 7));
  expect(errorOf(() => other.adopt(managed)).name).toBe('StateError');
  for (const each of [other, collector, other]) each.collect();
  collector.dispose();
  other.adopt(managed);
  for (const kind of ['minor', 'major'] as const) other.collect(kind);
  expect([managed.get('f')(), other.collect().liveObjects]).toEqual([7, 1]);
  verify(jit);
});

test("the Jit's default space may be disposed, and is made again", () => {
  const jit = makeJit();
  const first = jit.load(returning('f', 1));
  const { space } = first.placement!;
  first.free();
  space.dispose();
  expect(jit.load(returning('f', 2)).get('f')()).toBe(2);
});

describe('listeners', () => {
  test('of a collection that the user asked for: what one throws is thrown, when all is done', () => {
    const { jit, collector } = makeCollector();
    const mine = new Error('mine');
    const object = collector.compile(returning('f', 1));
    collector.once('collection', () => {
      throw mine;
    });
    expect(errorOf(() => collector.collect())).toBe(mine);
    expect(collector.collect().liveObjects).toBe(1);
    expect(object.get('f')()).toBe(1);
    verify(jit);
  });

  test("of one that a compile needed: the compile's result is not lost, and what one throws is the process's", async () => {
    const script = `
      const jit = new nomad.Jit({ optLevel: 0 });
      const collector = new nomad.CopyingCollector(jit, { nurseryBytes: 4096, oldBytes: 65536 });
      const errors = [], kept = [];
      process.on('uncaughtException', (error) => errors.push(error.message));
      collector.on('collection', () => { throw new Error('mine'); });
      for (let i = 0; i < 300; i++) kept.push(collector.compile('define i32 @f() { ret i32 ' + i + ' }'));
      const wrong = kept.filter((object, i) => object.get('f')() !== i).length;
      setImmediate(() => console.log(JSON.stringify([wrong, errors.length > 0, errors.every((each) => each === 'mine')])));`;
    expect(await childResult(script)).toEqual([0, true, true]);
  });

  test('that compile, adopt, collect and free find everything whole', () => {
    const jit = makeJit({ optLevel: 0 });
    const collector = new CopyingCollector(jit, { nurseryBytes: 4096, oldBytes: 65536 });
    const kept: CodeObject[] = [];
    const errors: string[] = [];
    let depth = 0;
    collector.on('collection', () => {
      if (depth++ === 0) {
        try {
          kept.push(collector.compile(returning('f', 1000)), collector.adopt(jit.compile(threeSegments)));
          collector.collect('major');
          kept.shift()!.free();
        } catch (error) {
          errors.push(String(error));
        }
      }
      depth--;
    });
    for (let i = 0; i < 300; i++) kept.push(collector.compile(returning('f', i)));
    expect(errors).toEqual([]);
    verify(jit);
    const { length } = kept; // the listener makes more
    expect(collector.collect().liveObjects).toBe(length);
  });
});
