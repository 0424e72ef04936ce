/**
 * serialize and deserialize. Oracle: what the code object that was saved computes, and its bytes when it is saved again.
 */
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { types } from 'node:util';
import { Worker } from 'node:worker_threads';
import {
  Jit,
  LinkError,
  SignatureError,
  StateError,
  UnresolvedSymbolError,
  UnsupportedError,
  type CodeObject,
  type CompileOptions,
  type JitOptions,
} from 'nomad-jit';
import { CodeRecord } from '../lib/record/code-record';
import { coreOf } from '../lib/jit/parts';
import { childResult, prelude } from './support/child';
import { nativeOf } from './support/collectors';
import { i32Host } from './support/hosts';
import { errorOf, expectWorking, makeJit } from './support/jits';
import { add, calling, counter, jumpTable, multiplying, threeSegments } from './support/programs';
import { randomIntegers, seed } from './support/random';
import { expectSame } from './support/same';
import { savedPrograms, type SavedProgram } from './support/saved-programs';

const directory = mkdtempSync(join(tmpdir(), 'nomad-save-'));
afterAll(() => rmSync(directory, { recursive: true }));

/** What a program computes, moved now and then, and what it said to the host. */
function outcome({ run }: SavedProgram, jit: Jit, object: CodeObject, log: number[]): unknown {
  const space = jit.createSpace();
  object.place(space.allocate(object));
  const move = (): void => {
    if (object.retain === 'none') return;
    const { code, constants, data } = space.allocate(object);
    object.relocate({ space, code, ...(object.moves === 'all' ? { constants, data } : {}) });
  };
  const result = run(object, move);
  const saved = object.retain === 'none' ? undefined : object.freeze();
  if (saved !== undefined) object.thaw(saved);
  move();
  object.free();
  return { result, log };
}

/** Everything that can be seen of an unplaced code object. */
function facts(object: CodeObject): unknown {
  const { moves, retain, state, sizes, alignments, relocationCount, relocationBytes, functions, globals } = object;
  return { moves, retain, state, sizes, alignments, relocationCount, relocationBytes, functions, globals };
}

const linkers = ['jitlink', 'runtimedyld'] as const;
const modes = (['code', 'all'] as const).flatMap((moves) =>
  (['relocations', 'object', 'none'] as const).map((retain) => ({ moves, retain })),
);

describe.each(linkers)('%s', (linker) => {
  describe.each(modes)('moves: $moves, retain: $retain', ({ moves, retain }) => {
    test.each(savedPrograms.flatMap((program) => ([0, 2] as const).map((optLevel) => ({ ...program, optLevel }))))(
      '$name, O$optLevel: computes the same in another Jit, and is saved as the same bytes',
      (program) => {
        const options = { name: 'saved', moves, retain, optLevel: program.optLevel };
        const [one, other] = [makeJit({ linker }), makeJit({ linker, arenaBytes: 2 ** 28 })];
        const logs: [number[], number[]] = [[], []];
        const object = one.compile(program.source, { ...options, imports: program.imports?.(one, logs[0]) });
        const saved = object.serialize();
        const imports = program.imports?.(other, logs[1]);
        const loaded = other.deserialize(saved, { imports });
        expect(facts(loaded)).toEqual(facts(object));
        expect(loaded.serialize().equals(saved)).toBe(true);
        expect(
          other
            .compile(program.source, { ...options, imports })
            .serialize()
            .equals(saved),
        ).toBe(true);
        expect(outcome(program, other, loaded, logs[1])).toEqual(outcome(program, one, object, logs[0]));
      },
    );
  });
});

test.each(linkers)('%s: after every move, the bytes are what a fresh link gives', (linker) => {
  for (const retain of ['relocations', 'object'] as const)
    for (const program of savedPrograms) {
      const [one, other] = [makeJit({ linker, verifyMoves: true }), makeJit({ linker, verifyMoves: true })];
      const logs: [number[], number[]] = [[], []];
      const object = one.compile(program.source, { retain, imports: program.imports?.(one, logs[0]) });
      const loaded = other.deserialize(object.serialize(), { imports: program.imports?.(other, logs[1]) });
      expect(outcome(program, other, loaded, logs[1])).toEqual(outcome(program, one, object, logs[0]));
    }
});

describe('a loaded code object', () => {
  test('has the name that is given, or one of its own, and is as often there as it is loaded', () => {
    const jit = makeJit();
    const saved = jit.compile(counter, { name: 'first' }).serialize();
    const objects = Array.from({ length: 50 }, (_, i) => jit.deserialize(saved, i === 0 ? { name: 'second' } : {}));
    expect(objects[0]!.name).toBe('second');
    expect(objects[1]!.name).toBe(`object#${objects[1]!.id}`);
    const space = jit.createSpace();
    for (const object of objects) object.place(space.allocate(object));
    for (const [i, object] of objects.entries()) for (let n = 0; n <= i; n++) object.get([...object.functions.keys()][0]!)();
    expect(new Set(objects.map((object) => object.readGlobal('count'))).size).toBe(50);
  });

  test('calls other code objects directly: it refers to them, follows their moves, and they can be redirected', () => {
    const jit = makeJit();
    const space = jit.createSpace();
    const callee = jit.load(multiplying('g', 3));
    const saved = jit.compile(calling('f', 'g', 1), { imports: { g: callee.get('g') } }).serialize();
    const object = jit.deserialize(saved, { imports: { g: callee.get('g') } });
    expectSame(object.references, [callee]);
    expect(errorOf(() => callee.free())).toBeInstanceOf(StateError);
    object.place(space.allocate(object));
    callee.relocate(space.allocate(callee));
    expect(object.get('f')(5)).toBe(16);
    jit.redirect(callee.get('g'), jit.load(multiplying('h', 5)).get('h'));
    expect(object.get('f')(5)).toBe(26);
  });

  test('follows the moves of each of several that it calls', () => {
    const jit = makeJit();
    const core = coreOf(jit)!;
    const { native } = core;
    const space = jit.createSpace();
    const names = ['g', 'h', 'i'];
    const callees = names.map((name, n) => jit.load(multiplying(name, n + 2)));
    const imports = Object.fromEntries(names.map((name, n) => [name, callees[n]!.get(name)]));
    const source = `${names.map((name) => `declare i32 @${name}(i32)`).join('\n')}
define i32 @f(i32 %x) {
  %a = call i32 @g(i32 %x)
  %b = call i32 @h(i32 %a)
  %c = call i32 @i(i32 %b)
  ret i32 %c
}`;
    const object = jit.deserialize(jit.compile(source, { imports }).serialize(), { imports });
    object.place(space.allocate(object));
    for (const moved of [...callees, object, ...callees]) {
      const [left] = native.describe(CodeRecord.handleIn(core, moved, 'move')).offsets;
      moved.relocate({ space, code: space.allocate(moved).code });
      native.poison(left, left + moved.sizes.code); // else what was left behind would run as well
      expect(object.get('f')(5)).toBe(5 * 2 * 3 * 4);
    }
  });

  test('is what it was when its callee has moved or been redirected before it was saved', () => {
    const jit = makeJit();
    const space = jit.createSpace();
    const callee = jit.load(multiplying('g', 3));
    const object = jit.compile(calling('f', 'g', 1), { imports: { g: callee.get('g') } });
    const saved = object.serialize();
    callee.relocate(space.allocate(callee));
    expect(object.serialize().equals(saved)).toBe(true);
    jit.redirect(callee.get('g'), jit.load(multiplying('h', 5)).get('h'));
    expect(object.serialize().equals(saved)).toBe(true);
    const loaded = jit.deserialize(saved, { imports: { g: callee.get('g') } });
    expect(loaded.place(space.allocate(loaded)).get('f')(5)).toBe(26);
  });

  test('resolves names as a compile does: imports, definitions, the process', () => {
    const jit = makeJit();
    const saved = jit.compile(calling('f', 'toupper', 0)).serialize();
    const run = (imports: CompileOptions['imports']): unknown => {
      const object = jit.deserialize(saved, { imports });
      const space = jit.createSpace({ codeBytes: 65536, constantBytes: 65536, dataBytes: 65536 });
      const result = object.place(space.allocate(object)).get('f')(97);
      object.free();
      return result;
    };
    expect(run({})).toBe(65);
    expect(run({ toupper: i32Host((x) => x + 1) })).toBe(98);
    expect(run({ toupper: jit.load(multiplying('g', 2)).get('g') })).toBe(194);
    jit.define(
      'toupper',
      i32Host(() => 7),
    );
    expect(run({})).toBe(7);
  });

  test('is loaded in a worker and in another process', async () => {
    const jit = makeJit();
    const saved = jit.compile(jumpTable, { moves: 'all' }).serialize();
    const file = join(directory, 'dispatch');
    writeFileSync(file, saved);
    const run = `const jit = new nomad.Jit();
      const object = jit.deserialize(bytes);
      const space = jit.createSpace();
      object.place(space.allocate(object));
      const dispatch = object.get('dispatch');
      const results = [];
      for (let i = 0; i < 10; i++) { object.relocate(space.allocate(object)); results.push(dispatch(i, 1000)); }`;
    const dispatch = jit.load(jumpTable).get('dispatch');
    const expected = Array.from({ length: 10 }, (_, i) => dispatch(i, 1000));
    const script = `const bytes = require('node:fs').readFileSync(${JSON.stringify(file)}); ${run}`;
    expect(await childResult(`${script} console.log(JSON.stringify(results))`)).toEqual(expected);
    const worker = new Worker(`${prelude}${script} require('node:worker_threads').parentPort.postMessage(results);`, {
      eval: true,
    });
    expect(await new Promise((resolve, reject) => worker.on('message', resolve).on('error', reject))).toEqual(expected);
  });
});

test('bytes in shared memory, and at an odd address', () => {
  const jit = makeJit();
  const saved = jit.compile(add).serialize();
  for (const memory of [new SharedArrayBuffer(saved.length + 1), new ArrayBuffer(saved.length + 1)]) {
    const bytes = new Uint8Array(memory, 1);
    bytes.set(saved);
    const object = jit.deserialize(bytes);
    bytes.fill(0);
    expect(object.serialize().equals(saved)).toBe(true);
  }
});

describe('what can not be saved or loaded', () => {
  test('a placed or freed code object; in a disposed Jit', () => {
    const jit = new Jit();
    const object = jit.load(add);
    const saved = jit.compile(add).serialize();
    expect(errorOf(() => object.serialize())).toMatchObject({
      constructor: StateError,
      message: expect.stringMatching(/placed/),
    });
    object.free();
    expect(errorOf(() => object.serialize())).toBeInstanceOf(StateError);
    jit.dispose();
    expect(errorOf(() => jit.deserialize(saved))).toBeInstanceOf(StateError);
  });

  test('bad arguments', () => {
    const jit = makeJit();
    const saved = jit.compile(add).serialize();
    for (const bad of [undefined, 'text', {}, saved.buffer, 7])
      expect(errorOf(() => jit.deserialize(bad as never))).toBeInstanceOf(TypeError);
    expect(errorOf(() => jit.deserialize(saved, { name: 5 as never }))).toBeInstanceOf(TypeError);
    expect(errorOf(() => jit.deserialize(saved, { imports: { f: {} as never } }))).toBeInstanceOf(TypeError);
    expectWorking(jit);
  });

  test('imports that are missing: all their names; of another type; out of reach', () => {
    const jit = makeJit();
    const source = `declare i32 @one(i32) declare i32 @two(i32)
      define i32 @f(i32 %x) { %a = call i32 @one(i32 %x) %b = call i32 @two(i32 %a) ret i32 %b }`;
    const g = jit.load(multiplying('g', 3)).get('g');
    const saved = jit.compile(source, { imports: { one: g, two: g } }).serialize();
    const missing = errorOf(() => jit.deserialize(saved));
    expect([missing.constructor, missing.symbols]).toEqual([UnresolvedSymbolError, ['one', 'two']]);
    const other = jit.load('define void @v() { ret void }').get('v');
    expect(errorOf(() => jit.deserialize(saved, { imports: { one: g, two: other } }))).toBeInstanceOf(SignatureError);
    const before = jit.stats();
    const far = errorOf(() => jit.deserialize(saved, { imports: { one: g, two: 0x1234n } }));
    expect([far.constructor, far.message]).toEqual([UnsupportedError, expect.stringMatching(/'two'.*directly/)]);
    expect(jit.stats().entryStubs).toBe(before.entryStubs);
  });

  test('an object file that another linker would lay out in another way; without it the linker does not matter', () => {
    const [one, other] = [makeJit({ linker: 'jitlink' }), makeJit({ linker: 'runtimedyld' })];
    const saved = one.compile(jumpTable, { retain: 'object' }).serialize();
    expect(errorOf(() => other.deserialize(saved))).toBeInstanceOf(UnsupportedError);
    const program = savedPrograms[0]!;
    const logs: [number[], number[]] = [[], []];
    const object = one.compile(program.source, { imports: program.imports?.(one, logs[0]) });
    const loaded = other.deserialize(object.serialize(), { imports: program.imports?.(other, logs[1]) });
    expect(outcome(program, other, loaded, logs[1])).toEqual(outcome(program, one, object, logs[0]));
  });

  test('one that is too large for the arena', () => {
    const saved = makeJit().compile('@x = global [3000000 x i8] zeroinitializer').serialize();
    expect(saved.length).toBeLessThan(1000);
    const jit = makeJit({ arenaBytes: 2 ** 20 });
    const error = errorOf(() => jit.deserialize(saved));
    expect([error.constructor, error.message]).toEqual([LinkError, expect.stringMatching(/3000000 bytes of data/)]);
    expectWorking(jit);
  });
});

describe('damage', () => {
  const damaged = (jit: Jit, bytes: Uint8Array): string => {
    const error = errorOf(() => jit.deserialize(bytes));
    expect([LinkError, UnsupportedError]).toContain(error.constructor);
    return error.message;
  };

  test('says what is wrong', () => {
    const jit = makeJit();
    const saved = jit.compile(threeSegments).serialize();
    const changed = (offset: number): Buffer => {
      const copy = Buffer.from(saved);
      copy[offset]! ^= 0x40;
      return copy;
    };
    expect(damaged(jit, Buffer.alloc(0))).toMatch(/too few/);
    expect(damaged(jit, changed(0))).toMatch(/'NOMJ'/);
    expect(damaged(jit, changed(4))).toMatch(/format/);
    expect(damaged(jit, changed(saved.length - 1))).toMatch(/checksum/);
    expect(damaged(jit, Buffer.concat([saved, saved]))).toMatch(/bytes, but says/);
  });

  test('every bit, and every length', () => {
    const jit = makeJit();
    const saved = jit.compile(add).serialize();
    for (let length = 0; length < saved.length; length++) damaged(jit, saved.subarray(0, length));
    for (let bit = 0; bit < saved.length * 8; bit++) {
      const copy = Buffer.from(saved);
      copy[bit >> 3]! ^= 1 << (bit & 7);
      damaged(jit, copy);
    }
    expectWorking(jit);
  });

  test(`at random (seed ${seed})`, () => {
    const jit = makeJit();
    const { source, imports } = savedPrograms[0]!;
    const saved = jit.compile(source, { imports: imports?.(jit, []) }).serialize();
    const random = randomIntegers();
    for (let i = 0; i < 3000; i++) {
      const copy = Buffer.from(saved);
      const [from, length] = [random(copy.length), 1 + random(40)];
      for (let at = from; at < Math.min(from + length, copy.length); at++) copy[at] = random(256);
      if (!copy.equals(saved)) damaged(jit, copy);
    }
    expectWorking(jit);
  });
});

test('nothing of where it was is in the bytes: another process saves the same', async () => {
  const options: CompileOptions = { moves: 'code' };
  const source = savedPrograms[0]!.source.replace(/@helper\b/g, '@abs').replace(/@host\b/g, '@tolower'); // of libc
  for (const linker of ['jitlink', 'runtimedyld'] as const) {
    const jitOptions: JitOptions = { linker };
    const saved = makeJit(jitOptions).compile(source, options).serialize();
    const script = `const object = new nomad.Jit(${JSON.stringify(jitOptions)}).compile(${JSON.stringify(source)}, ${JSON.stringify(options)});
      console.log(JSON.stringify(object.serialize().toString('base64')));`;
    expect(await childResult(script)).toBe(saved.toString('base64'));
  }
});

test.each(['deserialize', 'thaw'] as const)(
  '%s: bytes that another thread could change are copied before they are checked',
  (what) => {
    const jit = makeJit();
    const object = what === 'thaw' ? jit.load(add) : jit.compile(add);
    const saved = what === 'thaw' ? object.freeze() : object.serialize();
    const shared = new Uint8Array(new SharedArrayBuffer(saved.length));
    shared.set(saved);
    const read = jest.spyOn(nativeOf(jit), what);
    if (what === 'thaw') object.thaw(shared);
    else jit.deserialize(shared);
    const bytes = read.mock.calls[0]!.find((value) => value instanceof Uint8Array);
    expect(types.isSharedArrayBuffer(bytes!.buffer)).toBe(false);
  },
);
