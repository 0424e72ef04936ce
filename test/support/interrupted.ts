/**
 * Operations to be interrupted, and what must be true after an interruption.
 *
 * In: a Jit with spaces and a collector. Out: operations, each with what it needs. The oracle is an account of its own: when the test has freed all
 * that it can see in the spaces, every byte of them is free, and when everything is disposed the arena gives out its largest block again.
 */
import {
  CopyingCollector,
  hostFunction,
  type CodeObject,
  type CodeSpace,
  type HostFunction,
  Jit,
  type Placement,
} from 'nomad-jit';
import { add, threeSegments } from './programs';

const ending = `@llvm.global_ctors = appending global [1 x { i32, ptr, ptr }] [{ i32, ptr, ptr } { i32 65535, ptr @begin, ptr null }]
@llvm.global_dtors = appending global [1 x { i32, ptr, ptr }] [{ i32, ptr, ptr } { i32 65535, ptr @end, ptr null }]
declare void @note()
define void @begin() {
  call void @note()
  ret void
}
define void @end() {
  call void @note()
  ret void
}`;

/** What operations work on. */
export interface World {
  readonly jit: Jit;
  readonly spaces: readonly [CodeSpace, CodeSpace];
  readonly collector: CopyingCollector;
  readonly saved: Readonly<Record<'plain' | 'segments' | 'ending', Buffer>>;
  readonly note: HostFunction;
}

/** Makes one; the caller disposes its Jit. */
export function makeWorld(): World {
  const jit = new Jit({ arenaBytes: 2 ** 26 });
  const sizes = { codeBytes: 2 ** 20, constantBytes: 2 ** 20, dataBytes: 2 ** 20 };
  const note = hostFunction('void ()', () => undefined);
  const imports = { note };
  const save = (source: string): Buffer => {
    const object = jit.compile(source, { optLevel: 0, ...(source === ending ? { imports } : {}) });
    const bytes = object.serialize();
    object.free();
    return bytes;
  };
  return {
    ...{ jit, note, saved: { plain: save(add), segments: save(threeSegments), ending: save(ending) } },
    spaces: [jit.createSpace(sizes), jit.createSpace({ ...sizes, allocator: 'bump' })],
    collector: new CopyingCollector(jit, { nurseryBytes: 2 ** 16, oldBytes: 2 ** 18 }),
  };
}

type Kind = keyof World['saved'];
const fresh = ({ jit, saved, note }: World, kind: Kind = 'segments'): CodeObject =>
  jit.deserialize(saved[kind], kind === 'ending' ? { imports: { note } } : {});

/** One that is placed in the first or second space. */
export function placed(world: World, kind: Kind = 'segments', space: 0 | 1 = 0): CodeObject {
  const object = fresh(world, kind);
  return object.place(world.spaces[space].allocate(object));
}

/** One operation: `prepare` is not interrupted, `run` is; `discard` disposes what it returned. */
export interface Operation {
  readonly prepare: (world: World) => unknown;
  readonly run: (world: World, prepared: never) => unknown;
  readonly discard?: (result: never) => unknown;
}

function operation<T, R>(
  prepare: (world: World) => T,
  run: (world: World, prepared: T) => R,
  discard?: (result: R) => unknown,
): Operation {
  return { prepare, run, ...(discard === undefined ? {} : { discard }) };
}

const nothing = (): undefined => undefined;
const small = { codeBytes: 4096, constantBytes: 4096, dataBytes: 4096 };
const smallCollector = { nurseryBytes: 4096, oldBytes: 4096 };

function moved(world: World): [CodeObject, Placement] {
  const object = placed(world, 'plain');
  const from = object.placement!;
  object.relocate(world.spaces[0].allocate(object));
  return [object, from];
}

/** All public operations that change something, and some that only look. */
export const operations: Readonly<Record<string, Operation>> = {
  deserialize: operation(nothing, (world) => fresh(world)),
  compile: operation(nothing, ({ jit }) => jit.compile(add, { optLevel: 0 })),
  compileParts: operation(nothing, ({ jit }) => jit.compile(threeSegments, { optLevel: 0, granularity: 'function' })),
  load: operation(nothing, ({ jit }) => jit.load(add, { optLevel: 0 })),
  allocate: operation(fresh, ({ spaces }, object) => spaces[0].allocate(object)),
  'allocate by bump': operation(fresh, ({ spaces }, object) => spaces[1].allocate(object)),
  place: operation(
    (world) => [fresh(world)] as const,
    ({ spaces }, [object]) => object.place(spaces[0].allocate(object)),
  ),
  'place with constructors': operation(
    (world) => fresh(world, 'ending'),
    ({ spaces }, object) => object.place(spaces[0].allocate(object)),
  ),
  relocate: operation(placed, ({ spaces }, object) => object.relocate(spaces[0].allocate(object))),
  'relocate a batch': operation(
    (world) => [placed(world, 'plain'), placed(world)].map((object) => [object, world.spaces[0].allocate(object)] as const),
    ({ jit }, moves) => jit.relocate(moves),
  ),
  release: operation(moved, ({ spaces }, [object, from]) => spaces[0].release(from, object)),
  free: operation(placed, (_, object) => object.free()),
  'free by bump': operation(
    (world) => placed(world, 'segments', 1),
    (_, object) => object.free(),
  ),
  'free with destructors': operation(
    (world) => placed(world, 'ending'),
    (_, object) => object.free(),
  ),
  freeze: operation(placed, (_, object) => object.freeze()),
  thaw: operation((world) => { const object = placed(world); return [object, object.freeze()] as const; }, (_, [object, bytes]) => object.thaw(bytes)), // prettier-ignore
  get: operation(
    (world) => placed(world, 'plain'),
    (_, object) => object.get('add')(1, 2),
  ),
  call: operation(
    (world) => placed(world, 'plain').get('add'),
    (_, call) => call(1, 2) as number,
  ),
  createSpace: operation(
    nothing,
    ({ jit }) => jit.createSpace(small),
    (space) => space.dispose(),
  ),
  'dispose a space': operation(
    ({ jit }) => jit.createSpace(small),
    (_, space) => space.dispose(),
  ),
  define: operation(
    (world) => placed(world, 'plain').get('add'),
    ({ jit }, call) => jit.define('some', call),
  ),
  redirect: operation(
    (world) => [placed(world, 'plain').get('add'), placed(world, 'plain').get('add')] as const,
    ({ jit }, [from, to]) => jit.redirect(from, to),
  ),
  'collector.compile': operation(nothing, ({ collector }) => collector.compile(add, { optLevel: 0 })),
  'collector.compile parts': operation(nothing, ({ collector }) =>
    collector.compile(threeSegments, { optLevel: 0, granularity: 'function' }),
  ),
  adopt: operation(fresh, ({ collector }, object) => collector.adopt(object)),
  'adopt what is placed': operation(placed, ({ collector }, object) => collector.adopt(object)),
  'collect minor': operation(
    (world) => [world.collector.adopt(fresh(world)), world.collector.adopt(fresh(world))],
    ({ collector }) => collector.collect('minor'),
  ),
  'collect major': operation(
    (world) => [world.collector.adopt(fresh(world)), world.collector.adopt(fresh(world))],
    ({ collector }) => collector.collect('major'),
  ),
  'collect in steps': operation(
    (world) => [world.collector.adopt(fresh(world)), world.collector.adopt(fresh(world))],
    ({ collector }) => {
      while (!collector.collect({ maxPause: Number.MIN_VALUE }).isComplete);
    },
  ),
  'free what is managed': operation(
    (world) => world.collector.adopt(fresh(world)),
    (_, object) => object.free(),
  ),
  'new collector': operation(
    nothing,
    ({ jit }) => new CopyingCollector(jit, smallCollector),
    (collector) => collector.dispose(),
  ),
  'dispose a collector': operation(
    ({ jit }) => new CopyingCollector(jit, smallCollector),
    (_, collector) => collector.dispose(),
  ),
};

/** Every operation works, and what is freed is free. Throws if not. */
export function expectWhole(world: World): void {
  const { jit, spaces, collector } = world;
  const object = placed(world, 'plain');
  if (object.get('add')(20, 22) !== 42) throw new Error('a call gives something else');
  object.relocate({ ...object.placement!, code: spaces[0].allocate(object).code });
  const managed = collector.adopt(fresh(world, 'plain'));
  for (const kind of ['minor', 'major'] as const) collector.collect(kind);
  if (managed.get('add')(20, 22) !== 42) throw new Error('a call of a managed one gives something else');
  managed.free();
  for (const space of spaces) freeAll(space);
  jit.createSpace(small).dispose();
  const live = jit.stats().objects;
  if (live.placed > live.live) throw new Error('more placed than live');
}

/** Frees what JS still knows there; then, if that was all, no byte may be in use. */
function freeAll(space: CodeSpace): void {
  for (const object of space.objects()) {
    try {
      object.free();
    } catch (error) {
      if ((error as Error).name !== 'StateError') throw error; // somebody refers to it
    }
  }
}

/** After garbage has been collected: bytes in use in spaces in which nothing is. */
export function strayBytes({ spaces }: World): number {
  const used = (space: CodeSpace): number => Object.values(space.occupancy()).reduce((sum, { usedBytes }) => sum + usedBytes, 0);
  return spaces.reduce((sum, space) => sum + ([...space.objects()].length === 0 ? used(space) : 0), 0);
}
