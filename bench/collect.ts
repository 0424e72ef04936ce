/**
 * Collections of code: their time, and the memory and space that is left.
 *
 * In: nothing. Out: rows. Always true: Chez Scheme collects as many compiled procedures in the same rounds; its time has finding out what lives in
 * it. Ours has it where the row says so: V8's full collection is of all that the process has in JS.
 */
import { join } from 'node:path';
import { CopyingCollector, FreeListAllocator, hostFunction, Jit, type CodeObject } from 'nomad-jit';
import { ChezPeer } from './chez';
import type { CollectAnswer } from './collect-child';
import { collectGarbage, interleave, nanoseconds, requireEqual, Sample } from './measure';
import { root, run } from './peers';
import type { Row } from './report';
import { resultOf, sourceOf } from './tiny';

const count = 10_000;
const childCount = 100_000;
const churnCount = 2000;
const frames = 100;
/** V8 has found out before what is dead. */
const known = { kind: 'major', findGarbage: false } as const;

function compileAt(collector: CopyingCollector, objects: CodeObject[], number: number): void {
  objects[number] = collector.compile(sourceOf(number), { optLevel: 0 });
}

function requireMoved(what: string, actual: number): void {
  requireEqual(`${what} moved`, actual, count);
}

/** Lets finalizers run: the collector hears of what V8 has found dead. */
async function settle(): Promise<void> {
  for (let i = 0; i < 4; i++) {
    collectGarbage();
    await new Promise((resolve) => setImmediate(resolve));
  }
}

async function majors(): Promise<Row[]> {
  using jit = new Jit();
  const collector = new CopyingCollector(jit, { nurseryBytes: 4 * 2 ** 20, promoteAfter: 1 });
  const objects: CodeObject[] = [];
  for (let i = 0; i < count; i++) compileAt(collector, objects, i);
  const chez = new ChezPeer(count);
  requireEqual('chez', await chez.ask('check'), resultOf(97));
  const contenders = {
    asked: () => nanoseconds(() => requireMoved('major', collector.collect('major').moved)) / 1e6,
    ours: () => nanoseconds(() => requireMoved('major', collector.collect(known).moved)) / 1e6,
    chez: async () => (await chez.ask('all')) / 1e6,
  };
  const all = await interleave(contenders, { rounds: 41, warmUp: 10 });
  const half = await interleave(
    {
      ours: async () => {
        for (let i = 1; i < count; i += 2) objects[i] = undefined as unknown as CodeObject;
        await settle();
        let report = { moved: 0, freed: 0 };
        const time = nanoseconds(() => (report = collector.collect(known)));
        requireEqual('freed', [report.moved, report.freed].join(), [count / 2, count / 2].join());
        for (let i = 1; i < count; i += 2) compileAt(collector, objects, i);
        collector.collect('major');
        return time / 1e6;
      },
      chez: async () => (await chez.ask('half')) / 1e6,
    },
    { rounds: 21, warmUp: 10 },
  );
  await chez.stop();
  for (let i = 0; i < count; i += 97) requireEqual(`f${i}`, objects[i]!.get(`f${i}`)(3, 4), resultOf(i));
  collector.dispose();
  const reach = { of: 'ratio', most: 1 } as const;
  const peer = (sample: Sample): NonNullable<Row['peer']> => ({ name: 'Chez (collect 3 3)', sample });
  return [
    {
      figure: "full collection, 10,000 live compiled functions, all moved, with V8's own",
      ...{ unit: 'ms', ours: all.asked, peer: peer(all.chez) },
    },
    { figure: "  the same without V8's, which has been", ...{ unit: 'ms', ours: all.ours, peer: peer(all.chez), reach } },
    { figure: '  the same, every second one dead', unit: 'ms', ours: half.ours, peer: peer(half.chez), reach },
  ];
}

async function inChild(): Promise<Row[]> {
  const output = run(process.execPath, [
    '--expose-gc',
    '--import',
    'tsx',
    join(root, 'bench/collect-child.ts'),
    String(childCount),
  ]);
  const { minorMicroseconds, bytes, parts } = JSON.parse(output) as CollectAnswer;
  const chez = new ChezPeer(count);
  const chezBytes = Sample.exactly(await chez.ask('bytes'));
  await chez.stop();
  return [
    {
      figure: "minor collection, 100 live in the nursery, 100,000 in the old generation, without V8's",
      ...{ unit: 'us', ours: new Sample(minorMicroseconds), reach: { of: 'ours', most: 200 } },
    },
    {
      figure: 'resident bytes per compiled function after a major collection, 100,000 of them',
      ...{ unit: 'B', ours: Sample.exactly(bytes), peer: { name: 'Chez bytes-allocated', sample: chezBytes } },
      ...{ reach: { of: 'ratio', most: 1 }, note: parts },
    },
  ];
}

/** Sizes from one granule of difference to many. */
function churnSource(number: number): string {
  const adds = Array.from({ length: 1 + ((number * 7919) % 60) }, (_, i) => `  %x${i + 1} = mul i32 %x${i}, ${number + i}\n`);
  return `define i32 @f(i32 %x0) {\n${adds.join('')}  ret i32 %x${adds.length}\n}\n`;
}

/** Random deaths and births; the space that what lives spreads over, by its bytes. */
function churn(): Row[] {
  using jit = new Jit();
  const collector = new CopyingCollector(jit, { promoteAfter: 1 });
  const list = new FreeListAllocator(2 ** 24);
  const live: Array<{ object: CodeObject; offset: number }> = [];
  let state = 1;
  for (let i = 0; i < 3 * churnCount; i++) {
    state = (Math.imul(state, 1103515245) + 12345) >>> 0;
    if (live.length === churnCount) {
      const [{ object, offset }] = live.splice(Math.floor((state / 2 ** 32) * churnCount), 1) as [(typeof live)[0]];
      list.release(offset, object.sizes.code);
      object.free();
    }
    const object = collector.compile(churnSource(i), { optLevel: 0 });
    live.push({ object, offset: list.allocate(object.sizes.code, 16)! });
  }
  collector.collect('major');
  const bytes = live.reduce((sum, { object }) => sum + object.sizes.code, 0);
  const limits = live.map(({ object }) => Number(object.addressOf('f')) + object.sizes.code);
  const bases = live.map(({ object }) => Number(object.addressOf('f')));
  const listLimit = Math.max(...live.map(({ object, offset }) => offset + object.sizes.code));
  const ours = Sample.exactly((Math.max(...limits) - Math.min(...bases)) / bytes);
  collector.dispose();
  return [
    {
      figure: 'code space after random churn and a major collection, by live bytes',
      ...{ unit: 'x', ours, peer: { name: 'free list alone', sample: Sample.exactly(listLimit / bytes) } },
      reach: { of: 'ours', most: 1.05 },
    },
  ];
}

/** A scan is all that a collection of an empty nursery does, but for its report. */
function stackScan(): Row[] {
  using jit = new Jit();
  const collector = new CopyingCollector(jit);
  const times: number[] = [];
  const scan = hostFunction(
    'void ()',
    () => void times.push(nanoseconds(() => collector.collect({ kind: 'minor', findGarbage: false })) / 1000),
  );
  const source = `declare void @scan()
define i32 @f(i32 %x) noinline {
  %last = icmp eq i32 %x, 0
  br i1 %last, label %end, label %more
end:
  call void @scan()
  ret i32 0
more:
  %less = sub i32 %x, 1
  %y = call i32 @f(i32 %less)
  %z = add i32 %y, 1
  ret i32 %z
}`;
  const f = jit.load(source, { imports: { scan }, optLevel: 0 }).get('f');
  for (let i = 0; i < 500; i++) requireEqual('f', f(frames - 1), frames - 1);
  return [
    {
      figure: 'stack scan at 100 frames, as a minor collection of nothing',
      unit: 'us',
      ours: new Sample(times.slice(100)),
      reach: { of: 'ours', most: 20 },
    },
  ];
}

export async function collect(): Promise<Row[]> {
  return [...(await majors()), ...(await inChild()), ...churn(), ...stackScan()];
}
