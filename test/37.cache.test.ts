/**
 * The compile cache. Oracle: what a Jit without one does, and the files.
 */
import { execFileSync } from 'node:child_process';
import {
  chmodSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  symlinkSync,
  truncateSync,
  utimesSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import {
  IRParseError,
  SignatureError,
  UnresolvedSymbolError,
  type CodeObject,
  type CompileOptions,
  type Jit,
  type JitOptions,
} from 'nomad-jit';
import { childResult } from './support/child';
import { i32Host } from './support/hosts';
import { errorOf, expectWorking, makeJit, rejectionOf } from './support/jits';
import { add, calling, jumpTable, mix, mixModel, multiplying, returning, threeSegments } from './support/programs';
import { savedPrograms } from './support/saved-programs';

let directory: string;
beforeEach(() => (directory = mkdtempSync(join(tmpdir(), 'nomad-cache-'))));
afterEach(() => rmSync(directory, { recursive: true }));

const entries = (): string[] => readdirSync(directory).filter((name) => /^llvmcache-[0-9a-f]+$/.test(name));
const cached = (options?: JitOptions): Jit => makeJit({ cache: directory, verifyMoves: false, ...options });

/** What compiling `source` in a fresh Jit adds to its statistics. */
function compileOnce(source: string | Uint8Array, options?: CompileOptions, jitOptions?: JitOptions): unknown {
  const jit = cached(jitOptions);
  jit.compile(source, options);
  return jit.stats().cache;
}

const hit = { hits: 1, misses: 0 };
const miss = { hits: 0, misses: 1 };

describe('hits', () => {
  test('what has been compiled once is loaded by every later Jit, and does the same', () => {
    for (const program of savedPrograms) {
      const [first, second] = [cached(), cached()];
      const results = [first, second].map((jit) => {
        const log: number[] = [];
        const object = jit.load(program.source, { imports: program.imports?.(jit, log) });
        return [program.run(object, () => undefined), log];
      });
      expect(results[1]).toEqual(results[0]);
      expect(second.stats().cache!.misses).toBe(0);
    }
  });

  test('in the same Jit, by compile, compileAsync and load; without a cache there are no counts', async () => {
    const jit = cached();
    const space = jit.createSpace();
    const objects = [
      jit.compile(mix),
      jit.compile(mix),
      await jit.compileAsync(mix),
      await jit.compileAsync(add),
      jit.compile(add),
    ];
    expect(jit.stats().cache).toEqual({ hits: 3, misses: 2 });
    for (const object of objects.slice(0, 3)) expect(object.place(space.allocate(object)).get('mix')(5)).toBe(mixModel(5));
    expect(jit.load(add, { name: 'named' }).name).toBe('named');
    expect(jit.stats().cache).toEqual({ hits: 4, misses: 2 });
    expect(makeJit().stats().cache).toBeUndefined();
  });

  test('text, bytes of text and names make no difference', () => {
    expect(compileOnce(add, { name: 'one' })).toEqual(miss);
    expect(compileOnce(Buffer.from(add), { name: 'two' })).toEqual(hit);
  });

  test('imports are looked up each time, and their types checked', () => {
    const source = calling('f', 'g', 1);
    for (const factor of [2, 3]) {
      const jit = cached();
      const object = jit.load(source, { imports: { g: jit.load(multiplying('g', factor)).get('g') } });
      expect(object.get('f')(10)).toBe(10 * factor + 1);
      const wrong = jit.load('define void @v() { ret void }').get('v');
      expect(errorOf(() => jit.compile(source, { imports: { g: wrong } }))).toBeInstanceOf(SignatureError);
      expect(errorOf(() => jit.compile(source))).toBeInstanceOf(UnresolvedSymbolError);
    }
  });

  test('an import that is a function now and an address then, and the other way round', () => {
    const source = calling('f', 'g', 1);
    const run = (make: (jit: Jit) => bigint | ReturnType<CodeObject['get']>, isDefined: boolean): unknown => {
      const jit = cached();
      const g = make(jit);
      if (isDefined) jit.define('g', g);
      return jit.load(source, isDefined ? {} : { imports: { g } }).get('f')(10);
    };
    const outside = makeJit().load(multiplying('g', 7)).get('g').entry;
    for (let round = 0; round < 2; round++)
      for (const isDefined of [false, true]) {
        expect(run((jit) => jit.load(multiplying('g', 2)).get('g'), isDefined)).toBe(21);
        expect(run(() => outside, isDefined)).toBe(71);
      }
  });
});

describe('keys', () => {
  const variants: Array<[string, CompileOptions, JitOptions]> = [
    ['optLevel', { optLevel: 1 }, {}],
    ['the optLevel of the Jit', {}, { optLevel: 0 }],
    ['moves', { moves: 'all' }, {}],
    ['retain', { retain: 'none' }, {}],
    ['retain', { retain: 'object' }, {}],
    ['linker', {}, { linker: 'runtimedyld' }],
    ['verifyMoves', {}, { verifyMoves: true }],
  ];
  test.each(variants)('differ by %s', (_, options, jitOptions) => {
    expect(compileOnce(threeSegments)).toEqual(miss);
    expect(compileOnce(threeSegments, options, jitOptions)).toEqual(miss);
    expect(compileOnce(threeSegments, options, jitOptions)).toEqual(hit);
    expect(compileOnce(threeSegments)).toEqual(hit);
  });

  test('differ by source', () => {
    expect(compileOnce(returning('f', 1))).toEqual(miss);
    expect(compileOnce(returning('f', 2))).toEqual(miss);
  });
});

test('what does not compile is no entry, and the same error each time', () => {
  const jit = cached();
  for (let i = 0; i < 2; i++) expect(errorOf(() => jit.compile('define'))).toBeInstanceOf(IRParseError);
  expect(entries()).toEqual([]);
});

describe('a cache that is not as it should be', () => {
  test('damaged files are ignored, and written again', async () => {
    expect(compileOnce(jumpTable)).toEqual(miss);
    const file = join(directory, entries()[0]!);
    const whole = readFileSync(file);
    const flipped = Buffer.from(whole);
    flipped[flipped.length >> 1]! ^= 1;
    for (const bytes of [
      Buffer.alloc(0),
      whole.subarray(0, 100),
      flipped,
      Buffer.from('something else'),
      Buffer.concat([whole, whole]),
    ]) {
      writeFileSync(file, bytes);
      expect(compileOnce(jumpTable)).toEqual(miss);
      expect(readFileSync(file).equals(whole)).toBe(true);
      expect(compileOnce(jumpTable)).toEqual(hit);
      writeFileSync(file, bytes);
      const jit = cached();
      await jit.compileAsync(jumpTable);
      expect(jit.stats().cache).toEqual(miss);
      expect(readFileSync(file).equals(whole)).toBe(true);
    }
  });

  test.each([
    ['a FIFO', (path: string) => execFileSync('mkfifo', [path])],
    ['a link to /dev/zero', (path: string) => symlinkSync('/dev/zero', path)],
    ['a link to a terminal', (path: string) => symlinkSync('/dev/ptmx', path)],
    ['a link to itself', (path: string) => symlinkSync(path, path)],
  ] as const)('%s in place of a file: it is compiled again, and nothing waits', (_, put) => {
    cached().compile(add);
    const path = join(directory, entries()[0]!);
    rmSync(path);
    put(path);
    const jit = cached();
    expect(jit.load(add).get('add')(1, 2)).toBe(3);
    expect(jit.stats().cache).toMatchObject({ hits: 0 });
  });

  test('a directory in place of a file', () => {
    compileOnce(add);
    const file = join(directory, entries()[0]!);
    rmSync(file);
    mkdirSync(file);
    const jit = cached();
    expectWorking(jit);
    expect(compileOnce(add)).toEqual(miss);
  });

  test('one that goes, and one where nobody may write', async () => {
    const gone = join(directory, 'a/b/c');
    const jit = cached({ cache: gone });
    expect(statSync(gone).isDirectory()).toBe(true);
    rmSync(join(directory, 'a'), { recursive: true });
    expectWorking(jit);
    await jit.compileAsync(add);
    expect(existsSync(gone)).toBe(false);
    chmodSync(directory, 0o500); // root may write all the same
    expectWorking(cached());
    chmodSync(directory, 0o700);
    expectWorking(makeJit({ cache: '/proc/self' }));
  });

  test('no room: the process may not write such large files', async () => {
    const script = `process.on('SIGXFSZ', () => {});
      const jit = new nomad.Jit({ cache: ${JSON.stringify(directory)} });
      require('node:child_process').execFileSync('prlimit', ['--pid', String(process.pid), '--fsize=20000:']);
      const object = jit.load('@x = constant [100000 x i8] c"' + 'x'.repeat(100000) + '" define i8 @f() { %v = load volatile i8, ptr @x ret i8 %v }');
      console.log(JSON.stringify([object.get('f')(), jit.stats().cache]));`;
    expect(await childResult(script)).toEqual([120, miss]);
    expect(readdirSync(directory).filter((name) => name.startsWith('llvmcache-'))).toEqual([]);
  });

  test('options that are none', () => {
    for (const cache of [5, true, { directory: 5 }, {}])
      expect(errorOf(() => makeJit({ cache: cache as never }))).toBeInstanceOf(TypeError);
    const file = join(directory, 'file');
    writeFileSync(file, '');
    for (const cache of ['', file, join(file, 'below'), { directory, maxBytes: 5 }, { directory, maxBytes: 1e99 }])
      expect(errorOf(() => makeJit({ cache }))).toBeInstanceOf(RangeError);
    expect(errorOf(() => makeJit({ cache: file })).message).toMatch(/cache\.directory/);
  });
});

/** A module of `bytes` of constants, another one for each number. */
function large(number: number, bytes: number): string {
  return `@x = constant [${bytes} x i8] c"${'x'.repeat(bytes)}" define i32 @f() { ret i32 ${number} }`;
}

test('stays within its bound, and what has been used last stays', () => {
  const maxBytes = 2 ** 20;
  const jit = cached({ cache: { directory, maxBytes } });
  const bytes = 50_000;
  jit.compile(large(0, bytes));
  const first = entries()[0]!;
  for (let i = 1; i < 60; i++) {
    jit.compile(large(i, bytes));
    for (const name of entries()) if (name !== first) utimesSync(join(directory, name), 1e9 + i, 1e9);
    jit.compile(large(0, bytes)); // used, and so the youngest
  }
  const total = entries().reduce((sum, name) => sum + statSync(join(directory, name)).size, 0);
  expect(total).toBeLessThan(maxBytes * 1.2);
  expect(total).toBeGreaterThan(maxBytes / 2);
  expect(jit.stats().cache).toEqual({ hits: 59, misses: 60 });
});

test('several processes at once, writing the same and cutting files short', async () => {
  const script = `const jit = new nomad.Jit({ cache: { directory: ${JSON.stringify(directory)}, maxBytes: 2 ** 20 } });
    const sources = Array.from({ length: 40 }, (_, i) => 'define i32 @f(i32 %x) { %y = mul i32 %x, ' + (i + 2) + ' ret i32 %y }');
    let wrong = 0;
    for (let round = 0; round < 5; round++)
      for (const [i, source] of sources.entries()) {
        const object = jit.load(source);
        if (object.get('f')(7) !== 7 * (i + 2)) wrong++;
        object.free();
      }
    console.log(JSON.stringify([wrong, jit.stats().cache]));`;
  const children = Array.from({ length: 4 }, () => childResult<[number, { hits: number; misses: number }]>(script));
  const state = { isDone: false };
  const all = Promise.all(children).finally(() => (state.isDone = true));
  while (!state.isDone) {
    const name = entries()[0];
    if (name !== undefined) truncateSync(join(directory, name), 10);
    await new Promise((resolve) => setTimeout(resolve, 5));
  }
  for (const [wrong, { hits, misses }] of await all) {
    expect([wrong, hits + misses]).toEqual([0, 200]);
    expect(hits).toBeGreaterThan(0);
  }
  expect(readdirSync(directory).filter((name) => /^llvmcache-.*-/.test(name))).toEqual([]);
});

test('errors of a compile that the cache answers reject as they do without one', async () => {
  cached().compile(calling('f', 'g', 1), { imports: { g: i32Host((x) => x) } });
  const jit = cached();
  const wrong = jit.load('define void @v() { ret void }').get('v');
  expect(await rejectionOf(jit.compileAsync(calling('f', 'g', 1), { imports: { g: wrong } }))).toBeInstanceOf(SignatureError);
});
