/**
 * Jits for tests, and what there is to see of them.
 *
 * In: options, code objects. Out: Jits that are disposed after the test, snapshots, errors. Always true: two snapshots are equal if and only if
 * a user could not tell the two moments apart (I7).
 */
import { readFileSync } from 'node:fs';
import { type CodeObject, type CodeSpace, Jit, type JitOptions, type Placement } from 'nomad-jit';
import { add } from './programs';

const made: Jit[] = [];

afterEach(() => {
  for (const jit of made.splice(0)) jit.dispose();
});

/** A Jit that is disposed after the test. */
export function makeJit(options?: JitOptions): Jit {
  const jit = new Jit(options);
  made.push(jit);
  return jit;
}

/** An error with what any error class here has besides. */
export interface Caught extends Error {
  code?: string;
  symbols?: string[];
  line?: number;
  column?: number;
  sourceLine?: string;
  requestedBytes?: number;
  largestFreeBytes?: number;
}

/** The error that `run` throws; fails the test if it throws none. */
export function errorOf(run: () => unknown): Caught {
  try {
    run();
  } catch (error) {
    return error as Error;
  }
  throw new Error('expected an error, but nothing was thrown');
}

/** 'moved', or the class of the error that `relocate` throws. */
export function outcomeOf(relocate: () => unknown): string {
  try {
    relocate();
    return 'moved';
  } catch (error) {
    return (error as Error).constructor.name;
  }
}

/** The error with which `promise` rejects; fails the test if it resolves. */
export async function rejectionOf(promise: Promise<unknown>): Promise<Caught> {
  try {
    await promise;
  } catch (error) {
    return error as Error;
  }
  throw new Error('expected a rejection, but the promise was resolved');
}

/** Expects that the Jit still compiles, places, calls and frees. */
export function expectWorking(jit: Jit): void {
  const object = jit.load(add, { name: 'still working' });
  expect(object.get('add')(20, 22)).toBe(42);
  object.free();
}

function snapshotObject(object: CodeObject): unknown {
  const { id, name, state, sizes } = object;
  if (state !== 'placed') return { id, name, state, sizes };
  const globals = [...object.globals].filter(([, { kind }]) => kind !== undefined).map(([global]) => global);
  const symbols = [...object.functions.keys(), ...object.globals.keys()];
  return {
    ...{ id, name, state, sizes, placement: placementOf(object), references: object.references.map((each) => each.id) },
    values: globals.map((global) => [global, object.readGlobal(global)]),
    addresses: symbols.map((symbol) => [symbol, object.addressOf(symbol)]),
    relocations: [object.relocationCount, object.relocationBytes],
  };
}

function placementOf({ placement }: CodeObject): unknown {
  return placement && { code: placement.code, constants: placement.constants, data: placement.data };
}

/** All that can be seen of a Jit, of these code objects and spaces. What a test has dropped may be found dead between two of them. */
export function snapshot(jit: Jit, objects: readonly CodeObject[], spaces: readonly CodeSpace[] = []): unknown {
  const idsIn = (space: CodeSpace): number[] =>
    [...space.objects()].filter((object) => objects.includes(object)).map(({ id }) => id);
  return {
    // Without the size of our own tables, of which a refused call may have touched another page.
    stats: { ...jit.stats(), bookkeepingBytes: 0 },
    objects: objects.map(snapshotObject),
    spaces: spaces.map((space) => ({ occupancy: space.occupancy(), objects: idsIn(space) })),
  };
}

/** Offsets that suit `object`, each `step` times `index` bytes into its range. */
export function at(space: CodeSpace, index: number, step = 4096): Placement {
  return { space, code: index * step, constants: index * step, data: index * step };
}

/** As `at`, for the code alone: what `moves: 'code'` moves. */
export function codeAt(space: CodeSpace, index: number, step = 4096): Placement {
  return { space, code: index * step };
}

/** Resident memory of this process in bytes. */
export function residentBytes(): number {
  return Number(/VmRSS:\s*(\d+) kB/.exec(readFileSync('/proc/self/status', 'utf8'))?.[1]) * 1024;
}

/** The kernel mappings of this process, one string a mapping, the access first. */
export function mappings(): string[] {
  const lines = readFileSync('/proc/self/maps', 'utf8').trimEnd().split('\n');
  return lines.map((line) => line.split(/\s+/)).map(([range, access, ...rest]) => [access, range, ...rest].join(' '));
}

/** Mappings that are no pages of V8's heap, which come and go: anonymous ones of 256 KiB. */
export function mappingsOutsideHeap(): string[] {
  const heapPageBytes = 256 * 1024;
  const isHeapPage = (mapping: string): boolean => {
    const [access, range = '', , , , name] = mapping.split(' ');
    const [base = 0, limit = 0] = range.split('-').map((address) => parseInt(address, 16));
    return access === 'rw-p' && (name === undefined || name === '') && limit - base === heapPageBytes;
  };
  return mappings().filter((mapping) => !isHeapPage(mapping));
}

/** The mappings in the arena of `arenaBytes` that has `address` in its first page, and the writable views of any. */
export function arenaMappings(address: bigint, arenaBytes: number): string[] {
  const base = address & ~4095n;
  return mappings().filter((line) => {
    const [low, high] = line
      .split(' ')[1]!
      .split('-')
      .map((digits) => BigInt(`0x${digits}`));
    return (low! < base + BigInt(arenaBytes) && high! > base) || line.includes('nomad-jit');
  });
}

/** Collects garbage, then lets finalizers and what they scheduled run. */
export async function collectGarbage(rounds = 5): Promise<void> {
  if (globalThis.gc === undefined) throw new Error('run with node --expose-gc');
  for (let i = 0; i < rounds; i++) {
    globalThis.gc();
    await new Promise((resolve) => setImmediate(resolve));
  }
}
