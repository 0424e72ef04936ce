/**
 * I17: nobody's code runs in the middle. Getters, iterators and Proxies that call back, objects that are not what they seem.
 *
 * The oracle is what the code objects return and where they say they are, written down here, and snapshots (I7) where nothing may have changed.
 */
import {
  CodeObject,
  CodeSpace,
  CompileResult,
  CopyingCollector,
  hostFunction,
  HostFunction,
  type Jit,
  type Move,
  type Placement,
} from 'nomad-jit';
import { verify } from './support/collectors';
import { at, codeAt, errorOf, expectWorking, makeJit, snapshot } from './support/jits';
import { add, calling, multiplying, returning, threeSegments } from './support/programs';

function ground(count: number): { jit: Jit; space: CodeSpace; objects: CodeObject[] } {
  const jit = makeJit();
  const space = jit.createSpace();
  const objects = Array.from({ length: count }, (_, i) => jit.compile(returning('f', i)).place(codeAt(space, i)));
  return { jit, space, objects };
}

const offsets = (objects: readonly CodeObject[]): unknown[] => objects.map(({ placement }) => placement?.code);
const results = (objects: readonly CodeObject[]): unknown[] => objects.map((object): unknown => object.get('f')());

/** A Placement whose `code` is read by running something first. */
function trapped(space: CodeSpace, code: number, run: () => unknown): Placement {
  return {
    space,
    get code() {
      run();
      return code;
    },
  };
}

describe('a batch whose moves run code', () => {
  test('that relocates in a batch of its own: both do what they say', () => {
    const { jit, space, objects } = ground(3);
    const [a, b, c] = objects as [CodeObject, CodeObject, CodeObject];
    const inner = (): unknown => jit.relocate([[c, codeAt(space, 30)]]);
    expect(jit.relocate([[a, codeAt(space, 10)], [b, trapped(space, 20 * 4096, inner)]]).moved).toBe(2); // prettier-ignore
    expect(offsets(objects)).toEqual([10 * 4096, 20 * 4096, 30 * 4096]);
    expect(results(objects)).toEqual([0, 1, 2]);
    verify(jit);
  });

  test('that frees one of the moves and makes others, which may get its handle: nobody else moves', () => {
    const { jit, space, objects } = ground(3);
    const [a, b, c] = objects as [CodeObject, CodeObject, CodeObject];
    let heir: CodeObject | undefined;
    const inherit = (): void => {
      a.free();
      heir = jit.compile(returning('f', 77)).place(codeAt(space, 50));
    };
    const error = errorOf(() => jit.relocate([[a, codeAt(space, 10)], [b, trapped(space, 20 * 4096, inherit)]])); // prettier-ignore
    expect([error.name, error.message]).toEqual(['StateError', expect.stringContaining('freed')]);
    expect(offsets([b, c, heir!])).toEqual([4096, 8192, 50 * 4096]);
    expect(results([b, c, heir!])).toEqual([1, 2, 77]);
    verify(jit);
  });

  test('that disposes the Jit, or the space', () => {
    const { jit, space, objects } = ground(1);
    const other = jit.createSpace();
    const error = errorOf(() => jit.relocate([[objects[0]!, trapped(other, 0, () => other.dispose())]]));
    expect([error.name, offsets(objects)]).toEqual(['StateError', [0]]);
    expect(errorOf(() => jit.relocate([[objects[0]!, trapped(space, 4096, () => jit.dispose())]])).name).toBe('StateError');
  });

  test('out of an iterator that moves the same code object, and of one that never ends', () => {
    const { jit, space, objects } = ground(2);
    function* restless(): Generator<Move> {
      yield [objects[0]!, codeAt(space, 10)];
      objects[0]!.relocate(codeAt(space, 11));
      yield [objects[1]!, codeAt(space, 12)];
    }
    expect(jit.relocate(restless()).moved).toBe(2);
    expect(offsets(objects)).toEqual([10 * 4096, 12 * 4096]);
    function* endless(): Generator<Move> {
      for (;;) yield [objects[0]!, codeAt(space, 1)];
    }
    const before = snapshot(jit, objects, [space]);
    expect(errorOf(() => jit.relocate(endless())).name).toBe('RangeError');
    expect(snapshot(jit, objects, [space])).toEqual(before);
  });

  test.each<[string, (move: Move) => unknown]>([
    ['an array with a hole', (move) => Object.assign(new Array<Move>(3), [move])],
    [
      'a Proxy with a length of its own',
      (move) => new Proxy([move], { get: (target, key) => (key === 'length' ? 5 : Reflect.get(target, key)) }),
    ],
    ['numbers', () => [1, 2, 3]],
    ['a pair of nothing', () => [[undefined, undefined]]],
    ['a forged CodeObject', (move) => [[Object.create(CodeObject.prototype), move[1]]]],
    ['a Proxy of a CodeObject', (move) => [[new Proxy(move[0], {}), move[1]]]],
    ['a Proxy of a space', (move) => [[move[0], { space: new Proxy(move[1].space, {}), code: 0 }]]],
    ['a forged space', (move) => [[move[0], { space: Object.create(CodeSpace.prototype), code: 0 }]]],
    ['an offset that is a bigint', (move) => [[move[0], { ...move[1], code: 4096n }]]],
    ['an offset that is an object', (move) => [[move[0], { ...move[1], code: { valueOf: () => 4096 } }]]],
    ['no offset that is a number', (move) => [[move[0], { ...move[1], code: NaN }]]],
    ['an offset beyond all integers', (move) => [[move[0], { ...move[1], code: 2 ** 53 }]]],
    ['a negative offset', (move) => [[move[0], { ...move[1], code: -16 }]]],
  ])('%s is refused, and nothing changes', (_, make) => {
    const { jit, space, objects } = ground(1);
    const before = snapshot(jit, objects, [space]);
    const error = errorOf(() => jit.relocate(make([objects[0]!, codeAt(space, 5)]) as Move[]));
    expect(['TypeError', 'RangeError', 'PlacementError']).toContain(error.name);
    expect(snapshot(jit, objects, [space])).toEqual(before);
    expectWorking(jit);
  });

  test('what a getter throws is thrown, and nothing has changed', () => {
    const { jit, space, objects } = ground(2);
    const mine = new Error('mine');
    const before = snapshot(jit, objects, [space]);
    const fail = (): never => {
      throw mine;
    };
    expect(errorOf(() => jit.relocate([[objects[0]!, codeAt(space, 9)], [objects[1]!, trapped(space, 0, fail)]]))).toBe(mine); // prettier-ignore
    expect(errorOf(() => objects[0]!.relocate(trapped(space, 0, fail)))).toBe(mine);
    expect(snapshot(jit, objects, [space])).toEqual(before);
  });
});

describe('single operations whose placements run code', () => {
  test.each<[string, (object: CodeObject, to: Placement) => unknown]>([
    ['place', (object, to) => object.place(to)],
    ['relocate', (object, to) => object.relocate(to)],
  ])('%s: freed by a getter', (what, run) => {
    const { jit, space } = ground(0);
    const object = jit.compile(returning('f', 5));
    if (what === 'relocate') object.place(codeAt(space, 3));
    let heir: CodeObject | undefined;
    const inherit = (): void => {
      object.free();
      heir = jit.compile(returning('f', 6)).place(codeAt(space, 4));
    };
    expect(errorOf(() => run(object, trapped(space, 0, inherit))).name).toBe('StateError');
    expect([heir!.placement?.code, heir!.get('f')(), object.state]).toEqual([4 * 4096, 6, 'freed']);
    verify(jit);
  });

  test('place: placed by a getter; release: released by one', () => {
    const { jit, space } = ground(0);
    const object = jit.compile(returning('f', 5));
    expect(errorOf(() => object.place(trapped(space, 0, () => object.place(codeAt(space, 3))))).name).toBe('StateError');
    expect(object.placement?.code).toBe(3 * 4096);
    const mine = space.allocate(object);
    const twice = trapped(space, mine.code, () => space.release(mine, object));
    space.release(twice, object);
    expect(space.usedBytes).toBe(0);
  });

  test('compile: what an option frees is no import', () => {
    const { jit, space, objects } = ground(1);
    const f: unknown = objects[0]!.get('f');
    const options = {
      imports: { inner: f as HostFunction },
      get optLevel(): 0 {
        objects[0]!.free();
        jit.compile(returning('f', 9)).place(codeAt(space, 7));
        return 0;
      },
    };
    expect(errorOf(() => jit.compile(calling('outer', 'inner', 1), options)).name).toBe('StateError');
    expect(jit.stats().objects).toEqual({ live: 1, placed: 1 });
    verify(jit);
  });
});

describe('objects that are not what they seem', () => {
  test('properties of a callable lead nobody astray: `codeObject` frees when it is read', () => {
    const jit = makeJit();
    const object = jit.load(multiplying('times', 3));
    const call = object.get('times');
    const spy = jest.fn(() => object.free());
    for (const name of ['codeObject', 'symbol', 'entry', 'type']) Object.defineProperty(call, name, { get: spy });
    const outer = jit.load(calling('outer', 'inner', 5), { imports: { inner: call } });
    expect(outer.get('outer')(1)).toBe(8);
    jit.define('defined', call);
    jit.redirect(call, call);
    expect(call(5)).toBe(15);
    expect(spy).not.toHaveBeenCalled();
  });

  test('nor do those of a code object, a space or a host function', () => {
    const jit = makeJit();
    const space = jit.createSpace();
    const object = jit.compile(threeSegments);
    const host = hostFunction('i32 (i32)', (x: number) => x);
    const spy = jest.fn(() => jit.dispose());
    for (const name of ['state', 'moves', 'retain', 'name', 'placement', 'isFrozen', 'free', 'place', 'sizes'])
      Object.defineProperty(object, name, { get: spy });
    for (const name of ['allocate', 'release', 'isDisposed', 'dispose']) Object.defineProperty(space, name, { get: spy });
    for (const name of ['name', 'type', 'callback', 'signature']) Object.defineProperty(host, name, { get: spy });
    CodeObject.prototype.place.call(object, CodeSpace.prototype.allocate.call(space, object));
    jit.compile(calling('outer', 'inner', 1), { imports: { inner: host } });
    const collector = new CopyingCollector(jit);
    Object.defineProperty(jit, 'compile', { get: spy });
    collector.adopt(object);
    expect(collector.compile(returning('f', 3)).get('f')()).toBe(3);
    expect(spy).not.toHaveBeenCalled();
  });

  test('a callable is no way to its Jit', () => {
    const { objects } = ground(1);
    const call = objects[0]!.get('f') as unknown as { constructor: unknown };
    expect(call.constructor).toBe(Function);
  });

  test('a host function with a type that is changed afterwards', () => {
    const jit = makeJit();
    const host = hostFunction('i32 (i32)', (x: number) => x);
    expect(errorOf(() => Object.assign(host.signature, { result: 'double' })).name).toBe('TypeError');
    const object = jit.load(calling('outer', 'inner', 1), { imports: { inner: host } });
    expect(object.get('outer')(41)).toBe(42);
  });

  test.each<[string, new (...values: unknown[]) => unknown]>([
    ['CodeObject', CodeObject as unknown as new () => unknown],
    ['CodeSpace', CodeSpace as unknown as new () => unknown],
    ['CompileResult', CompileResult as unknown as new () => unknown],
    ['HostFunction', HostFunction as unknown as new () => unknown],
  ])('%s has no constructor for users', (_, Class) => {
    expect(errorOf(() => new Class({}, {}, {}, {})).name).toBe('TypeError');
  });

  test('forged host functions and sources are no imports and no sources', () => {
    const jit = makeJit();
    const forged = Object.create(HostFunction.prototype) as HostFunction;
    expect(errorOf(() => jit.define('f', forged)).name).toBe('TypeError');
    expect(errorOf(() => jit.compile(add, { imports: { f: forged } })).name).toBe('TypeError');
    expect(errorOf(() => jit.compile(Object.create(Uint8Array.prototype) as Uint8Array)).name).toBe('TypeError');
    expect(errorOf(() => jit.deserialize(Object.create(Uint8Array.prototype) as Uint8Array)).name).toBe('TypeError');
    expectWorking(jit);
  });

  test('a list of symbols with a hole', () => {
    expect(errorOf(() => makeJit({ symbols: new Array<string>(2) })).name).toBe('TypeError');
  });

  test('a result whose space is anything with an `allocate`', () => {
    const jit = makeJit();
    const parts = jit.compile(threeSegments, { granularity: 'function' });
    const space = jit.createSpace();
    const before = snapshot(jit, parts.objects, [space]);
    expect(errorOf(() => parts.place({ allocate: () => at(space, 0) } as unknown as CodeSpace)).name).toBe('PlacementError');
    expect(snapshot(jit, parts.objects, [space])).toEqual(before);
  });
});
