/**
 * clang's part: C to bitcode for the JIT, and C to a shared library for comparison.
 *
 * In: a program's sources. Out: paths in build-demo/. Always true: a file's name holds the hash of all that it was made from, so what is
 * there is up to date.
 */
import { execFile } from 'node:child_process';
import { createHash } from 'node:crypto';
import { existsSync, mkdirSync, readdirSync, readFileSync, renameSync } from 'node:fs';
import { availableParallelism } from 'node:os';
import { join, resolve } from 'node:path';
import { promisify } from 'node:util';
import type { Program, Source } from './program';

export const root = resolve(__dirname, '../..');

const folder = join(root, 'build-demo');
const clang = 'clang-22';
const bitcodeFlags = ['-O1', '-fPIC', '-w', '-emit-llvm', '-c'];
// Unoptimised, so that it has little in common with what it is compared with.
const nativeFlags = ['-O0', '-fPIC', '-w', '-shared', '-Wl,-Bsymbolic'];

/** Files that clang has made, and how long it took. */
export interface Built<T> {
  readonly made: T;
  readonly milliseconds: number;
  readonly cached: boolean;
}

/** One bitcode file for each source. */
export async function buildBitcode(program: Program): Promise<Built<string[]>> {
  const built = await Promise.all(program.sources.map((source) => make([source], bitcodeFlags, '.bc')));
  return {
    made: built.map(({ made }) => made),
    milliseconds: built.reduce((sum, { milliseconds }) => sum + milliseconds, 0),
    cached: built.every(({ cached }) => cached),
  };
}

/** One shared library with all sources. */
export function buildNative(program: Program): Promise<Built<string>> {
  return make(program.sources, nativeFlags, '.so');
}

async function make(sources: readonly Source[], flags: readonly string[], extension: string): Promise<Built<string>> {
  const { name } = sources.at(-1)!;
  const made = join(folder, `${name}-${hashOf(sources, flags)}${extension}`);
  if (existsSync(made)) return { made, milliseconds: 0, cached: true };
  mkdirSync(folder, { recursive: true });
  const partial = `${made}.${process.pid}`;
  const options = sources.flatMap(({ include, defines = [] }) => [...include.map((path) => `-I${path}`), ...defines]);
  const milliseconds = await inTurn(() => run([...flags, ...options, ...sources.map(({ file }) => file), '-o', partial]));
  renameSync(partial, made);
  return { made, milliseconds, cached: false };
}

async function run(values: readonly string[]): Promise<number> {
  const start = performance.now();
  await promisify(execFile)(clang, values, { cwd: root });
  return performance.now() - start;
}

function hashOf(sources: readonly Source[], flags: readonly string[]): string {
  const hash = createHash('sha256').update(flags.join(' '));
  for (const { file, include, defines = [] } of sources) {
    hash.update(defines.join(' ')).update(readFileSync(join(root, file)));
    for (const path of include.flatMap(sourcesIn)) hash.update(path).update(readFileSync(path));
  }
  return hash.digest('hex').slice(0, 16);
}

function sourcesIn(path: string): string[] {
  return readdirSync(join(root, path), { recursive: true, encoding: 'utf8' })
    .filter((name) => /\.[ch]$/.test(name))
    .sort()
    .map((name) => join(root, path, name));
}

const waiting: Array<() => void> = [];
let free = availableParallelism();

/** One clang a core at a time, first come first served. */
async function inTurn<T>(work: () => Promise<T>): Promise<T> {
  if (free > 0) free--;
  else await new Promise<void>((go) => waiting.push(go));
  try {
    return await work();
  } finally {
    const next = waiting.shift();
    if (next) next();
    else free++;
  }
}
