/**
 * The states of a code object: unplaced, placed, freed; and what each method does in each.
 */
import { type Callable, type CodeObject, type CodeSpace, type Jit, type Placement, StateError } from 'nomad-jit';
import { at, codeAt, errorOf, expectWorking, makeJit, snapshot } from './support/jits';
import { expectSameFields, expectSame } from './support/same';
import { calling, counter, multiplying, threeSegments } from './support/programs';

type State = 'unplaced' | 'placed' | 'retain none' | 'freed' | 'disposed';

interface Scene {
  jit: Jit;
  space: CodeSpace;
  object: CodeObject;
  callable: Callable;
}

/** A code object of three segments in a state, with a space and a callable that it gave before. */
function sceneIn(state: State): Scene {
  const jit = makeJit();
  const space = jit.createSpace();
  const object = jit.compile(threeSegments, { name: 'subject', retain: state === 'retain none' ? 'none' : 'relocations' });
  const callable = object.get('square');
  if (state !== 'unplaced') object.place(at(space, 1));
  if (state === 'freed') object.free();
  if (state === 'disposed') jit.dispose();
  return { jit, space, object, callable };
}

const states: State[] = ['unplaced', 'placed', 'retain none', 'freed', 'disposed'];

interface Method {
  method: string;
  run: (scene: Scene) => unknown;
  /** What it does in each of the states above. F: throws StateError. */
  outcomes: string;
  /** Expects what it returns, and has changed, where it is possible. */
  check: (result: unknown, scene: Scene, state: State) => void;
}

const wasPlaced = (state: State): boolean => state === 'placed' || state === 'retain none';
const isGone = (state: State): boolean => state === 'freed' || state === 'disposed';

const methods: Method[] = [
  {
    ...{ method: 'place', outcomes: 'ok F F F F', run: ({ object, space }) => object.place(at(space, 2)) },
    check: (result, { object, callable }) => {
      expect(result).toBe(object);
      expect([object.placement?.code, callable(3)]).toEqual([8192, 9]);
    },
  },
  {
    ...{ method: 'relocate', outcomes: 'F ok F F F', run: ({ object, space }) => object.relocate(codeAt(space, 2)) },
    check: (result, { object, callable }) => {
      expect(result).toBe(object);
      expect([object.placement?.code, callable(3)]).toEqual([8192, 9]);
    },
  },
  {
    ...{ method: 'jit.relocate', outcomes: 'F ok F F F' },
    run: ({ jit, object, space }) => jit.relocate([[object, codeAt(space, 2)]]),
    check: (result, { object, callable }) => {
      expect(result).toMatchObject({ moved: 1, bytes: object.sizes.code });
      expect([object.placement?.code, callable(3)]).toEqual([8192, 9]);
    },
  },
  {
    ...{ method: 'free', outcomes: 'ok ok ok F F', run: ({ object }) => object.free() },
    check: (_, { jit, object }) => expect([object.state, jit.stats().objects.live]).toEqual(['freed', 0]),
  },
  {
    ...{ method: 'get', outcomes: 'ok ok ok F F', run: ({ object }) => object.get('square') },
    check: (result, { object, callable }) => {
      const { codeObject, symbol, entry } = result as Callable;
      expect(codeObject).toBe(object);
      expect([symbol, entry]).toEqual(['square', callable.entry]);
    },
  },
  {
    ...{ method: 'a call', outcomes: 'F ok ok F F', run: ({ callable }) => callable(3) },
    check: (result, { object }) => expect([result, object.readGlobal('calls')]).toEqual([9, 1n]),
  },
  {
    ...{ method: 'readGlobal', outcomes: 'F ok ok F F', run: ({ object }) => object.readGlobal('calls') },
    check: (result) => expect(result).toBe(0n),
  },
  {
    ...{ method: 'writeGlobal', outcomes: 'F ok ok F F', run: ({ object }) => object.writeGlobal('calls', 7n) },
    check: (_, { object }) => expect(object.readGlobal('calls')).toBe(7n),
  },
  {
    ...{ method: 'addressOf', outcomes: 'F ok ok F F', run: ({ object }) => object.addressOf('square') },
    check: (result, { jit, space }) => {
      const first = jit.compile(multiplying('first', 3)).place(at(space, 0));
      expect((result as bigint) - first.addressOf('first')).toBe(4096n);
    },
  },
  {
    ...{ method: 'functions', outcomes: 'ok ok ok F F', run: ({ object }) => [...object.functions.keys()] },
    check: (result) => expect(result).toEqual(['square']),
  },
  {
    ...{ method: 'globals', outcomes: 'ok ok ok F F', run: ({ object }) => [...object.globals.keys()] },
    check: (result) => expect(result).toEqual(['squares', 'calls']),
  },
  {
    ...{ method: 'alignments', outcomes: 'ok ok ok F F', run: ({ object }) => object.alignments },
    check: (result) => expect(result).toEqual({ code: 16, constants: 16, data: 16 }),
  },
  {
    ...{ method: 'relocationCount', outcomes: 'ok ok ok F F', run: ({ object }) => object.relocationCount },
    check: (result, _, state) => expect(result).toBe(state === 'retain none' ? 0 : 2),
  },
  {
    ...{ method: 'relocationBytes', outcomes: 'ok ok ok F F', run: ({ object }) => object.relocationBytes },
    check: (result, { jit }, state) => {
      expect(result).toBe(jit.stats().relocationBytes);
      expect(result === 0).toBe(state === 'retain none');
    },
  },
  {
    ...{ method: 'space.allocate', outcomes: 'ok ok ok F F', run: ({ object, space }) => space.allocate(object) },
    check: (result, { space }, state) => {
      const placement = result as Placement;
      expect(placement.space).toBe(space);
      expect(Object.keys(placement)).toEqual(['space', 'code', ...(wasPlaced(state) ? [] : ['constants', 'data'])]);
    },
  },
  {
    ...{ method: 'space.release', outcomes: 'ok ok ok ok F', run: ({ object, space }) => space.release(at(space, 3), object) },
    check: (_, { object, space }, state) => {
      expect([space.usedBytes, object.placement?.code]).toEqual([0, wasPlaced(state) ? 4096 : undefined]); // nothing was allocated
    },
  },
  {
    ...{ method: 'space.objects', outcomes: 'ok ok ok ok F', run: ({ space }) => [...space.objects()] },
    check: (result, { object }, state) => expectSame(result as CodeObject[], wasPlaced(state) ? [object] : []),
  },
  {
    ...{ method: 'as an import', outcomes: 'ok ok ok F F' },
    run: ({ jit, callable }) => jit.compile(calling('f', 'square', 0), { imports: { square: callable } }),
    check: (result, { object }) => expectSame((result as CodeObject).references, [object]),
  },
  {
    ...{ method: 'as a definition', outcomes: 'ok ok ok F F', run: ({ jit, callable }) => jit.define('square', callable) },
    check: (_, { jit, object }) => expectSame(jit.compile(calling('f', 'square', 0)).references, [object]),
  },
  {
    ...{ method: 'id, name, sizes, state', outcomes: 'ok ok ok ok ok' },
    run: ({ object }) => [object.id > 0, object.name, object.sizes.constants, object.sizes.data, object.state],
    check: (result, _, state) => {
      const now = isGone(state) ? 'freed' : wasPlaced(state) ? 'placed' : 'unplaced';
      expect(result).toEqual([true, 'subject', 20, 8, now]);
    },
  },
  {
    ...{ method: 'placement', outcomes: 'ok ok ok ok ok', run: ({ object }) => object.placement },
    check: (result, { space }, state) => {
      if (wasPlaced(state)) expectSameFields(result as Placement, at(space, 1));
      else expect(result).toBeUndefined();
    },
  },
  {
    ...{ method: 'references', outcomes: 'ok ok ok ok ok', run: ({ object }) => object.references },
    check: (result) => expect(result).toEqual([]),
  },
  {
    ...{ method: 'callable.entry', outcomes: 'ok ok ok ok ok' },
    run: ({ callable }) => [typeof callable.entry, callable.type, callable.symbol, callable.codeObject],
    check: (result, { object }) => expectSame(result as unknown[], ['bigint', 'i32 (i32)', 'square', object]),
  },
  {
    ...{ method: 'Symbol.dispose', outcomes: 'ok ok ok ok ok', run: ({ object }) => object[Symbol.dispose]() },
    check: (_, { object }) => expect(object.state).toBe('freed'),
  },
  {
    ...{ method: 'jit.stats', outcomes: 'ok ok ok ok F', run: ({ jit }) => jit.stats() },
    check: (result, { object }, state) => {
      const { constants, data } = object.sizes;
      expect(result).toMatchObject({
        objects: { live: state === 'freed' ? 0 : 1, placed: wasPlaced(state) ? 1 : 0 },
        liveBytes: wasPlaced(state) ? { constants, data } : { constants: 0, data: 0 },
      });
    },
  },
  {
    ...{ method: 'jit.trim', outcomes: 'ok ok ok ok F', run: ({ jit }) => jit.trim() },
    check: (result, { callable }, state) => {
      expect(result).toBeGreaterThan(0);
      if (wasPlaced(state)) expect(callable(4)).toBe(16); // what is in use stays
    },
  },
  {
    ...{ method: 'jit.createSpace', outcomes: 'ok ok ok ok F', run: ({ jit }) => jit.createSpace() },
    check: (result) => expect((result as CodeSpace).usedBytes).toBe(0),
  },
  {
    ...{ method: 'jit.compile', outcomes: 'ok ok ok ok F', run: ({ jit }) => jit.compile(multiplying('f', 3)) },
    check: (result) => expect((result as CodeObject).state).toBe('unplaced'),
  },
  {
    ...{ method: 'jit.load', outcomes: 'ok ok ok ok F', run: ({ jit }) => jit.load(multiplying('f', 3)) },
    check: (result) => expect((result as CodeObject).get('f')(5)).toBe(15),
  },
  {
    ...{ method: 'jit.dispose', outcomes: 'ok ok ok ok ok', run: ({ jit }) => jit.dispose() },
    check: (_, { jit, object }) => {
      expect(object.state).toBe('freed');
      expect(errorOf(() => jit.stats()).message).toMatch(/disposed/);
    },
  },
];

const cases = methods.flatMap(({ outcomes, ...method }) =>
  outcomes.split(' ').map((outcome, i) => ({ ...method, state: states[i]!, outcome })),
);

test.each(cases.filter(({ outcome }) => outcome === 'ok'))('$method is possible when $state', ({ run, check, state }) => {
  const scene = sceneIn(state);
  check(run(scene), scene, state);
});

test.each(cases.filter(({ outcome }) => outcome === 'F'))(
  '$method throws StateError when $state, and changes nothing',
  ({ run, state }) => {
    const scene = sceneIn(state);
    const look = () => (state === 'disposed' ? scene.object.state : snapshot(scene.jit, [scene.object], [scene.space]));
    const before = look();
    const error = errorOf(() => run(scene));
    expect(error).toBeInstanceOf(StateError);
    expect(error.code).toBe('ERR_STATE');
    expect(error.message).toMatch(state === 'disposed' ? /disposed/ : /'subject'|square/);
    expect(look()).toEqual(before);
  },
);

test('state follows place and free; placement is what was given', () => {
  const jit = makeJit();
  const space = jit.createSpace();
  const object = jit.compile(threeSegments);
  const placement = { space, code: 4096, constants: 64, data: 1024 };
  expect(object.place(placement)).toBe(object);
  expect(object.state).toBe('placed');
  expectSameFields(object.placement, placement);
  expect(object.relocate({ space, code: 8192 })).toBe(object);
  expectSameFields(object.placement, { ...placement, code: 8192 });
  object.free();
  expect([object.state, object.placement]).toEqual(['freed', undefined]);
});

test('place may be the very first thing, at offset 0 and at the very end of a space', () => {
  const jit = makeJit();
  const space = jit.createSpace({ codeBytes: 65536, constantBytes: 65536, dataBytes: 65536 });
  const [first, last] = [jit.compile(threeSegments), jit.compile(threeSegments)];
  first.place({ space, code: 0, constants: 0, data: 0 });
  const end = (bytes: number, alignment: number) => Math.floor((65536 - bytes) / alignment) * alignment;
  const [{ code, constants, data }, alignments] = [last.sizes, last.alignments];
  last.place({
    space,
    code: end(code, alignments.code),
    constants: end(constants, alignments.constants),
    data: end(data, alignments.data),
  });
  for (const object of [first, last]) expect(object.get('square')(4)).toBe(16);
});

test('a callable had before the first placement works afterwards', () => {
  const { object, space, callable } = sceneIn('unplaced');
  object.place(at(space, 7));
  expect(callable(4)).toBe(16);
});

test('a code object that refers to an unplaced one is placed after it', () => {
  const jit = makeJit();
  const space = jit.createSpace();
  const callee = jit.compile(multiplying('triple', 3), { name: 'callee' });
  const caller = jit.compile(calling('f', 'triple', 1), { name: 'caller', imports: { triple: callee.get('triple') } });
  const error = errorOf(() => caller.place(codeAt(space, 1)));
  expect(error).toBeInstanceOf(StateError);
  expect(error.message).toMatch(/'caller'.*'callee'/);
  expect(caller.state).toBe('unplaced');
  callee.place(at(space, 2));
  caller.place(codeAt(space, 1));
  expect(caller.get('f')(4)).toBe(13);
});

test('what live code refers to is not freed, and the message says by whom (I9)', () => {
  const jit = makeJit();
  const callee = jit.load(multiplying('triple', 3), { name: 'callee' });
  const caller = jit.load(calling('f', 'triple', 1), { name: 'caller', imports: { triple: callee.get('triple') } });
  const before = snapshot(jit, [callee, caller]);
  const error = errorOf(() => callee.free());
  expect(error).toBeInstanceOf(StateError);
  expect(error.message).toMatch(/'callee'.*'caller'/);
  expect(snapshot(jit, [callee, caller])).toEqual(before);
  expect(caller.get('f')(4)).toBe(13);
  caller.free();
  callee.free();
  expect(jit.stats().objects).toEqual({ live: 0, placed: 0 });
});

test('the place of a freed code object can be had again at once', () => {
  const jit = makeJit();
  const space = jit.createSpace();
  for (let i = 0; i < 100; i++) {
    const object = jit.compile(counter).place(at(space, 0));
    expect(object.get('bump')()).toBe(1);
    object.free();
  }
  expectWorking(jit);
});

test('a callable of a freed code object never enters its successor at the same place', () => {
  const jit = makeJit();
  const space = jit.createSpace();
  const old = jit.compile(multiplying('f', 2)).place(at(space, 0));
  const stale = old.get('f');
  old.free();
  const fresh = jit.compile(multiplying('f', 3)).place(at(space, 0)).get('f');
  expect(fresh(5)).toBe(15);
  expect(errorOf(() => stale(5))).toBeInstanceOf(StateError);
});
