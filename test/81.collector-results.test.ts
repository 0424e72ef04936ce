/**
 * A collector and the code objects of one module, as a whole and by part. Oracle: what they return, and counts.
 */
import { CopyingCollector, hostFunction, PlacementError, StateError, type CompileResult } from 'nomad-jit';
import { expectSound, extentOf, makeCollector, verify, type Collected } from './support/collectors';
import { collectGarbage, errorOf, makeJit } from './support/jits';

/** `even` and `odd` call each other; `seven` is alone. */
const source = `define i32 @even(i32 %x) noinline {
  %c = icmp eq i32 %x, 0
  br i1 %c, label %yes, label %on
on:
  %y = sub i32 %x, 1
  %r = call i32 @odd(i32 %y)
  ret i32 %r
yes:
  ret i32 1
}
define i32 @odd(i32 %x) noinline {
  %c = icmp eq i32 %x, 0
  br i1 %c, label %no, label %on
on:
  %y = sub i32 %x, 1
  %r = call i32 @even(i32 %y)
  ret i32 %r
no:
  ret i32 0
}
define i32 @seven() {
  ret i32 7
}`;
const names = ['even', 'odd', 'seven'];

function compile({ jit }: Collected, options: { retain?: 'none' } = {}): CompileResult {
  return jit.compile(source, { granularity: 'function', ...options });
}

function expectRight(result: CompileResult): void {
  expect([result.get('even')(9), result.get('odd')(9), result.get('seven')()]).toEqual([0, 1, 7]);
}

function places(result: CompileResult): bigint[] {
  return names.map((name) => extentOf(result.object(name)!).base);
}

describe('adopt', () => {
  test('takes all of it, though functions call each other in a circle', () => {
    const both = makeCollector();
    const result = compile(both);
    expect(both.collector.adopt(result)).toBe(result);
    expectRight(result);
    const before = places(result);
    expect(both.collector.collect({ findGarbage: false })).toMatchObject({ moved: 3, liveObjects: 4 });
    expect(places(result).filter((place, i) => place === before[i])).toEqual([]);
    expectRight(result);
    both.collector.adopt(result); // a second time nothing happens
    expect(both.collector.collect({ findGarbage: false }).liveObjects).toBe(4);
  });

  test('takes what is placed already, and what is not', () => {
    const both = makeCollector();
    const result = compile(both);
    const space = both.jit.createSpace();
    result.object('seven')!.place({ space, code: space.allocate(result.object('seven')!).code });
    both.collector.adopt(result);
    expectRight(result);
    expect([...space.objects()]).toEqual([]);
    expect(both.collector.collect({ findGarbage: false }).moved).toBe(3);
    expectSound(
      both.jit,
      names.map((name) => result.object(name)!),
    );
  });

  test('passes over what is freed, and refuses all if it must refuse one', () => {
    const both = makeCollector();
    const result = compile(both);
    result.object('seven')!.free();
    both.collector.adopt(result);
    expect(both.collector.collect({ findGarbage: false })).toMatchObject({ liveObjects: 3 });

    const second = compile(both);
    const other = new CopyingCollector(both.jit, { nurseryBytes: 4096, oldBytes: 4096 });
    other.adopt(second.object('seven')!);
    expect(errorOf(() => both.collector.adopt(second))).toBeInstanceOf(StateError);
    expect(names.map((name) => second.object(name)!.state)).toEqual(['unplaced', 'unplaced', 'placed']);
    expect(errorOf(() => both.collector.adopt(compile(both, { retain: 'none' })))).toBeInstanceOf(StateError);
    expect(errorOf(() => both.collector.adopt(compile({ ...both, jit: makeJit() })))).toBeInstanceOf(PlacementError);
    expect(both.collector.collect({ findGarbage: false }).liveObjects).toBe(3);
    verify(both.jit);
  });
});

describe('free', () => {
  test('frees all of it, placed or not, managed or not, with what it has reserved', () => {
    const both = makeCollector();
    const space = both.jit.createSpace();
    const placed = compile(both).place(space);
    const managed = both.collector.adopt(compile(both));
    const unplaced = compile(both);
    managed.object('seven')!.free();
    for (const result of [placed, managed, unplaced]) {
      result.free();
      expect([...result].map(({ state }) => state)).toEqual(Array(4).fill('freed'));
      expect(errorOf(() => result.free())).toBeInstanceOf(StateError);
      result[Symbol.dispose]();
    }
    expect([both.jit.stats().objects.live, space.occupancy().code.usedBytes]).toEqual([0, 0]);
    verify(both.jit);
  });

  test('frees nothing while other code refers to a part, or a part is running', () => {
    const both = makeCollector();
    const result = both.collector.adopt(compile(both));
    const caller = both.collector.compile(
      'declare i32 @odd(i32)\ndefine i32 @f(i32 %x) {\n %y = call i32 @odd(i32 %x)\n ret i32 %y\n}',
      {
        imports: { odd: result.get('odd') },
      },
    );
    expect(errorOf(() => result.free())).toBeInstanceOf(StateError);
    expectRight(result);
    expect(caller.get('f')(3)).toBe(1);
    caller.free();
    result.free();

    let error: unknown;
    const waiting: CompileResult = both.jit.compile(
      `declare void @wait()\ndefine i32 @f() {\n call void @wait()\n %r = call i32 @g()\n ret i32 %r\n}\ndefine i32 @g() noinline {\n ret i32 5\n}`,
      { granularity: 'function', imports: { wait: hostFunction('void ()', () => void (error = errorOf(() => waiting.free()))) } },
    );
    both.collector.adopt(waiting);
    expect(waiting.get('f')()).toBe(5);
    expect(error).toBeInstanceOf(StateError);
    waiting.free();
    expect(both.jit.stats().objects.live).toBeLessThanOrEqual(1); // the host function's stub
  });

  test('its destructors run once, before anything is gone, and can free no part', () => {
    const both = makeCollector();
    const log: unknown[] = [];
    const note = hostFunction('void (i32)', (x: number) => {
      log.push(x, errorOf(() => result.object('seven')!.free()).name, result.get('seven')());
    });
    const ending = `@llvm.global_dtors = appending global [1 x { i32, ptr, ptr }] [{ i32, ptr, ptr } { i32 65535, ptr @end, ptr null }]
declare void @note(i32)
define internal void @end() {
  %x = call i32 @seven()
  call void @note(i32 %x)
  ret void
}
define i32 @seven() noinline {
  ret i32 7
}`;
    const result: CompileResult = both.jit.compile(ending, { granularity: 'function', imports: { note } });
    result.place(both.jit.createSpace());
    result.free();
    expect(log.slice(0, 2)).toEqual([7, 'StateError']);
  });
});

test('addRoot and removeRoot: all of it lives, and dies', async () => {
  const both = makeCollector();
  (() => both.collector.addRoot(both.collector.adopt(compile(both))))();
  await collectGarbage();
  expect(both.collector.collect().liveObjects).toBe(4);
  const roots = makeCollector();
  const result = compile(roots);
  roots.collector.addRoot(result);
  roots.collector.removeRoot(result);
  expect(errorOf(() => roots.collector.addRoot(compile(both)))).toBeInstanceOf(PlacementError);
  expect(errorOf(() => roots.collector.addRoot({} as never))).toBeInstanceOf(TypeError);
});
