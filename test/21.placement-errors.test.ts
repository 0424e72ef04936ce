/**
 * Placements that are refused, by place, relocate and batches alike; and that a refusal changes nothing (I7).
 */
import { type CodeObject, type CodeSpace, type Jit, type Placement, PlacementError, StateError } from 'nomad-jit';
import { at, codeAt, errorOf, expectWorking, makeJit, snapshot } from './support/jits';
import { threeSegments } from './support/programs';
import { expectSameFields } from './support/same';

const spaceBytes = 1 << 20;

interface Scene {
  jit: Jit;
  space: CodeSpace;
  /** Placed at index 1. */
  subject: CodeObject;
  /** Unplaced. */
  fresh: CodeObject;
  /** Placed at index 5. */
  other: CodeObject;
}

const aligned = threeSegments.replace('i32 16]', 'i32 16], align 256').replace('global i64 0', 'global i64 0, align 128');

function makeScene(): Scene {
  const jit = makeJit();
  jit.createSpace({ codeBytes: spaceBytes }); // so that offsets in the space are not offsets in the arena
  const space = jit.createSpace({ codeBytes: spaceBytes, constantBytes: spaceBytes, dataBytes: spaceBytes });
  const [subject, fresh, other] = ['subject', 'subject', 'other'].map((name) => jit.compile(aligned, { name }));
  subject!.place(at(space, 1));
  other!.place(at(space, 5));
  other!.get('square')(3);
  return { jit, space, subject: subject!, fresh: fresh!, other: other! };
}

type Bad = (scene: Scene) => unknown;
const good = (space: CodeSpace): Placement => at(space, 9);

/** Each with what its message must name. */
const offsets: Array<[string, unknown, RegExp]> = [
  ['negative', -16, /-16/],
  ['fractional', 4096.5, /4096\.5/],
  ['NaN', NaN, /NaN/],
  ['Infinity', Infinity, /Infinity/],
  ['2 ** 31', 2 ** 31, /0x80000000|2147483648/],
  ['2 ** 32', 2 ** 32, /0x100000000|4294967296/],
  ['2 ** 53', 2 ** 53, /9007199254740992/],
  ['a string', '4096', /4096/],
  ['null', null, /null/],
  ['beyond the space', spaceBytes, /0x100000|range/],
  ['so that its end is beyond the space', spaceBytes - 4, /range/],
];

const bad: Array<[string, Bad, RegExp]> = [
  ...(['code', 'constants', 'data'] as const).flatMap((segment) =>
    offsets.map(([what, value, message]): [string, Bad, RegExp] => [
      `a ${segment} offset that is ${what}`,
      ({ space }) => ({ ...good(space), [segment]: value }),
      new RegExp(`${segment}.*'subject'.*(${message.source})`, 's'),
    ]),
  ),
  ['a misaligned code offset', ({ space }) => ({ ...good(space), code: 4096 * 9 + 8 }), /code.*'subject'.*align/],
  [
    'a misaligned constants offset',
    ({ space }) => ({ ...good(space), constants: 4096 * 9 + 128 }),
    /constants.*'subject'.*align.*256/,
  ],
  ['a misaligned data offset', ({ space }) => ({ ...good(space), data: 4096 * 9 + 64 }), /data.*'subject'.*align.*128/],
  ['no code offset', ({ space }) => ({ space, constants: 4096 * 9, data: 4096 * 9 }), /'subject'.*code|code.*'subject'/],
  ['code where other code is', ({ space }) => ({ ...good(space), code: 4096 * 5 }), /code.*'subject'.*overlap.*'other'/],
  [
    'code of which the end meets other code',
    ({ space }) => ({ ...good(space), code: 4096 * 5 - 16 }),
    /code.*'subject'.*overlap.*'other'/,
  ],
  ['code of which the beginning meets other code', ({ space }) => ({ ...good(space), code: 4096 * 5 + 16 }), /overlap.*'other'/],
  [
    'constants where others are',
    ({ space }) => ({ ...good(space), constants: 4096 * 5 }),
    /constants.*'subject'.*overlap.*'other'/,
  ],
  ['data where others are', ({ space }) => ({ ...good(space), data: 4096 * 5 }), /data.*'subject'.*overlap.*'other'/],
  ["another Jit's space", () => good(makeJit().createSpace()), /same Jit/],
  ['no space', ({ space }) => ({ ...good(space), space: undefined }), /space/],
  ['something else for a space', ({ space }) => ({ ...good(space), space: {} }), /CodeSpace/],
];

const verbs: Array<[string, (scene: Scene, to: Placement) => unknown]> = [
  ['place', ({ fresh }, to) => fresh.place(to)],
  ['relocate', ({ subject }, to) => subject.relocate(to)],
  ['a batch of one', ({ jit, subject }, to) => jit.relocate([[subject, to]])],
  [
    'a batch that moves another first',
    ({ jit, subject, other, space }, to) =>
      jit.relocate([
        [other, codeAt(space, 5, 4096)],
        [subject, to],
      ]),
  ],
];

describe.each(verbs)('%s', (_, run) => {
  test.each(bad)('refuses %s with PlacementError and changes nothing', (_name, make, message) => {
    const scene = makeScene();
    const { jit, subject, fresh, other, space } = scene;
    const placement = make(scene) as Placement;
    const before = snapshot(jit, [subject, fresh, other], [space]);
    const error = errorOf(() => run(scene, placement));
    expect(error).toBeInstanceOf(PlacementError);
    expect(error.code).toBe('ERR_PLACEMENT');
    expect(error.message).toMatch(message);
    expect(snapshot(jit, [subject, fresh, other], [space])).toEqual(before);
    expect([subject.get('square')(4), other.get('square')(3)]).toEqual([16, 9]);
  });

  test('refuses a disposed space with StateError', () => {
    const scene = makeScene();
    const gone = scene.jit.createSpace({ codeBytes: 4096, constantBytes: 4096, dataBytes: 4096 });
    gone.dispose();
    expect(errorOf(() => run(scene, good(gone)))).toBeInstanceOf(StateError);
  });

  test.each([[undefined], [null], [7], ['x']])('refuses %p for a placement with TypeError', (placement) => {
    expect(errorOf(() => run(makeScene(), placement as never))).toBeInstanceOf(TypeError);
  });

  test('refuses a bigint offset with an error that names the offset', () => {
    const scene = makeScene();
    const error = errorOf(() => run(scene, { ...good(scene.space), code: 4096n as never }));
    expect(error.message).toMatch(/code offset/);
  });
});

test.each(['constants', 'data'] as const)('place needs an offset for %s if there are some', (segment) => {
  const { fresh, space } = makeScene();
  const error = errorOf(() => fresh.place({ ...good(space), [segment]: undefined }));
  expect(error).toBeInstanceOf(PlacementError);
  expect(error.message).toMatch(new RegExp(`'subject'.*${segment}`));
  expect(fresh.state).toBe('unplaced');
});

test('an offset for a segment that a code object has not is of no account', () => {
  const jit = makeJit();
  const space = jit.createSpace();
  const object = jit.compile('define i32 @f() { ret i32 1 }').place({ space, code: 0, constants: -5, data: NaN });
  expectSameFields(object.placement, { space, code: 0 });
});

test('a place that was refused can be had once the obstacle is gone', () => {
  const scene = makeScene();
  const { fresh, other, space } = scene;
  expect(errorOf(() => fresh.place(at(space, 5)))).toBeInstanceOf(PlacementError);
  other.free();
  expect(fresh.place(at(space, 5)).get('square')(4)).toBe(16);
  expectWorking(scene.jit);
});

test('batches: a code object of another Jit, twice the same, or the place of one that stays is refused', () => {
  const { jit, space, subject, other } = makeScene();
  const foreign = makeJit().load('define i32 @f() { ret i32 1 }');
  const before = snapshot(jit, [subject, other], [space]);
  for (const moves of [
    [
      [other, codeAt(space, 6)],
      [foreign, codeAt(space, 7)],
    ],
    [
      [subject, codeAt(space, 6)],
      [subject, codeAt(space, 7)],
    ],
    [
      [subject, codeAt(space, 6)],
      [other, codeAt(space, 6)],
    ],
    [
      [subject, codeAt(space, 5)],
      [other, { space, code: 4096 * 5 }],
    ],
  ] as Array<Array<[CodeObject, Placement]>>) {
    expect(errorOf(() => jit.relocate(moves))).toBeInstanceOf(PlacementError);
    expect(snapshot(jit, [subject, other], [space])).toEqual(before);
  }
});

test('batches: what is no pair is a TypeError', () => {
  const { jit, subject, space } = makeScene();
  for (const moves of [[subject], [[subject]], [[{}, codeAt(space, 3)]], [[undefined, codeAt(space, 3)]], 7, null, undefined])
    expect(errorOf(() => jit.relocate(moves as never))).toBeInstanceOf(TypeError);
});
