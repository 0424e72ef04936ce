/**
 * V8's garbage and ours: who asks for which collection of V8's, what is found without one, and what V8 is told.
 */
import { CopyingCollector, hostFunction, SpaceFullError, type Collection } from 'nomad-jit';
import { makeCollector, nativeOf, verify } from './support/collectors';
import { collectGarbage, errorOf, makeJit } from './support/jits';
import { returning as returningFrom } from './support/programs';

const tick = (): Promise<void> => new Promise((resolve) => setImmediate(resolve));
const kibibyte = 1024;
const returning = (value: number): string => returningFrom('f', value);
const withData = (bytes: number): string => `@d = global [${bytes} x i8] zeroinitializer\ndefine ptr @f() {\n ret ptr @d\n}`;

/** Something in V8's old generation that only a full collection of V8's finds dead. */
function oldGarbage(): WeakRef<object> {
  const object = { of: 'V8' };
  for (let i = 0; i < 3; i++) globalThis.gc!({ type: 'minor' });
  return new WeakRef(object);
}

describe('a collector', () => {
  test('finds what the same job has dropped', () => {
    const { jit, collector } = makeCollector();
    for (let i = 0; i < 500; i++) collector.compile(returning(i));
    const { freed, liveObjects } = collector.collect();
    expect(freed + liveObjects).toBe(500);
    expect(liveObjects).toBeLessThan(3); // what a register or a stack slot of this function has
    verify(jit);
  });

  test.each(['minor', 'major'] as const)('finds nothing that is held: %s', (kind) => {
    const { collector } = makeCollector();
    const objects = Array.from({ length: 100 }, (_, i) => collector.compile(returning(i)));
    expect(collector.collect({ kind }).liveObjects).toBe(100);
    expect(objects.map((object): unknown => object.get('f')())).toEqual(objects.map((_, i) => i));
  });

  test('asks V8 for no full collection when the nursery is full', async () => {
    const { collector } = makeCollector({ nurseryBytes: 16 * kibibyte });
    const reports: Collection[] = [];
    collector.on('collection', (report) => reports.push(report));
    const reference = oldGarbage();
    await tick(); // what a job has made a WeakRef of lives until it ends
    while (reports.length < 5) collector.compile(returning(reports.length));
    expect(reports.map(({ kind }) => kind)).toEqual(Array(5).fill('minor'));
    expect(reports.reduce((sum, { freed }) => sum + freed, 0)).toBeGreaterThan(500);
    expect(reference.deref()).toBeDefined();
  });

  test('asks V8 for a full collection when asked for a major one, and not without findGarbage', async () => {
    const { collector } = makeCollector();
    const [first, second] = [oldGarbage(), oldGarbage()];
    await tick();
    expect(collector.collect({ kind: 'major', findGarbage: false }).v8Milliseconds).toBe(0);
    expect(first.deref()).toBeDefined();
    await tick();
    expect(collector.collect('minor').v8Milliseconds).toBeGreaterThan(0);
    expect(second.deref()).toBeDefined();
    await tick();
    const report = collector.collect();
    expect([first.deref(), second.deref()]).toEqual([undefined, undefined]);
    expect(report.v8Milliseconds).toBeGreaterThan(0);
    expect(report.pauseMilliseconds).toBeGreaterThanOrEqual(report.v8Milliseconds);
  });

  test('needs no collection of V8 where enough is known to be dead', async () => {
    const { jit, collector } = makeCollector({ promoteAfter: 0, oldBytes: 64 * kibibyte, nurseryBytes: 4096 });
    const reports: Collection[] = [];
    collector.on('collection', (report) => reports.push(report));
    for (let i = 0; i < 500; i++) collector.compile(returning(i));
    await collectGarbage();
    const reference = oldGarbage();
    await tick();
    while (reports.length < 1) collector.compile(returning(1));
    expect(reports[0]).toMatchObject({ kind: 'major', v8Milliseconds: 0 });
    expect(reports[0]!.freed).toBeGreaterThan(490);
    expect(reference.deref()).toBeDefined();
    verify(jit);
  });

  test.each([0, 1, 2, 3])('promotes after promoteAfter collections: %i', (promoteAfter) => {
    const { collector } = makeCollector({ promoteAfter });
    const object = collector.compile(returning(7));
    const promoted = Array.from({ length: 4 }, () => collector.collect('minor').promoted);
    expect(promoted).toEqual([1, 2, 3, 4].map((collection) => (collection === promoteAfter ? 1 : 0)));
    expect(object.get('f')()).toBe(7);
  });

  test.each([
    ['kind', { kind: 'full' }, RangeError],
    ['findGarbage', { findGarbage: 1 }, TypeError],
    ['options', 5, TypeError],
  ])('refuses a wrong %s', (name, options, errorClass) => {
    const { collector } = makeCollector();
    const error = errorOf(() => collector.collect(options as never));
    expect(error).toBeInstanceOf(errorClass);
    expect(error.message).toContain(name);
  });

  test('that is disposed by a getter of the options collects nothing', () => {
    const { collector } = makeCollector();
    const options = {
      get findGarbage(): boolean {
        collector.dispose();
        return true;
      },
    };
    expect(errorOf(() => collector.collect(options)).message).toContain('the collector is disposed');
  });

  test.each(['module', 'function'] as const)('frees what finds no room: %s', (granularity) => {
    const jit = makeJit({ arenaBytes: 2 ** 20 });
    const collector = new CopyingCollector(jit);
    const tooLarge = withData(200_000);
    const run = (): unknown =>
      granularity === 'module' ? collector.compile(tooLarge) : collector.compile(tooLarge, { granularity });
    expect(errorOf(run)).toBeInstanceOf(SpaceFullError);
    expect(jit.stats().objects.live).toBe(0);
  });
});

describe('without a collector', () => {
  test('load goes on for ever in a small arena, also in one job', () => {
    const jit = makeJit({ optLevel: 0, arenaBytes: 64 * 2 ** 20 });
    for (let i = 0; i < 1500; i++) jit.load(withData(20_000)); // 30 MB in a space of 8
    expect(jit.stats().objects.live).toBeLessThan(500);
    verify(jit);
  });

  test('load function by function too', () => {
    const jit = makeJit({ optLevel: 0, arenaBytes: 4 * 2 ** 20 });
    for (let i = 0; i < 100; i++) jit.load(withData(100_000), { granularity: 'function' });
    expect(jit.stats().objects.live).toBeLessThan(100);
  });

  test('a space that is full frees what is dropped, and keeps what is held', () => {
    const jit = makeJit({ optLevel: 0 });
    const space = jit.createSpace({ codeBytes: 4096, constantBytes: 0, dataBytes: 64 * kibibyte });
    const held = jit.compile(withData(10_000));
    held.place(space.allocate(held));
    const before = held.addressOf('d');
    for (let i = 0; i < 50; i++) {
      const dropped = jit.compile(withData(20_000));
      dropped.place(space.allocate(dropped));
    }
    expect(held.addressOf('d')).toBe(before);
    verify(jit);
  });

  test('a space that is full of what is held says so, and is as before', () => {
    const jit = makeJit({ optLevel: 0 });
    const space = jit.createSpace({ codeBytes: 4096, constantBytes: 0, dataBytes: 64 * kibibyte });
    const held = Array.from({ length: 3 }, () => jit.compile(withData(20_000)));
    for (const object of held) object.place(space.allocate(object));
    const before = space.occupancy();
    const another = jit.compile(withData(20_000));
    expect(errorOf(() => space.allocate(another))).toBeInstanceOf(SpaceFullError);
    expect(space.occupancy()).toEqual(before);
    expect(another.state).toBe('unplaced');
  });

  test('a destructor that disposes the space while room is made for it', () => {
    const jit = makeJit({ optLevel: 0 });
    const space = jit.createSpace({ codeBytes: 4096, constantBytes: 0, dataBytes: 64 * kibibyte });
    const other = jit.createSpace({ codeBytes: 4096, constantBytes: 0, dataBytes: 4096 });
    const end = hostFunction('void ()', () => other.dispose());
    const source = `@llvm.global_dtors = appending global [1 x { i32, ptr, ptr }] [{ i32, ptr, ptr } { i32 1, ptr @bye, ptr null }]
declare void @end()
define void @bye() {\n call void @end()\n ret void\n}\n${withData(50_000)}`;
    (() => {
      const dropped = jit.compile(source, { imports: { end } });
      dropped.place(space.allocate(dropped));
    })();
    const next = jit.compile(withData(50_000));
    expect(next.place(space.allocate(next)).state).toBe('placed');
    expect(other.isDisposed).toBe(true);
    verify(jit);
  });

  test('V8 is told of native bytes: it collects when there are many, though its own heap stays small', async () => {
    const jit = makeJit({ optLevel: 0 });
    for (let i = 0; i < 300; i++) {
      jit.load(withData(1_000_000));
      await tick();
    }
    expect(jit.stats().objects.live).toBeLessThan(200);
  });

  test("V8's full collection is noticed: what is dropped is freed in a later turn", async () => {
    const jit = makeJit({ optLevel: 0 });
    for (let i = 0; i < 100; i++) jit.load(returning(i));
    expect(nativeOf(jit).stats().objects.live).toBe(100);
    await tick();
    await collectGarbage();
    for (let i = 0; i < 20 && jit.stats().objects.live > 2; i++) await tick();
    expect(jit.stats().objects.live).toBeLessThan(3);
  });
});

test('each function of a module of 2,000 is found, and only those', () => {
  const jit = makeJit({ optLevel: 0 });
  const name = (i: number): string => `f${(i * 7919) % 2000}`;
  const module = jit.load(Array.from({ length: 2000 }, (_, i) => `define i32 @${name(i)}() { ret i32 ${i} }`).join('\n'));
  for (let i = 0; i < 2000; i++) expect(module.get(name(i))()).toBe(i);
  for (const missing of ['', 'f', 'f2000', 'f00', 'zzz', 'A'])
    expect(errorOf(() => module.get(missing)).message).toContain(`exports no function '${missing}'`);
});
