/**
 * What comes from outside: workers that are terminated in the middle of any call, and caches at impossible paths.
 */
import { execFileSync } from 'node:child_process';
import { chmodSync, mkdirSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Jit } from 'nomad-jit';
import { childResult, prelude } from './support/child';
import { errorOf, expectWorking, makeJit } from './support/jits';

const loops: Array<[string, string]> = [
  ['new Jit', 'new nomad.Jit({ arenaBytes: 1 << 20, symbols: ["puts", "abs"] }).dispose();'],
  ['compile', 'jit.compile(programs.add, { optLevel: 0, imports: { f } }).free();'],
  [
    'place, relocate and free',
    'const o = jit.deserialize(saved); o.place(space.allocate(o)); o.relocate(space.allocate(o)); o.free();',
  ],
  ['collect', 'collector.adopt(jit.deserialize(saved)); collector.collect();'],
  ['stats and stackRoots', 'jit.stats(); jit.stackRoots(); object.functions; object.placement;'],
];

test.each(loops)('a worker terminated in: %s', async (_, loop) => {
  const body = `${prelude}
    const jit = new nomad.Jit({ arenaBytes: 1 << 24 }), space = jit.createSpace();
    const saved = jit.compile(programs.add).serialize();
    const object = jit.load(programs.add), f = object.get('add');
    const collector = new nomad.CopyingCollector(jit);
    require('worker_threads').parentPort.postMessage(1);
    for (;;) { ${loop} }`;
  const script = `
    const { Worker } = require('node:worker_threads');
    (async () => {
      let ended = 0;
      for (let i = 0; i < 25; i++) {
        const worker = new Worker(${JSON.stringify(body)}, { eval: true });
        await new Promise((done, fail) => { worker.once('message', done); worker.once('error', fail); });
        await new Promise((done) => setTimeout(done, i % 5));
        await worker.terminate();
        ended++;
      }
      console.log(JSON.stringify([ended, new nomad.Jit().load(programs.add).get('add')(20, 22)]));
    })();`;
  expect(await childResult(script)).toEqual([25, 42]);
});

describe('caches at impossible paths', () => {
  const base = mkdtempSync(join(tmpdir(), 'nomad-cache-'));
  afterAll(() => rmSync(base, { recursive: true, force: true }));
  writeFileSync(join(base, 'file'), '');
  symlinkSync(join(base, 'nowhere', 'at', 'all'), join(base, 'dangling'));
  symlinkSync(join(base, 'circle'), join(base, 'circle'));
  execFileSync('mkfifo', [join(base, 'fifo')]);

  test.each([
    ['where a file system takes no directories', '/proc/none'],
    ['deep in there', '/proc/none/of/this/exists'],
    ['a file', join(base, 'file')],
    ['below a file', join(base, 'file', 'below')],
    ['a link to nowhere', join(base, 'dangling')],
    ['a link to itself', join(base, 'circle')],
    ['a FIFO', join(base, 'fifo')],
    ['a device', '/dev/null'],
    ['too long', `/tmp/${'x'.repeat(5000)}`],
    ['with a null character', `/tmp/a\0b`],
    ['empty', ''],
  ])('%s: RangeError', (_, directory) => {
    const error = errorOf(() => new Jit({ cache: directory }));
    expect([error.name, error.message]).toEqual(['RangeError', expect.stringContaining('cache.directory')]);
  });

  test('one that is deep is made; one that nobody can write to caches nothing', () => {
    expectWorking(makeJit({ cache: join(base, 'a', 'b', 'c') }));
    const closed = join(base, 'closed');
    mkdirSync(closed);
    chmodSync(closed, 0o500);
    expectWorking(makeJit({ cache: closed }));
    expectWorking(makeJit({ cache: '/proc/self' }));
  });
});
