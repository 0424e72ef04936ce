/**
 * Constructors run in the middle of `place` and `adopt`, and can look at everything and call everything. Oracle: by then the code object is
 * placed, so each call does what it does of any placed code object that runs.
 */
import { CopyingCollector, hostFunction, type CodeObject, type CodeSpace, type Jit } from 'nomad-jit';
import { verify } from './support/collectors';
import { errorOf, makeJit } from './support/jits';
import { returning } from './support/programs';

const source = `declare void @look()
@llvm.global_ctors = appending global [1 x { i32, ptr, ptr }] [{ i32, ptr, ptr } { i32 1, ptr @begin, ptr null }]
define internal void @begin() {
  call void @look()
  ret void
}
define i32 @f() {
  ret i32 7
}`;

interface Constructed {
  readonly jit: Jit;
  readonly collector: CopyingCollector;
  readonly space: CodeSpace;
  /** Of `f`. */
  readonly object: CodeObject;
}

type Look = (made: Constructed) => unknown;

/** As one code object, or as several: then the constructor is another one's than `f`. */
type Parts = 'whole' | 'parts';
type Way = 'place' | 'adopt';

/** Places or adopts code whose constructor calls `look`; returns what that gave. */
function construct(way: Way, parts: Parts, look: Look): Constructed & { seen: unknown[] } {
  const jit = makeJit({ optLevel: 0 });
  const [collector, space, seen] = [new CopyingCollector(jit), jit.createSpace(), [] as unknown[]];
  const imports = { look: hostFunction('void ()', () => void seen.push(look(made))) };
  const result = parts === 'parts' ? jit.compile(source, { imports, granularity: 'function' }) : undefined;
  const object = result?.object('f') ?? jit.compile(source, { imports });
  const made = { jit, collector, space, object, seen };
  if (way === 'adopt') collector.adopt(result ?? object);
  else if (result === undefined) object.place({ space, code: 0 });
  else result.place(space);
  expect(seen).toHaveLength(1);
  verify(jit);
  return made;
}

/** The name of what `run` throws, and what it says without names. */
function refusal(run: () => unknown): string {
  const { name, message } = errorOf(run);
  return `${name}: ${message.replaceAll(/code object '[^']*'/g, 'it')}`;
}

const all = (['place', 'adopt'] as const).flatMap((way) => (['whole', 'parts'] as const).map((parts) => [way, parts] as const));

describe.each(all)('%s, %s', (way, parts) => {
  const runs = parts === 'whole';

  test('it is placed, and can be called', () => {
    const look: Look = ({ object }) => [
      object.state,
      object.placement !== undefined,
      object.addressOf('f') > 0n,
      object.get('f')(),
    ];
    expect(construct(way, parts, look).seen).toEqual([['placed', true, true, 7]]);
  });

  test('it is not placed twice', () => {
    const look: Look = ({ object, space }) => refusal(() => object.place({ space, code: 4096 }));
    const { seen, object } = construct(way, parts, look);
    expect(seen).toEqual(['StateError: place: it is already placed (use relocate)']);
    expect(object.get('f')()).toBe(7);
  });

  test('it is moved by hand unless it runs, and the collector goes on', () => {
    const look: Look = ({ object, space }) =>
      runs
        ? refusal(() => object.relocate({ space, code: 8192 }))
        : (object.relocate({ space, code: 8192 }), object.placement?.code);
    const { seen, object, collector } = construct(way, parts, look);
    expect(seen).toEqual([runs ? 'PinnedError: code of it is pinned by what runs now: the stack may have its address' : 8192]);
    const { liveObjects } = collector.collect();
    expect([liveObjects > 0, object.get('f')()]).toEqual([way === 'adopt', 7]);
  });

  test('it is freed unless it runs, and stays freed when its handle has another owner', () => {
    const look: Look = ({ object, jit }) =>
      runs ? refusal(() => object.free()) : (object.free(), jit.load(returning('f', 8)).get('f')());
    const { seen, object } = construct(way, parts, look);
    expect(seen).toEqual([runs ? 'StateError: it is still running, or the stack may have its address' : 8]);
    expect(object.state).toBe(runs ? 'placed' : 'freed');
    if (runs) expect(object.get('f')()).toBe(7);
    else expect(refusal(() => object.get('f'))).toBe('StateError: get: it is freed');
  });

  test('a constructor that has freed another part and throws: the rest is placed', () => {
    const look: Look = ({ object }) => {
      if (!runs) object.free();
      throw new Error('stop');
    };
    let made: Constructed | undefined;
    expect(errorOf(() => construct(way, parts, (each) => look((made = each)))).message).toBe('stop');
    expect(made!.object.state).toBe(runs ? 'placed' : 'freed');
    verify(made!.jit);
  });

  test('it is adopted by one collector', () => {
    const look: Look = ({ object, jit, collector }) => {
      const other = new CopyingCollector(jit, { nurseryBytes: 65536, oldBytes: 65536 });
      const [first, second] = way === 'adopt' ? [collector, other] : [other, collector];
      if (runs && way === 'place') return refusal(() => first.adopt(object));
      return [first.adopt(object) === object, refusal(() => second.adopt(object))];
    };
    expect(construct(way, parts, look).seen).toEqual([
      runs && way === 'place'
        ? 'PinnedError: code of it is pinned by what runs now: the stack may have its address'
        : [true, 'StateError: adopt: another collector manages it'],
    ]);
  });

  test.each(['minor', 'major'] as const)('a %s collection leaves what runs, and compiles go on', (kind) => {
    const look: Look = ({ collector }) => {
      return [collector.collect(kind).pinned, collector.compile(returning('g', 9)).get('g')()];
    };
    const { seen, object, collector } = construct(way, parts, look);
    expect(seen).toEqual([[way === 'adopt' ? 1 : 0, 9]]);
    collector.collect();
    expect(object.get('f')()).toBe(7);
  });

  test('the collector is disposed, the Jit is not', () => {
    const look: Look = ({ collector, jit }) => {
      collector.dispose();
      return refusal(() => jit.dispose());
    };
    const { seen, object, collector, jit } = construct(way, parts, look);
    expect(seen).toEqual(['StateError: dispose: code of the Jit is running']);
    expect(refusal(() => collector.collect())).toBe('StateError: collect: the collector is disposed');
    expect(object.get('f')()).toBe(7);
    verify(jit);
  });
});

test('what is refused is not placed', () => {
  const jit = makeJit({ optLevel: 0 });
  const space = jit.createSpace({ codeBytes: 4096 });
  const object = jit.compile(returning('f', 1));
  expect(refusal(() => object.place({ space, code: 3 }))).toMatch(/^PlacementError/);
  expect([object.state, object.placement]).toEqual(['unplaced', undefined]);
  expect(object.place({ space, code: 64 }).get('f')()).toBe(1);
});
