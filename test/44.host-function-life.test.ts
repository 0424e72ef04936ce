/**
 * Host functions from their first use to their last; many calls; calls from constructors and destructors. Oracle: logs, counts.
 */
import { hostFunction, Jit, StateError, type CodeObject, type HostFunction } from 'nomad-jit';
import { childResult } from './support/child';
import { collectGarbage, errorOf, expectWorking, makeJit } from './support/jits';
import { leastGrowth, mallocMeter } from './support/memory';
import { callingHost, i32Host, makeGround } from './support/hosts';

describe('forgotten', () => {
  test('a host function goes when no code refers to it any more, and its stub is used again', async () => {
    const jit = makeJit();
    const load = (i: number) => jit.load(callingHost(`f${i}`), { imports: { host: i32Host((x) => x * i) } });
    const objects = Array.from({ length: 50 }, (_, i) => load(i));
    await collectGarbage();
    expect(jit.stats().objects.live).toBe(50);
    objects.forEach((object, i) => expect(object.get(`f${i}`)(3)).toBe(3 * i + 1));
    while (objects.length > 10) objects.pop()!.free();
    await collectGarbage(10);
    expect(jit.stats().objects.live).toBe(10);
    const more = Array.from({ length: 300 }, (_, i) => load(i + 1000));
    [...objects, ...more].forEach((object, i) => {
      const factor = i < 10 ? i : i + 990;
      expect(object.get(`f${factor}`)(2)).toBe(2 * factor + 1);
    });
  });

  test('the JS function goes with it, and is kept by code alone', async () => {
    const jit = makeJit();
    const make = () => {
      const callback = (x: number) => x + 1;
      return { object: jit.load(callingHost('f'), { imports: { host: i32Host(callback) } }), reference: new WeakRef(callback) };
    };
    const held: Array<CodeObject | undefined> = [];
    const reference = (() => {
      const made = make();
      held.push(made.object);
      return made.reference;
    })();
    await collectGarbage();
    expect(reference.deref()).toBeDefined();
    expect(held[0]!.get('f')(1)).toBe(3);
    held[0]!.free();
    held.length = 0;
    await collectGarbage(10);
    expect(reference.deref()).toBeUndefined();
    expect(jit.stats().objects.live).toBe(0);
  });

  test('a definition keeps it; once replaced it goes', async () => {
    const jit = makeJit();
    (() =>
      jit.define(
        'host',
        i32Host((x) => x * 2),
      ))();
    await collectGarbage();
    expect(jit.load(callingHost('f')).get('f')(4)).toBe(9);
    jit.define('host', 16n);
    await collectGarbage(10);
    expect(jit.stats().objects.live).toBe(0);
  });

  test('a Jit and a host function that refer to each other go together', async () => {
    const make = () => {
      const jit = new Jit({ arenaBytes: 1 << 24 });
      const object = jit.load(callingHost('f'), { imports: { host: i32Host((x) => x + jit.stats().objects.live) } });
      expect(object.get('f')(1)).toBe(3);
      return new WeakRef(jit);
    };
    const references = Array.from({ length: 5 }, make);
    await collectGarbage(10);
    expect(references.map((reference) => reference.deref())).toEqual(references.map(() => undefined));
  });

  // HostTable holds each entrance, and so the JS function with all that it refers to, until the native half is freed: which the
  // code object prevents, which the JS function keeps alive.
  test('a code object and a host function that refer to each other go together, while their Jit stays', async () => {
    const jit = makeJit();
    (() => {
      const known: { object?: CodeObject } = {};
      known.object = jit.load(callingHost('f'), { imports: { host: i32Host((x) => x + known.object!.id) } });
      known.object.get('f')(1);
    })();
    await collectGarbage(10);
    expect(jit.stats().objects.live).toBe(0);
  });

  test('garbage collections while code waits, with nobody holding anything, take nothing away that is still needed', async () => {
    const jit = makeJit();
    const calls: number[] = [];
    const collecting = (x: number) => {
      for (let i = 0; i < 3; i++) globalThis.gc!();
      return calls.push(x);
    };
    const source = `declare i32 @host(i32)\ndefine i32 @f(i32 %x) {
  %a = call i32 @host(i32 %x)\n  %b = call i32 @host(i32 %a)\n  %c = call i32 @host(i32 %b)\n  ret i32 %c\n}`;
    const run = () => jit.load(source, { imports: { host: i32Host(collecting) } }).get('f')(9);
    for (let i = 0; i < 20; i++) {
      calls.length = 0;
      expect([run(), calls]).toEqual([3, [9, 1, 2]]);
      await collectGarbage(1);
    }
    await collectGarbage(10);
    expect(jit.stats().objects.live).toBe(0);
  });

  test('a whole Jit that is forgotten while its code waits', async () => {
    const script = `
      const source = 'declare i32 @host(i32)\\ndefine i32 @f(i32 %x) {\\n %a = call i32 @host(i32 %x)\\n %b = call i32 @host(i32 %a)\\n ret i32 %b\\n}';
      const run = (i) => {
        const host = nomad.hostFunction('i32 (i32)', (x) => { gc(); return x + i; });
        return new nomad.Jit({ arenaBytes: 1 << 24 }).load(source, { imports: { host } }).get('f')(1);
      };
      const seen = [];
      for (let i = 0; i < 30; i++) seen.push(run(i));
      console.log(JSON.stringify(seen));`;
    const seen = await childResult<number[]>(script, { nodeOptions: ['--expose-gc'] });
    expect(seen).toEqual(Array.from({ length: 30 }, (_, i) => 1 + 2 * i));
  });
});

describe('many', () => {
  test('many calls in one entry: the right sum, and no memory, neither in their second half nor afterwards', async () => {
    const source = `declare i64 @host(i32, i64)
define i64 @sum(i32 %n) {
  br label %next
next:
  %i = phi i32 [ 0, %0 ], [ %j, %next ]
  %s = phi i64 [ 0, %0 ], [ %t, %next ]
  %t = call i64 @host(i32 %i, i64 %s)
  %j = add i32 %i, 1
  %isLast = icmp eq i32 %j, %n
  br i1 %isLast, label %done, label %next
done:
  ret i64 %t
}`;
    const calls = 75_000;
    const malloced = mallocMeter();
    // What V8's next scavenge frees comes and goes in waves of less than half the calls (in zeal a move a call): the troughs count.
    const troughs = [Infinity, Infinity];
    const host = hostFunction('i64 (i32, i64)', (i: number, s: bigint) => {
      const half = i < calls / 2 ? 0 : 1;
      if (i % 500 === 0) troughs[half] = Math.min(troughs[half]!, malloced());
      return s + BigInt(i);
    });
    const sum = makeJit().load(source, { imports: { host } }).get('sum');
    const many = () => {
      troughs.fill(Infinity);
      expect(sum(calls)).toBe((BigInt(calls) * BigInt(calls - 1)) / 2n);
      expect(troughs[1]! - troughs[0]!).toBeLessThan(calls);
    };
    expect(await leastGrowth(many)).toBeLessThan(calls);
  });

  test('a thousand host functions of one code object, each called by its own number', () => {
    const all = Array.from({ length: 1000 }, (_, i) => i);
    const imports: Record<string, HostFunction> = {};
    for (const i of all) imports[`h${i}`] = i32Host((x) => x + i);
    const calls = all.map((i) => ` %v${i + 1} = call i32 @h${i}(i32 %v${i})`).join('\n');
    const source = `${all.map((i) => `declare i32 @h${i}(i32)`).join('\n')}\ndefine i32 @f(i32 %v0) {\n${calls}\n ret i32 %v1000\n}`;
    expect(makeJit().load(source, { imports }).get('f')(7)).toBe(7 + 499500);
  });
});

const structors = `declare i32 @host(i32)
@llvm.global_ctors = appending global [2 x { i32, ptr, ptr }] [{ i32, ptr, ptr } { i32 200, ptr @second, ptr null }, { i32, ptr, ptr } { i32 100, ptr @first, ptr null }]
@llvm.global_dtors = appending global [2 x { i32, ptr, ptr }] [{ i32, ptr, ptr } { i32 200, ptr @late, ptr null }, { i32, ptr, ptr } { i32 100, ptr @early, ptr null }]
define internal void @first() {\n %x = call i32 @host(i32 1)\n ret void\n}
define internal void @second() {\n %x = call i32 @host(i32 2)\n ret void\n}
define internal void @early() {\n %x = call i32 @host(i32 8)\n ret void\n}
define internal void @late() {\n %x = call i32 @host(i32 9)\n ret void\n}
define i32 @f(i32 %x) {\n %y = call i32 @host(i32 %x)\n ret i32 %y\n}`;

/** Code with constructors and destructors that call `host`, which throws where `throwsAt` says. */
function makeStructors(throwsAt: readonly number[] = []) {
  const ground = makeGround();
  const log: number[] = [];
  const host = i32Host((x) => {
    log.push(x);
    if (throwsAt.includes(x)) throw new Error(`at ${x}`);
    return x;
  });
  return { ...ground, log, object: ground.jit.compile(structors, { imports: { host } }) };
}

describe('constructors and destructors', () => {
  test('call host functions at place and at free, in order', () => {
    const { object, log, next } = makeStructors();
    object.place(next());
    expect([object.get('f')(5), log]).toEqual([5, [1, 2, 5]]);
    object.free();
    expect(log).toEqual([1, 2, 5, 9, 8]);
  });

  test('a constructor that throws: place throws the same, the code object is placed, and the rest of its constructors is left out', () => {
    const { jit, object, log, next } = makeStructors([1]);
    expect(errorOf(() => object.place(next())).message).toBe('at 1');
    expect([object.state, [...log], object.get('f')(5)]).toEqual(['placed', [1], 5]);
    expect(errorOf(() => object.place(next()))).toBeInstanceOf(StateError);
    object.relocate(next());
    object.free();
    expect(log).toEqual([1, 5, 9, 8]);
    expectWorking(jit);
  });

  test('load: when a constructor throws, what was loaded is freed', () => {
    const jit = makeJit();
    const host = i32Host((x) => {
      if (x === 1) throw new Error('no');
      return x;
    });
    expect(errorOf(() => jit.load(structors, { imports: { host } })).message).toBe('no');
    expect(jit.stats().objects).toEqual({ live: 0, placed: 0 });
    expectWorking(jit);
  });

  test('a destructor that throws: free throws the same, and the code object is freed', () => {
    const { jit, object, log, next, space } = makeStructors([9]);
    object.place(next());
    const f = object.get('f');
    expect(errorOf(() => object.free()).message).toBe('at 9');
    expect([object.state, log[0], log[1], log[2]]).toEqual(['freed', 1, 2, 9]);
    expect(errorOf(() => f(1))).toBeInstanceOf(StateError);
    expect([...space.objects()]).toEqual([]);
    expectWorking(jit);
  });

  test('dispose with a destructor that throws disposes all the same', () => {
    const { jit, object, log, next } = makeStructors([8, 9]);
    object.place(next());
    let thrown: unknown;
    try {
      jit.dispose();
    } catch (error) {
      thrown = error;
    }
    expect([undefined, 'at 9']).toContain((thrown as Error | undefined)?.message);
    expect(log.slice(0, 3)).toEqual([1, 2, 9]);
    expect(errorOf(() => jit.stats())).toBeInstanceOf(StateError);
    expect(object.state).toBe('freed');
  });

  const registering = (bye: string) => `
declare i32 @host(i32)
declare i32 @atexit(ptr)
define internal void @bye() {
  %r = call i32 @host(i32 1)
  ${bye}
  ret void
}
define i32 @register() {
  %r = call i32 @atexit(ptr @bye)
  ret i32 %r
}`;
  test.each([
    ['calls a host function', registering('')],
    ['fails', registering('store volatile i32 1, ptr null')],
  ])('a forgotten Jit whose exit handler %s disturbs nobody, and calls nobody', async (_, source) => {
    const script = `
      let calls = 0;
      const host = nomad.hostFunction('i32 (i32)', () => ++calls);
      process.on('uncaughtException', (error) => { calls = error.message; });
      (() => new nomad.Jit().load(${JSON.stringify(source)}, { imports: { host } }).get('register')())();
      (async () => {
        // A job of its own: in the one that has made the Jit, that outlives what it has compiled, whose handlers run then.
        for (let i = 0; i < 8; i++) { await new Promise((resolve) => setTimeout(resolve, 10)); gc(); }
        await new Promise((resolve) => setTimeout(resolve, 10));
        console.log(JSON.stringify(calls));
      })();`;
    expect(await childResult(script, { nodeOptions: ['--expose-gc'] })).toBe(0);
  });

  test('destructors of forgotten code objects call host functions; what they throw disturbs nobody', async () => {
    for (const throwsAt of [[], [9]] as number[][]) {
      const ground = makeGround();
      const log: number[] = [];
      (() => {
        const host = i32Host((x) => {
          log.push(x);
          if (throwsAt.includes(x)) throw new Error('dropped');
          return x;
        });
        for (let i = 0; i < 3; i++) ground.add(structors, { imports: { host } });
      })();
      await collectGarbage(10);
      expect(log.filter((x) => x === 9).length).toBe(3);
      expect(ground.jit.stats().objects.live).toBe(0);
      expectWorking(ground.jit);
    }
  });

  test('a constructor and a destructor may free, dispose, compile and call: what can not be done is a StateError', () => {
    const { jit, next } = makeGround();
    const codes: Array<string | undefined> = [];
    const known: { object?: CodeObject } = {};
    const host = i32Host((x) => {
      const other = jit.load(callingHost('g'), { imports: { host: i32Host((y) => y) } });
      codes.push(errorOf(() => known.object!.free()).code, errorOf(() => jit.dispose()).code, String(other.get('g')(x)));
      other.free();
      return x;
    });
    const object = (known.object = jit.compile(structors, { imports: { host } }));
    object.place(next());
    object.free();
    const each = (x: number) => ['ERR_STATE', 'ERR_STATE', String(x + 1)];
    expect(codes).toEqual([1, 2, 9, 8].flatMap(each));
  });
});
