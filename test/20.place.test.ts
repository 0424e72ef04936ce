/**
 * The states of a code object: unplaced, placed, freed; and what each method does in each.
 */
import { type Callable, type CodeObject, type CodeSpace, type Jit, StateError } from 'nomad-jit';
import { at, codeAt, errorOf, expectWorking, makeJit, snapshot } from './support/jits';
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

/** For each method: what it does in each of the states above. F: throws StateError. */
const table: Array<[string, (scene: Scene) => unknown, string]> = [
  //                                                                                      unplaced placed none freed disposed
  ['place', ({ object, space }) => object.place(at(space, 2)), 'ok F F F F'],
  ['relocate', ({ object, space }) => object.relocate(codeAt(space, 2)), 'F ok F F F'],
  ['jit.relocate', ({ jit, object, space }) => jit.relocate([[object, codeAt(space, 2)]]), 'F ok F F F'],
  ['free', ({ object }) => object.free(), 'ok ok ok F F'],
  ['get', ({ object }) => object.get('square'), 'ok ok ok F F'],
  ['a call', ({ callable }) => callable(3), 'F ok ok F F'],
  ['readGlobal', ({ object }) => object.readGlobal('calls'), 'F ok ok F F'],
  ['writeGlobal', ({ object }) => object.writeGlobal('calls', 1n), 'F ok ok F F'],
  ['addressOf', ({ object }) => object.addressOf('square'), 'F ok ok F F'],
  ['functions', ({ object }) => object.functions, 'ok ok ok F F'],
  ['globals', ({ object }) => object.globals, 'ok ok ok F F'],
  ['alignments', ({ object }) => object.alignments, 'ok ok ok F F'],
  ['relocationCount', ({ object }) => object.relocationCount, 'ok ok ok F F'],
  ['relocationBytes', ({ object }) => object.relocationBytes, 'ok ok ok F F'],
  ['space.allocate', ({ object, space }) => space.allocate(object), 'ok ok ok F F'],
  ['space.release', ({ object, space }) => space.release(at(space, 3), object), 'ok ok ok ok F'],
  ['space.objects', ({ space }) => space.objects(), 'ok ok ok ok F'],
  [
    'as an import',
    ({ jit, callable }) => jit.compile(calling('f', 'square', 0), { imports: { square: callable } }),
    'ok ok ok F F',
  ],
  ['as a definition', ({ jit, callable }) => jit.define('square', callable), 'ok ok ok F F'],
  ['id, name, sizes, state', ({ object }) => [object.id, object.name, object.sizes, object.state], 'ok ok ok ok ok'],
  ['placement', ({ object }) => object.placement, 'ok ok ok ok ok'],
  ['references', ({ object }) => object.references, 'ok ok ok ok ok'],
  ['callable.entry', ({ callable }) => [callable.entry, callable.type, callable.symbol, callable.codeObject], 'ok ok ok ok ok'],
  ['Symbol.dispose', ({ object }) => object[Symbol.dispose](), 'ok ok ok ok ok'],
  ['jit.stats', ({ jit }) => jit.stats(), 'ok ok ok ok F'],
  ['jit.trim', ({ jit }) => jit.trim(), 'ok ok ok ok F'],
  ['jit.createSpace', ({ jit }) => jit.createSpace(), 'ok ok ok ok F'],
  ['jit.compile', ({ jit }) => jit.compile(''), 'ok ok ok ok F'],
  ['jit.load', ({ jit }) => jit.load(''), 'ok ok ok ok F'],
  ['jit.dispose', ({ jit }) => jit.dispose(), 'ok ok ok ok ok'],
];

const cases = table.flatMap(([method, run, row]) =>
  row.split(' ').map((outcome, i) => ({ method, run, state: states[i]!, outcome })),
);

test.each(cases.filter(({ outcome }) => outcome === 'ok'))('$method is possible when $state', ({ run, state }) => {
  run(sceneIn(state));
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
  expect([object.state, object.placement]).toEqual(['placed', placement]);
  expect(object.placement!.space).toBe(space);
  expect(object.relocate({ space, code: 8192 })).toBe(object);
  expect(object.placement).toEqual({ ...placement, code: 8192 });
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
