/**
 * Collectors for tests, and what must hold after every collection.
 *
 * In: a collector and the code objects that a test holds. Out: collections. Always true: after each one native records agree, no two code
 * objects overlap, and exactly as many live as the test's own model says.
 */
import {
  CopyingCollector,
  hostFunction,
  type Collection,
  type CollectorOptions,
  type CodeObject,
  type HostFunction,
  type Jit,
} from 'nomad-jit';
import { coreOf } from '../../lib/jit/parts';
import { collectGarbage, makeJit } from './jits';

/** A Jit with a collector. */
export interface Collected {
  readonly jit: Jit;
  readonly collector: CopyingCollector;
}

/** Both; small halves, so that they fill. */
export function makeCollector(options?: CollectorOptions): Collected {
  const jit = makeJit({ optLevel: 0 });
  return { jit, collector: new CopyingCollector(jit, options) };
}

/** The native half of a Jit, to watch what is asked of it. */
export function nativeOf(jit: Jit): NonNullable<ReturnType<typeof coreOf>>['native'] {
  return coreOf(jit)!.native;
}

/** Throws unless the Jit's records agree. */
export function verify(jit: Jit): void {
  nativeOf(jit).verify();
}

/** Lets what is queued be recompiled, and what that has replaced be freed. */
export async function settleTiers(collector: CopyingCollector): Promise<void> {
  do await new Promise((resolve) => setImmediate(resolve));
  while ((collector.tierStats?.compiling ?? 0) > 0);
}

/** Expects that records agree, that no code overlaps, and that what is held is alive. */
export function expectSound(jit: Jit, held: readonly CodeObject[]): void {
  verify(jit);
  const extents = held.map((object) => extentOf(object)).sort((a, b) => (a.base < b.base ? -1 : 1));
  for (const [i, { base }] of extents.entries()) if (i > 0) expect(base).toBeGreaterThanOrEqual(extents[i - 1]!.limit);
}

/** The code of an object whose first function has code. */
export function extentOf(object: CodeObject): { base: bigint; limit: bigint } {
  const [symbol] = object.functions.keys();
  const base = object.addressOf(symbol!);
  return { base, limit: base + BigInt(object.sizes.code) };
}

/** Collects, and expects what must hold: `held` and nothing else of the collector is alive, if JS garbage was collected before. */
export function collect({ jit, collector }: Collected, kind: 'minor' | 'major', held: readonly CodeObject[]): Collection {
  const report = collector.collect(kind);
  expectSound(jit, held);
  expect(report.kind).toBe(kind);
  return report;
}

/** As `collect`, of what V8 has found unreachable before; exactly `held` is alive then. */
export async function collectAll(both: Collected, kind: 'minor' | 'major', held: readonly CodeObject[]): Promise<Collection> {
  await collectGarbage();
  let report = collect(both, kind, held);
  // V8 holds what functions mention that it is compiling on another thread, for longer where the machine has other work.
  for (let i = 0; i < 20 && report.liveObjects > held.length; i++) {
    await new Promise((resolve) => setTimeout(resolve, 20));
    await collectGarbage();
    report = collect(both, kind, held);
  }
  expect([report.liveObjects, both.jit.stats().objects.live]).toEqual([held.length, held.length]);
  expect(report.liveBytes).toBe(held.reduce((sum, { sizes }) => sum + sizes.code, 0));
  return report;
}

/** Code `i32 hold(i32 x)`: keeps its own address where nobody can tell what it is, calls `wait(x)`, and returns what that does, plus 1. */
export const holding = `declare i64 @where()
declare i32 @wait(i32)
define i32 @hold(i32 %x) {
  %slot = alloca i64
  %address = call i64 @where()
  store volatile i64 %address, ptr %slot
  %y = call i32 @wait(i32 %x)
  %again = load volatile i64, ptr %slot
  %z = add i32 %y, 1
  ret i32 %z
}`;

/** Runs `whileWaiting` while a code object that holds its own address waits. */
export function compileHolding(collector: CopyingCollector, whileWaiting: (x: number, self: CodeObject) => number): CodeObject {
  const self = (): CodeObject => object;
  const imports: Record<string, HostFunction> = {
    where: hostFunction('i64 ()', () => self().addressOf('hold') + 1n),
    wait: hostFunction('i32 (i32)', (x: number) => whileWaiting(x, self())),
  };
  const object = collector.compile(holding, { imports, name: 'holding' });
  return object;
}

/** `i32 name(i32 x)`: calls the host function `wait(x)`, and returns what that does, plus 1. */
export function waiting(name: string): string {
  return `declare i32 @wait(i32)
define i32 @${name}(i32 %x) {
  %y = call i32 @wait(i32 %x)
  %z = add i32 %y, 1
  ret i32 %z
}`;
}
