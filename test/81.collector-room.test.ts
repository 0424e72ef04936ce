/**
 * Where a collector looks for room, and which collections it runs for that: against generations that are full or not, as a test says.
 */
import { SpaceFullError, type CodeObject } from 'nomad-jit';
import { Room } from '../lib/collector/room';
import { coreOf } from '../lib/jit/parts';
import { errorOf, makeJit } from './support/jits';
import { add } from './support/programs';

type Kind = 'minor' | 'major';

/** A generation with room, or without. */
interface Fake {
  readonly bytes: number;
  hasRoom: boolean;
  readonly fits: () => boolean;
  readonly allocate: () => number | undefined;
  readonly free: { readonly largestFreeBytes: number };
}

function fake(offset: number): Fake {
  const made: Fake = {
    bytes: 1000,
    hasRoom: false,
    fits: () => made.hasRoom,
    allocate: () => (made.hasRoom ? offset : undefined),
    free: { largestFreeBytes: 77 },
  };
  return made;
}

/** What makes room: a collection of this kind for that generation. */
type Effects = Partial<Record<Kind, 'nursery' | 'old' | 'parts' | 'refused'>>;

function world(effects: Effects = {}) {
  const core = coreOf(makeJit())!;
  const object: CodeObject = makeJit().compile(add, { name: 'wanted' });
  const collections: Kind[] = [];
  const refusal = new SpaceFullError('no room', { requestedBytes: 1, largestFreeBytes: 0 });
  const parts = {
    hasRoom: false,
    test: () => {
      if (!parts.hasRoom) throw refusal;
    },
  };
  const all = { nursery: fake(1), old: fake(2), parts };
  const room = new Room(core, all as never, (kind) => {
    const effect = effects[kind];
    if (effect === 'refused') return false;
    collections.push(kind);
    if (effect !== undefined) all[effect].hasRoom = true;
    return true;
  });
  return { ...all, room, object, collections, refusal };
}

type World = ReturnType<typeof world>;

const small = ({ room, object, nursery }: World): void => room.makeFor(object, 500, 16, nursery as never);
const large = ({ room, object, nursery }: World): void => room.makeFor(object, 501, 16, nursery as never);
const promoted = ({ room, object, old }: World): void => room.makeFor(object, 10, 16, old as never);

describe('for one code object', () => {
  const full: string[] = [];
  test.each([
    ['small, room in the nursery', ['nursery'], {}, small, []],
    ['small, room in the old generation only: the smaller collection, then there', ['old'], {}, small, ['minor']],
    ['small, none, and the minor one makes some', full, { minor: 'nursery' }, small, ['minor']],
    ['small, none, and the minor one promotes to where none was', full, { minor: 'old' }, small, ['minor']],
    ['small, none, and only the major one makes some', full, { major: 'nursery' }, small, ['minor', 'major']],
    ['small, none, and the major one makes some in the old generation', full, { major: 'old' }, small, ['minor', 'major']],
    ['small, while a collection is under way, room in the old generation', ['old'], { minor: 'refused' }, small, []],
    ['more than half a nursery, room there', ['nursery'], {}, large, []],
    ['more than half a nursery, room in the old generation: no collection', ['old'], {}, large, []],
    ['more than half a nursery, none: the major one at once', full, { major: 'old' }, large, ['major']],
    ['at once old, room', ['old'], {}, promoted, []],
    ['at once old, none in the old generation: the major one at once', ['nursery'], { major: 'old' }, promoted, ['major']],
  ] as ReadonlyArray<[string, string[], Effects, (all: World) => void, Kind[]]>)('%s', (_, free, effects, make, expected) => {
    const all = world(effects);
    for (const name of free) all[name as 'nursery' | 'old'].hasRoom = true;
    make(all);
    expect(all.collections).toEqual(expected);
  });

  test.each([
    ['nothing helps', {}, ['minor', 'major']],
    ['a collection is under way', { minor: 'refused', major: 'refused' }, []],
  ] as ReadonlyArray<[string, Effects, Kind[]]>)('is refused where %s', (_, effects, expected) => {
    const all = world(effects);
    const error = errorOf(() => small(all));
    expect([error.code, error.requestedBytes, error.largestFreeBytes]).toEqual(['ERR_SPACE_FULL', 500, 77]);
    expect(error.message).toContain("'wanted'");
    expect(all.collections).toEqual(expected);
  });

  test('is taken where it is to go, or else from the old generation', () => {
    const { room, object, nursery, old } = world();
    const take = (): unknown => room.take(object, 10, 16, nursery as never);
    expect(errorOf(take)).toBeInstanceOf(SpaceFullError);
    old.hasRoom = true;
    expect(take()).toEqual([old, 2]);
    nursery.hasRoom = true;
    expect(take()).toEqual([nursery, 1]);
  });
});

describe('for constants and data', () => {
  test.each([
    ['a minor', { minor: 'parts' }, ['minor']],
    ['a major', { major: 'parts' }, ['minor', 'major']],
  ] as ReadonlyArray<[string, Effects, Kind[]]>)('%s collection makes it', (_, effects, expected) => {
    const { room, object, collections } = world(effects);
    room.makeForParts(object);
    expect(collections).toEqual(expected);
  });

  test('no collection where there is room, or where none may run; the refusal is the one of the last attempt', () => {
    const roomy = world();
    roomy.parts.hasRoom = true;
    roomy.room.makeForParts(roomy.object);
    expect(roomy.collections).toEqual([]);
    for (const [effects, expected] of [
      [{ minor: 'refused' }, []],
      [{ major: 'refused' }, ['minor']],
      [{}, ['minor', 'major']],
    ] as ReadonlyArray<[Effects, Kind[]]>) {
      const { room, object, collections, refusal } = world(effects);
      expect(errorOf(() => room.makeForParts(object))).toBe(refusal);
      expect(collections).toEqual(expected);
    }
  });
});

describe('for several together', () => {
  test('everything is given back after each attempt', () => {
    const { room, collections, refusal } = world();
    const done: string[] = [];
    const take = (): void => {
      done.push('take');
      if (done.length < 4) throw refusal;
    };
    room.makeTogether(take, () => done.push('undo'));
    expect([done, collections]).toEqual([
      ['take', 'undo', 'take', 'undo', 'take', 'undo'],
      ['minor', 'major'],
    ]);
  });

  test('what is no lack of room is nothing for a collection', () => {
    const { room, collections } = world();
    const other = new TypeError('other');
    const done: string[] = [];
    const take = (): never => {
      throw other;
    };
    expect(errorOf(() => room.makeTogether(take, () => done.push('undo')))).toBe(other);
    expect([done, collections]).toEqual([['undo'], []]);
  });
});
