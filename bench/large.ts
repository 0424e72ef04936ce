/**
 * SQLite as one code object: what moving it costs beside memcpy, and what is kept for moving it beside its object file.
 *
 * In: the amalgamation in the npm package better-sqlite3, and clang. Out: milliseconds, per cent. Always true: the code object is at least 1 MB,
 * and its functions compute the same after the moves.
 */
import { existsSync, readFileSync, renameSync, statSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { Jit, type CodeObject, type CodeSpace, type Placement } from 'nomad-jit';
import { collectGarbage, interleave, nanoseconds, requireEqual, Sample, type Contender } from './measure';
import { cache, loadNapiPeer, root, run } from './peers';
import type { Row } from './report';

const modes = ['all', 'code'] as const;
type Mode = (typeof modes)[number];

const ratioReach = { all: 1.25, code: 1.5 };
const byteReach = { all: 0.5, code: 2 };
const leastBytes = 1_000_000;

/** Makes `file` in the cache with a command that takes a file name to write to. */
function cached(file: string, args: (out: string) => readonly string[]): string {
  const path = join(cache, file);
  if (existsSync(path)) return path;
  const unfinished = `${path}.${process.pid}`;
  console.error(`bench   clang: ${file} (half a minute)`);
  run('clang-22', args(unfinished));
  renameSync(unfinished, path);
  return path;
}

/** Bitcode of SQLite, and the object file that clang makes of it. */
export function sqlite(): { bitcode: string; objectFile: string } {
  const source = join(dirname(require.resolve('better-sqlite3/package.json', { paths: [root] })), 'deps/sqlite3/sqlite3.c');
  const bitcode = cached('sqlite3.bc', (out) => ['-O2', '-w', '-emit-llvm', '-c', source, '-o', out]);
  const objectFile = cached('sqlite3.o', (out) => ['-O2', '-fPIC', '-c', '-x', 'ir', bitcode, '-o', out]);
  return { bitcode, objectFile };
}

interface Large {
  readonly jit: Jit;
  readonly objects: Readonly<Record<Mode, CodeObject>>;
  readonly objectFileBytes: number;
}

let compiled: Promise<Large> | undefined;

/** Compiled once for both figures. */
async function large(): Promise<Large> {
  const { bitcode, objectFile } = sqlite();
  const jit = new Jit();
  const source = readFileSync(bitcode);
  const [all, code] = await Promise.all(modes.map((moves) => jit.compileAsync(source, { name: `sqlite ${moves}`, moves })));
  return { jit, objects: { all: all!, code: code! }, objectFileBytes: statSync(objectFile).size };
}

function imageBytes({ sizes }: CodeObject): number {
  return sizes.code + sizes.constants + sizes.data;
}

interface Places {
  readonly first: Placement;
  /** To move between: with `moves: 'code'` nothing but the code, which is at the first of them at first. */
  readonly both: readonly [Placement, Placement];
}

function placesFor(space: CodeSpace, object: CodeObject): Places {
  const first = space.allocate(object);
  const beyond = (offset: number, bytes: number): number => offset + Math.ceil(bytes / 65536) * 65536;
  const code = beyond(first.code, object.sizes.code);
  if (object.moves === 'code')
    return {
      first,
      both: [
        { space, code: first.code },
        { space, code },
      ],
    };
  return { first, both: [first, { space, code, data: beyond(first.data ?? 0, object.sizes.data) }] };
}

/** SQLite functions that keep no state. */
export function requireResults(object: CodeObject): void {
  const complete = object.get<(sql: Uint8Array) => number>('sqlite3_complete');
  const like = object.get<(pattern: Uint8Array, text: Uint8Array, escape: number) => number>('sqlite3_strlike');
  const text = (value: string): Uint8Array => Buffer.from(`${value}\0`);
  requireEqual(`${object.name}: sqlite3_complete`, complete(text('create trigger t begin select 1;')), 0);
  requireEqual(`${object.name}: sqlite3_complete`, complete(text("select ';' from t;")), 1);
  requireEqual(`${object.name}: sqlite3_strlike`, like(text('%lo_w%'), text('Hello World'), 0), 0);
  requireEqual(`${object.name}: sqlite3_strlike`, like(text('%low%'), text('Hello World'), 0), 2);
}

/** Moves there and back; microseconds a move. */
function mover(object: CodeObject, places: readonly [Placement, Placement]): Contender {
  let half = 0;
  return () => {
    half = 1 - half;
    return nanoseconds(() => object.relocate(places[half]!)) / 1000;
  };
}

/** Copies there and back with what JS has. */
function copier(bytes: number): Contender {
  let [from, to] = [new Uint8Array(bytes).fill(1), new Uint8Array(bytes).fill(2)];
  return () => {
    [from, to] = [to, from];
    return nanoseconds(() => to.set(from)) / 1000;
  };
}

async function relocateOne(jit: Jit, mode: Mode, object: CodeObject): Promise<Row[]> {
  const size = 8 * 2 ** 20;
  const space = jit.createSpace({ codeBytes: size, constantBytes: size, dataBytes: size });
  const { first, both } = placesFor(space, object);
  object.place(first);
  requireResults(object);
  const { bytes, relocations } = jit.relocate([[object, both[1]]]);
  if (bytes < leastBytes) throw new Error(`${object.name}: only ${bytes} bytes move`);
  requireResults(object);
  object.relocate(both[0]);
  const napi = loadNapiPeer();
  collectGarbage();
  const { ours, set, memcpy } = await interleave(
    { ours: mover(object, both), set: copier(bytes), memcpy: () => nanoseconds(() => napi.copy(bytes)) / 1000 },
    { rounds: 201, warmUp: 20 },
  );
  requireResults(object);
  return [
    {
      figure: `relocate ${(bytes / 1e6).toFixed(2)} MB of code, moves: '${mode}'`,
      ...{ unit: 'us', ours, peer: { name: 'Uint8Array set', sample: set } },
      reach: { of: 'ratio', most: ratioReach[mode] },
      note: `${relocations} relocations applied, ${(bytes / ours.median / 1000).toFixed(1)} GB/s`,
    },
    { figure: '  the same beside C++', unit: 'us', ours, peer: { name: 'memcpy', sample: memcpy } },
  ];
}

export async function relocateLarge(): Promise<Row[]> {
  const { jit, objects } = await (compiled ??= large());
  return [...(await relocateOne(jit, 'all', objects.all)), ...(await relocateOne(jit, 'code', objects.code))];
}

export async function relocationBytes(): Promise<Row[]> {
  const { objects, objectFileBytes } = await (compiled ??= large());
  return modes.map((mode) => {
    const object = objects[mode];
    const image = imageBytes(object);
    return {
      figure: `relocation bytes of ${(image / 1e6).toFixed(2)} MB of code, moves: '${mode}'`,
      unit: '% of image',
      ours: Sample.exactly((100 * object.relocationBytes) / image),
      peer: { name: 'object file', sample: Sample.exactly((100 * objectFileBytes) / image) },
      reach: { of: 'ours', most: byteReach[mode] },
      note: `${object.relocationBytes} bytes for ${object.relocationCount} relocations; object file ${objectFileBytes} bytes`,
    };
  });
}
