/**
 * From the first code object to the last: what is disposed or forgotten leaves nothing behind.
 */
import { setImmediate as nextTurn } from 'node:timers/promises';
import { Jit, StateError } from 'nomad-jit';
import { childResult } from './support/child';
import {
  at,
  codeAt,
  collectGarbage,
  errorOf,
  expectWorking,
  makeJit,
  mappings,
  mappingsOutsideHeap,
  arenaMappings,
  residentBytes,
} from './support/jits';
import { leastGrowth } from './support/memory';
import { add, calling, counter, mix, multiplying, returning, threeSegments } from './support/programs';

const nothing = { live: 0, placed: 0 };

test('dispose frees all; callables, code objects and spaces that are held say so', () => {
  const jit = new Jit();
  const space = jit.createSpace();
  const objects = [jit.compile(threeSegments), jit.load(counter), jit.compile(add).place(at(space, 9))];
  const bump = objects[1]!.get('bump');
  jit.dispose();
  expect(objects.map(({ state }) => state)).toEqual(['freed', 'freed', 'freed']);
  for (const run of [bump, () => objects[0]!.place(at(space, 1)), () => space.allocate(objects[0]!), () => jit.compile(add)])
    expect(errorOf(run)).toBeInstanceOf(StateError);
  expect(space.isDisposed).toBe(true);
  jit.dispose();
});

test('using: Jits, spaces and code objects are disposed at the end of their block', () => {
  const jit = makeJit();
  const space = jit.createSpace();
  {
    using object = jit.compile(add).place(at(space, 1));
    using inner = new Jit();
    expect([object.get('add')(1, 2), inner.load(returning('f', 5)).get('f')()]).toEqual([3, 5]);
  }
  expect(jit.stats().objects).toEqual(nothing);
  space[Symbol.dispose]();
  expect(space.isDisposed).toBe(true);
});

describe('forgotten', () => {
  // V8 calls no finalizer any more once all registries that had something to do are gone before it has called them.
  test('finalizers go on, though registries come and go', async () => {
    const script = `
      const turn = () => new Promise((resolve) => setImmediate(resolve));
      const jit = new nomad.Jit();
      (async () => {
        for (let i = 0; i < 3; i++) {
          let registry = new FinalizationRegistry(() => 0);
          (() => registry.register({}, 1))();
          await turn();
          gc();
          registry = undefined;
          gc(); gc();
          await turn();
        }
        (() => { for (let i = 0; i < 10; i++) jit.load('define i32 @f() { ret i32 1 }'); })();
        for (let i = 0; i < 8; i++) { await turn(); gc(); }
        await turn();
        console.log(jit.stats().objects.live);
      })();`;
    expect(await childResult(script, { nodeOptions: ['--expose-gc'] })).toBe(0);
  });

  // V8 serves one registry in a turn, so what is made for each load of the package would delay all finalizers.
  test('finalizers run within some turns, however often the package was loaded', async () => {
    const script = `
      const turn = () => new Promise((resolve) => setImmediate(resolve));
      const main = Object.keys(require.cache).find((path) => require.cache[path].exports === nomad);
      for (let i = 0; i < 30; i++) {
        for (const path of Object.keys(require.cache)) delete require.cache[path];
        new (require(main).Jit)().dispose();
      }
      const jit = new nomad.Jit();
      (async () => {
        (() => { for (let i = 0; i < 10; i++) jit.load('define i32 @f() { ret i32 1 }'); })();
        for (let i = 0; i < 4; i++) { gc(); await turn(); }
        console.log(jit.stats().objects.live);
      })();`;
    expect(await childResult(script, { nodeOptions: ['--expose-gc'] })).toBe(0);
  });

  test('code objects, placed and unplaced, are freed natively, and their places can be had again', async () => {
    const jit = makeJit();
    const space = jit.createSpace();
    const before = jit.stats();
    (() => {
      for (let i = 0; i < 200; i++) {
        const object = jit.compile(threeSegments);
        if (i % 3 !== 0) object.place(space.allocate(object)).get('square')(1);
      }
    })();
    expect(jit.stats().objects.live).toBe(200);
    await collectGarbage();
    const { objects, liveBytes, entryStubs, relocationBytes } = jit.stats();
    expect({ objects, liveBytes, entryStubs, relocationBytes }).toEqual({
      objects: nothing,
      liveBytes: before.liveBytes,
      entryStubs: before.entryStubs,
      relocationBytes: before.relocationBytes,
    });
    expect(Object.values(space.occupancy()).map(({ usedBytes }) => usedBytes)).toEqual([0, 0, 0]);
    space.dispose();
  });

  test('a chain of references goes as a whole, when its last member is forgotten (I9)', async () => {
    const jit = makeJit();
    const makeChain = () => {
      let callee = jit.load(multiplying('f0', 2));
      for (let i = 1; i < 30; i++)
        callee = jit.load(calling(`f${i}`, `f${i - 1}`, 1), { imports: { [`f${i - 1}`]: callee.get(`f${i - 1}`) } });
      return [callee.get('f29')];
    };
    const held = makeChain();
    await collectGarbage();
    expect(jit.stats().objects.live).toBe(30);
    expect(held[0]!(4)).toBe(37);
    held.pop();
    await collectGarbage(10);
    expect(jit.stats().objects).toEqual(nothing);
  });

  test('what a definition stands for is kept; once replaced it goes', async () => {
    const jit = makeJit();
    (() => jit.define('g', jit.load(multiplying('g', 2)).get('g')))();
    await collectGarbage();
    expect(jit.load(calling('f', 'g', 1)).get('f')(4)).toBe(9);
    jit.define('g', 16n);
    await collectGarbage(10);
    expect(jit.stats().objects).toEqual(nothing);
  });

  test('destructors of forgotten code objects run', async () => {
    const jit = makeJit();
    const log = makeJit().load(
      '@n = global i32 0\ndefine void @note() {\n %a = load i32, ptr @n\n %b = add i32 %a, 1\n store i32 %b, ptr @n\n ret void\n}',
    );
    const source =
      'declare void @note()\n@llvm.global_dtors = appending global [1 x { i32, ptr, ptr }] [{ i32, ptr, ptr } { i32 1, ptr @d, ptr null }]\ndefine internal void @d() {\n call void @note()\n ret void\n}';
    (() => {
      for (let i = 0; i < 10; i++) jit.load(source, { imports: { note: log.get('note').entry } });
    })();
    await collectGarbage();
    expect(log.readGlobal('n')).toBe(10);
  });

  test('a whole Jit, and the callable that holds it', async () => {
    const before = mappings().length;
    const held = [(() => new Jit().load(returning('f', 7)).get('f'))()];
    await collectGarbage();
    expect(held[0]!()).toBe(7);
    held.pop();
    (() => {
      for (let i = 0; i < 10; i++) new Jit().load(returning('f', i)).get('f')();
    })();
    await collectGarbage(10);
    expect(mappings().length).toBeLessThan(before + 20);
  });

  test('a code object that is kept is not freed with those around it', async () => {
    const jit = makeJit();
    const kept = Array.from({ length: 100 }, (_, i) => jit.load(returning('f', i))).filter((_, i) => i % 7 === 0);
    await collectGarbage();
    expect(jit.stats().objects.live).toBe(kept.length);
    kept.forEach((object, i) => expect(object.get('f')()).toBe(7 * i));
  });
});

describe('many', () => {
  test('100 Jits made and disposed leave no mappings and little memory', async () => {
    // A turn each: until it ends, V8 keeps what was seen through a WeakRef, and its heap grows.
    const cycle = async () => {
      using jit = new Jit();
      expect(jit.load(add).get('add')(1, 2)).toBe(3);
      await nextTurn();
    };
    for (let i = 0; i < 10; i++) await cycle();
    await collectGarbage();
    const before = { mappings: mappingsOutsideHeap().length, resident: residentBytes() };
    for (let i = 0; i < 100; i++) await cycle();
    await collectGarbage();
    expect(mappingsOutsideHeap().length).toBeLessThan(before.mappings + 12);
    expect(residentBytes() - before.resident).toBeLessThan(30e6);
  });

  test('20 Jits at once, in one thread, know nothing of each other', () => {
    const jits = Array.from({ length: 20 }, (_, i) => ({
      jit: makeJit({ arenaBytes: 1 << 24 }),
      object: undefined,
      i,
    }));
    const bumps = jits.map(({ jit, i }) => {
      const object = jit.load(counter);
      object.writeGlobal('count', i * 100);
      return object.get('bump');
    });
    for (let round = 1; round <= 3; round++) expect(bumps.map((bump) => bump())).toEqual(bumps.map((_, i) => i * 100 + round));
    for (const { jit } of jits.filter(({ i }) => i % 2 === 0)) jit.dispose();
    expect(bumps.filter((_, i) => i % 2 === 1).map((bump) => bump())).toEqual([
      104, 304, 504, 704, 904, 1104, 1304, 1504, 1704, 1904,
    ]);
  });

  test('2,000 code objects: the same mappings as for one, none writable and executable (I5, I8)', () => {
    const jit = makeJit();
    const space = jit.createSpace();
    const callables = [jit.load(returning('f', 0)).get('f')];
    callables[0]!();
    const writableAndExecutable = () => arenaMappings(callables[0]!.entry, 2 ** 30).filter((line) => /^\S*w\S*x/.test(line));
    const [own, all] = [jit.stats().mappings, mappings().length];
    for (let i = 1; i < 2000; i++) {
      const object = jit.compile(returning('f', i), { optLevel: 0 });
      callables.push(object.place(space.allocate(object)).get('f'));
      if (i % 100 === 0) expect(writableAndExecutable()).toEqual([]);
    }
    callables.forEach((f, i) => expect(f()).toBe(i));
    expect(jit.stats().mappings).toBe(own);
    expect(own).toBeLessThan(10);
    expect(mappings().length).toBeLessThan(all + 200); // V8's and malloc's own
    const moves = [...space.objects()].map((object, i) => [object, codeAt(space, 100 + i, 512)] as const);
    jit.relocate(moves);
    expect([jit.stats().mappings, writableAndExecutable()]).toEqual([own, []]);
    callables.forEach((f, i) => expect(f()).toBe(i));
  });

  test('in a process where V8 makes no code, none of all mappings is ever writable and executable (I5)', async () => {
    const script = `
      const both = () => require('fs').readFileSync('/proc/self/maps', 'utf8').split('\\n').filter((line) => /^\\S+ .wx/.test(line));
      const found = [both()];
      const jit = new nomad.Jit();
      const object = jit.load(programs.threeSegments);
      const square = object.get('square');
      for (let i = 0; i < 50; i++) {
        square(3);
        object.relocate({ space: object.placement.space, code: 4096 * (i + 1) });
        found.push(both());
        try { jit.compile('gibberish'); } catch {}
      }
      object.free();
      jit.dispose();
      found.push(both());
      console.log(JSON.stringify(found.flat()));`;
    expect(await childResult(script, { nodeOptions: ['--jitless', '--no-expose-wasm'] })).toEqual([]);
  });

  test('compile, place, call, relocate and free thousands of times: nothing grows', async () => {
    const jit = makeJit();
    const space = jit.createSpace();
    const cycle = (i: number) => {
      const object = jit.compile(threeSegments, { optLevel: 0 });
      object.place(space.allocate(object));
      expect(object.get('square')(i % 5)).toBe((i % 5) ** 2);
      object.relocate(space.allocate(object));
      object.free();
    };
    const many = () => {
      for (let i = 0; i < 750; i++) cycle(i);
    };
    many();
    const before = jit.stats();
    expect(await leastGrowth(many)).toBeLessThan(750 * 32);
    expect(jit.stats()).toEqual(before);
  });
});

test('stats count what lives', () => {
  const jit = makeJit();
  const space = jit.createSpace();
  const a = jit.compile(threeSegments);
  const b = jit.compile(mix, { moves: 'all' }).place(at(space, 5));
  expect(jit.stats().objects).toEqual({ live: 2, placed: 1 });
  a.place(at(space, 1));
  const { liveBytes, relocationBytes, reservedBytes, bookkeepingBytes } = jit.stats();
  for (const name of ['code', 'constants', 'data'] as const) expect(liveBytes[name]).toBe(a.sizes[name] + b.sizes[name]);
  expect(relocationBytes).toBe(a.relocationBytes + b.relocationBytes);
  const reserved = reservedBytes.code + reservedBytes.constants + reservedBytes.data;
  expect([reserved < 2 ** 30, reserved > 2 ** 29]).toEqual([true, true]);
  expect(bookkeepingBytes).toBeGreaterThan(0);
  a.free();
  b.free();
  expect(jit.stats()).toMatchObject({ objects: nothing, liveBytes: { code: 0, constants: 0, data: 0 }, relocationBytes: 0 });
});

test('trim gives memory of freed code objects back to the system, and harms nobody', () => {
  const jit = makeJit();
  const large = jit.load(
    '@large = global [8000000 x i8] zeroinitializer\ndefine void @fill() {\n call void @llvm.memset.p0.i64(ptr @large, i8 1, i64 8000000, i1 false)\n ret void\n}',
  );
  const kept = jit.load(threeSegments);
  large.get('fill')();
  const resident = residentBytes();
  large.free();
  expect(jit.trim()).toBeGreaterThan(8e6);
  expect(residentBytes()).toBeLessThan(resident - 6e6);
  expect(kept.get('square')(4)).toBe(16);
  expectWorking(jit);
});
