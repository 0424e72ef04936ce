/**
 * I17: a full JS stack (RangeError) and execution that is ended from outside (`vm` timeouts), at any depth inside any call, leave state whole.
 */
import { createContext, runInContext } from 'node:vm';
import { deepest, manyPads, overflows, pads } from './support/full-stack';
import { collectGarbage, errorOf } from './support/jits';
import { expectWhole, makeWorld, operations, placed, strayBytes, type Operation, type World } from './support/interrupted';
import { returning } from './support/programs';

function once(world: World, { run, discard }: Operation, prepared: never): void {
  const result = run(world, prepared) as never;
  discard?.(result);
}

/** Once more, unless it has been done. */
function again(world: World, each: Operation, prepared: never): void {
  try {
    once(world, each, prepared);
  } catch (error) {
    if (!['StateError', 'PlacementError'].includes((error as Error).name)) throw error;
  }
}

const free = (world: World): void => {
  for (const space of world.spaces) for (const object of space.objects()) object.free();
};

test.each(Object.entries(operations))('a full stack anywhere in: %s', async (_, each) => {
  const world = makeWorld();
  let count = 0;
  for (let i = 0; i < 3; i++) once(world, each, each.prepare(world) as never);
  for (const pad of pads)
    // From where nothing of it fits to where all does: the stack has ended everywhere in between.
    for (let depth = deepest(); ; depth--) {
      const prepared = each.prepare(world) as never;
      if (!overflows(depth, pad, () => once(world, each, prepared))) break;
      count++;
      again(world, each, prepared);
      expectWhole(world);
    }
  expect(count).toBeGreaterThan(0);
  await collectGarbage();
  for (let i = 0; i < 2; i++) {
    world.jit.stats();
    expectWhole(world);
    await collectGarbage();
  }
  expect(strayBytes(world)).toBe(0);
  world.jit.dispose();
});

test('a full stack anywhere in: dispose', () => {
  let count = 0;
  for (let depth = deepest(), isOver = false; !isOver; depth--) {
    const world = makeWorld();
    const object = placed(world, 'plain');
    const call = object.get('add');
    isOver = !overflows(depth, pads[depth % pads.length]!, () => world.jit.dispose());
    if (!isOver) count++;
    // Either all is there, or nothing.
    if (object.state === 'placed') expect(call(1, 2)).toBe(3);
    else expect(errorOf(() => call(1, 2)).name).toBe('StateError');
    world.jit.dispose();
    expect([object.state, errorOf(() => call(1, 2)).name]).toEqual(['freed', 'StateError']);
  }
  expect(count).toBeGreaterThan(0);
});

test('what a full stack left of a code object acts on nobody else', () => {
  const world = makeWorld();
  for (const pad of pads)
    for (let depth = deepest(); ; depth--) {
      const ghost = placed(world, 'plain');
      const call = ghost.get('add');
      if (!overflows(depth, pad, () => ghost.free())) break;
      const heir = world.jit.load(returning('f', depth), { optLevel: 0 });
      if (ghost.state === 'freed') expect(errorOf(() => call(1, 2)).name).toBe('StateError');
      else ghost.free();
      expect([heir.state, heir.get('f')()]).toEqual(['placed', depth]);
      heir.free();
    }
  expectWhole(world);
  free(world);
  world.jit.dispose();
});

test('a callable whose code object was freed with a full stack is refused before anything else is asked of the Jit', () => {
  const world = makeWorld();
  const outcomes = new Set<unknown>();
  for (const pad of manyPads)
    for (let depth = deepest(); ; depth--) {
      const ghost = placed(world, 'segments', 1);
      const call = ghost.get('square');
      if (!overflows(depth, pad, () => ghost.free())) break;
      try {
        outcomes.add(call(3));
      } catch (error) {
        outcomes.add((error as Error).name);
      }
    }
  expect([...outcomes].sort()).toEqual([9, 'StateError']);
  world.jit.dispose();
});

const loops: Record<string, (world: World) => void> = {
  'place, call, relocate, free': (world) => {
    const object = placed(world);
    const from = object.placement!;
    object.relocate(world.spaces[0].allocate(object));
    world.spaces[0].release(from, object);
    object.free();
  },
  'collect minor': ({ collector }) => void collector.collect('minor'),
  'collect major': ({ collector }) => void collector.collect('major'),
  adopt: (world) => void world.collector.adopt(placed(world)),
  'freeze, thaw': (world) => {
    const object = placed(world);
    object.thaw(object.freeze());
    object.free();
  },
  compile: ({ collector }) => void collector.compile(returning('f', 1), { optLevel: 0 }),
  'free with destructors': (world) => placed(world, 'ending').free(),
};

test.each(Object.entries(loops))('execution ended from outside anywhere in: %s', async (_, loop) => {
  const world = makeWorld();
  const kept = Array.from({ length: 20 }, () => world.collector.adopt(placed(world, 'plain')));
  const context = createContext({ loop: () => loop(world) });
  for (let i = 0; i < 15; i++) {
    const error = errorOf(() => runInContext('for (;;) loop()', context, { timeout: 1 + (i % 4) })) as Error & {
      code: string;
    };
    expect(error.code).toBe('ERR_SCRIPT_EXECUTION_TIMEOUT');
    expectWhole(world); // in the same job
    expect(kept.map((object): unknown => object.get('add')(2, 3))).toEqual(kept.map(() => 5));
    await collectGarbage(2);
  }
  await collectGarbage();
  expectWhole(world);
  // V8 holds for a while what a function mentions that it is compiling on another thread.
  for (let i = 0; i < 40 && world.collector.collect().liveObjects > kept.length; i++) {
    await collectGarbage();
    await new Promise((resolve) => setTimeout(resolve, 25));
  }
  expect([strayBytes(world), world.collector.collect().liveObjects]).toEqual([0, kept.length]);
  world.jit.dispose();
});
