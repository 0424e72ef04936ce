/**
 * Programs and collectors for tests of tiers.
 */
import { CopyingCollector, type CodeObject, type Jit, type Tiered } from 'nomad-jit';
import type { Collected } from './collectors';
import { makeJit } from './jits';

/** `i32 name(i32 x)`: x * factor, by way of memory, as a front end writes it: long at O0, short at O2. */
export function roundabout(name: string, factor: number): string {
  return `define i32 @${name}(i32 %x) {
  %a = alloca i32
  store i32 %x, ptr %a
  %b = load i32, ptr %a
  %c = mul i32 %b, ${factor}
  store i32 %c, ptr %a
  %d = load i32, ptr %a
  ret i32 %d
}`;
}

export type Unary = (x: number) => number;

/** A Jit and a collector that recompiles only what it is told to, or what is promoted. */
export function makeTiered(
  options: ConstructorParameters<typeof CopyingCollector>[1] = {},
  compileThreads = 2,
): Collected & { events: Tiered[] } {
  const jit = makeJit({ compileThreads });
  const collector = new CopyingCollector(jit, { tier: true, ...options });
  const events: Tiered[] = [];
  collector.on('tiered', (event) => events.push(event));
  return { jit, collector, events };
}

/** Sizes of `source` at a level. */
export function sizesAt(optLevel: 0 | 2, source: string): CodeObject['sizes'] {
  return makeJit().compile(source, { optLevel }).sizes;
}

export function liveIn(jit: Jit): number {
  return jit.stats().objects.live;
}
