/**
 * Loading from the compile cache beside compiling, at O2: SQLite as one code object, and one tiny function.
 *
 * In: the bitcode that large.ts makes. Out: microseconds. Always true: both are `jit.compile` of the same source with the same options, in Jits that
 * differ by nothing but their cache, which has been filled before; loaded code computes what compiled code does.
 */
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Jit, type CodeObject } from 'nomad-jit';
import { requireResults, sqlite } from './large';
import { collectGarbage, interleave, nanoseconds, requireEqual } from './measure';
import type { Row } from './report';
import { resultOf, sourceOf } from './tiny';

const mostOfLarge = 1 / 100;
const mostOfTiny = 1 / 10;
const perRound = 200;

/** Compiles each source once, and frees what comes of it; microseconds a source. */
function compiling(jit: Jit, sources: ReadonlyArray<string | Uint8Array>): () => number {
  return () => {
    const objects: CodeObject[] = [];
    const cost = nanoseconds(() => {
      for (const source of sources) objects.push(jit.compile(source));
    });
    for (const object of objects) object.free();
    return cost / sources.length / 1000;
  };
}

function place(jit: Jit, source: string | Uint8Array): CodeObject {
  const size = 8 * 2 ** 20;
  const space = jit.createSpace({ codeBytes: size, constantBytes: size, dataBytes: size });
  const object = jit.compile(source);
  return object.place(space.allocate(object));
}

async function beside(
  directory: string,
  figure: string,
  sources: ReadonlyArray<string | Uint8Array>,
  reach: number,
): Promise<Row> {
  const isLarge = sources.length === 1;
  using plain = new Jit();
  using cached = new Jit({ cache: directory });
  compiling(cached, sources)();
  const object = place(cached, sources[0]!);
  if (isLarge) requireResults(object);
  else requireEqual('f0(3, 4)', object.get('f0')(3, 4), resultOf(0));
  collectGarbage();
  const rounds = isLarge ? { rounds: 3, warmUp: 0 } : { rounds: 15, warmUp: 4 };
  const { ours, compile } = await interleave({ ours: compiling(cached, sources), compile: compiling(plain, sources) }, rounds);
  requireEqual('misses', cached.stats().cache?.misses, sources.length);
  const { code, constants, data } = object.sizes;
  return {
    ...{ figure, unit: 'us', ours, peer: { name: 'compile', sample: compile }, reach: { of: 'ratio', most: reach } },
    note: `${code + constants + data} bytes; compiling takes ${(compile.median / ours.median).toFixed(0)} times as long`,
  };
}

export async function cache(): Promise<Row[]> {
  const directory = mkdtempSync(join(tmpdir(), 'nomad-bench-cache-'));
  try {
    const tiny = Array.from({ length: perRound }, (_, i) => sourceOf(i));
    return [
      await beside(directory, 'load SQLite from the compile cache, O2', [readFileSync(sqlite().bitcode)], mostOfLarge),
      await beside(directory, 'load one tiny function from the compile cache, O2', tiny, mostOfTiny),
    ];
  } finally {
    rmSync(directory, { recursive: true });
  }
}
