/**
 * The addon's types, and the only file that loads it.
 *
 * In: the path of the built addon. Out: `loadAddon()`. Always true: nothing here checks what a user passes
 * (the classes in front of it do), and every failure arrives as an error made by the `ErrorFactory`.
 */
import { existsSync } from 'node:fs';
import { join } from 'node:path';

/** Index of a code object in its Jit. Reused only after `free`. */
export type Handle = number;
/** None. */
export const noHandle: Handle = 0xffff_ffff;

/** Makes an error of the caller's realm from a code of jit/error-factory.ts; native code throws what this returns. */
export type ErrorFactory = (code: string, message: string, details: Record<string, unknown>) => Error;

/** How a value crosses between JS and code. 'i1' to 'i64' are integers of that width. */
export type ValueKind = 'void' | 'i1' | 'i8' | 'i16' | 'i32' | 'i64' | 'float' | 'double' | 'ptr';

/** A function type as the call thunks see it. */
export interface Signature {
  /** IR text, such as `i32 (i32, ptr)`. */
  text: string;
  result: ValueKind;
  parameters: ValueKind[];
  /** Why JS can't call it ('varargs', 'parameter 2 is of type <4 x float>' ...); undefined if it can. */
  refusal?: string;
}

/** What a name in IR stands for. */
export type NativeImport =
  | readonly [name: string, kind: 'address', address: bigint]
  | readonly [name: string, kind: 'function', object: Handle, symbol: string];

export interface NativeCompileOptions {
  name: string;
  optLevel: 0 | 1 | 2 | 3;
  moves: 'code' | 'all';
  retain: 'relocations' | 'object' | 'none';
  imports: readonly NativeImport[];
  /** By a helper process, within these limits; 0 is none. */
  isolated: boolean;
  limitMilliseconds: number;
  limitBytes: number;
  /** Names stand for what they do in that code object, which has kept them; or `noHandle`. */
  alike: Handle;
}

export type CompileUrgency = 'awaited' | 'background';

export interface NativeDescription {
  /** Bytes and alignments of code, constants, data. */
  sizes: [number, number, number];
  alignments: [number, number, number];
  relocationCount: number;
  relocationBytes: number;
  /** Offsets in the arena's three ranges, or -1 where there is no such segment or it is not placed. */
  offsets: [number, number, number];
}

export interface NativeGlobal {
  name: string;
  /** IR text of its type. */
  type: string;
  /** undefined: JS can't read it as one value. */
  kind: ValueKind | undefined;
  constant: boolean;
  sizeBytes: number;
}

export interface NativeStats {
  objects: { live: number; placed: number };
  liveBytes: [code: number, constants: number, data: number];
  reservedBytes: [code: number, constants: number, data: number];
  entryStubs: number;
  relocationBytes: number;
  /** Our own records: code objects, symbols, relocations, occupancy maps. */
  bookkeepingBytes: number;
  /** Kernel mappings that belong to the arena. */
  mappings: number;
  /** undefined: no compile cache. */
  cache?: { hits: number; misses: number };
}

export type NativeRoots = ReadonlyArray<number | bigint | string | undefined>;

/** One Jit's native half: functions bound to it, not methods (they ignore `this`). */
export interface NativeJit {
  compile(source: string | Uint8Array, options: NativeCompileOptions): Handle;
  /** Function by function: the first one has everything that is shared. */
  compileParts(source: string | Uint8Array, options: NativeCompileOptions): Array<[Handle, name: string, exported: string[]]>;
  /**
   * Copy the source, parse, optimise and generate code on one of the Jit's threads; link on this one; then call `done` once. In the order of
   * the calls. The process waits for what is 'awaited'.
   */
  compileAsync(
    source: string | Uint8Array,
    options: NativeCompileOptions,
    urgency: CompileUrgency,
    done: (error: Error | undefined, handle: Handle) => void,
  ): void;
  /** Of the options, name and imports. Returns the handle, and what `moves` and `retain` it was compiled with. */
  deserialize(
    saved: Uint8Array,
    options: NativeCompileOptions,
  ): [handle: Handle, moves: NativeCompileOptions['moves'], retain: NativeCompileOptions['retain']];
  /** A name for all later compiles. */
  define(definition: NativeImport): void;
  /**
   * Callers of `symbol` of `from` call `toSymbol` of `to` from now on. Returns the handles whose references have changed. Throws STATE,
   * SIGNATURE; then nothing has changed.
   */
  redirect(from: Handle, symbol: string, to: Handle, toSymbol: string): Handle[];
  /** For linking another compile of its source alike; before it is placed. Returns the names that it uses and does not define. */
  keepNames(object: Handle): string[];
  /** Why a code object can't be replaced; undefined if it can. */
  obstacle(object: Handle): string | undefined;
  /**
   * `to`, compiled from the same source and placed, takes over from `from`: callers, entry stubs, definitions. Returns the handles whose
   * references have changed. `from` can be freed then; if it has constants, not before `to`. Throws STATE; then nothing has changed.
   */
  replace(from: Handle, to: Handle): Handle[];
  /** Callers of a host function call the code at `target` from now on. */
  redirectHost(host: Handle, target: bigint): void;
  /** Whether it runs something before it is freed: destructors, exit handlers. */
  hasEnding(object: Handle): boolean;
  describe(object: Handle): NativeDescription;
  /** Bytes of its code, if that is all it has and is aligned to `alignment` or less; else -1. */
  plainCodeBytes(object: Handle, alignment: number): number;
  functions(object: Handle): Array<[name: string, signature: number, parameterNames: string[]]>;
  globals(object: Handle): NativeGlobal[];
  /** Index of the signature of an exported function; undefined if there is none of that name. Takes the same time in a large module. */
  signatureOf(object: Handle, name: string): number | undefined;
  /** Handles of the code objects that its code refers to. */
  references(object: Handle): Handle[];
  signature(index: number): Signature;

  /**
   * Place (first time) or relocate one code object. Offsets are in the arena's ranges (0 is a range's base); -1 means "stays where
   * it is", or "has no such segment". Throws PLACEMENT, STATE, PINNED; then nothing has changed.
   */
  move(object: Handle, code: number, constants: number, data: number): void;
  /** The first placement of code objects that may refer to each other: all or nothing; `moves` as in `moveBatch`. */
  placeBatch(moves: Int32Array, count: number): void;
  /**
   * A batch, all or nothing: `moves` holds four numbers a move (handle, code, constants, data, as in `move`).
   * `report` (at least 4 long) receives moved, bytes, relocations, nanoseconds. Only placed code objects may be in it.
   */
  moveBatch(moves: Int32Array, count: number, report: Float64Array): void;
  /** Throws STATE if live code refers to it or it is running. Runs its destructors first; what they throw is thrown when it is gone. */
  free(object: Handle): void;
  /** Frees all of the first `count` handles, which may refer to each other. As `free`; then nothing has changed. */
  freeAll(handles: Int32Array, count: number): void;
  /**
   * Frees those of the first `count` handles that are idle and that nothing else refers to, circles of references too; they become -1.
   * What their destructors throw is thrown when they are gone.
   */
  freeMany(handles: Int32Array, count: number): void;
  /** Takes the relocations of a placed code object; `id` ties them to it. Throws STATE. */
  freeze(object: Handle, id: number): Buffer;
  /** Puts them back. Throws STATE, with nothing changed. */
  thaw(object: Handle, id: number, saved: Uint8Array): void;
  /** An unplaced code object as bytes. Throws STATE. */
  serialize(object: Handle): Buffer;
  isLive(object: Handle): boolean;

  // The JS halves by handle, held weakly. These answer after `dispose` too.

  /** `half` is what JS has of a live handle, instead of what it had before. */
  keepTrack(object: Handle, half: object): void;
  /** undefined: V8 has collected it, or there was none. */
  objectOf(object: Handle): object | undefined;
  /** Whether there was one, collected or not. */
  hasObject(object: Handle): boolean;
  /** Brings those of the first `count` handles whose halves V8 has collected to the front; returns how many. */
  deadFirst(handles: Int32Array, count: number): number;
  loseTrack(handles: Int32Array, count: number): void;
  loseAll(): void;

  addressOf(object: Handle, symbol: string): bigint;
  /** Index of the entry stub of an exported function; makes one at the first call. */
  entry(object: Handle, symbol: string): number;
  /** Code objects with a segment in these half-open offset ranges, in address order. */
  objectsIn(code: [number, number], constants: [number, number], data: [number, number]): Handle[];

  /** Reads or writes the global's one value at its present address; 'ptr' and 'i64' are bigint. */
  readGlobal(object: Handle, name: string): number | bigint | boolean;
  writeGlobal(object: Handle, name: string, value: number | bigint | boolean): void;

  /** Two Int32s: see base/ledger.ts. */
  ledger: ArrayBuffer;
  /** The argument block; see call/generated.ts for its layout. Never hand it to users: detaching it would be fatal. */
  block: ArrayBuffer;
  /** Bytes of `block` for parameters: parameter i is at byte 8 * i. The result is at byte 0 too. */
  blockParameterBytes: number;
  /** Byte offset in `block` of the Int32 that holds the entry stub's index for the next call. */
  blockEntryOffset: number;
  /**
   * The call thunk of a signature.
   * 'block': takes no JS arguments; reads parameters and entry index from the argument block, leaves the result at its byte 0.
   * 'values': takes (entryIndex, ...values) as Node-API values already checked and converted (i64 and ptr as bigint), returns the result.
   */
  thunk(signature: number, style: 'block' | 'values'): (...args: unknown[]) => unknown;
  /** Address of the bytes of a TypedArray, Buffer, DataView or ArrayBuffer. */
  bufferAddress(bytes: ArrayBufferView | ArrayBufferLike): bigint;
  /** The address of entry stub `index` is entriesBase plus entryStubBytes times index. */
  entriesBase: bigint;
  entryStubBytes: number;
  /** Where the arena's three ranges begin, and their sizes in bytes. */
  rangeBases: [code: bigint, constants: bigint, data: bigint];
  rangeBytes: [code: number, constants: number, data: number];

  /**
   * A host function as a code object that never moves, whose one function is `name`. `enter` reads its arguments from the argument
   * block and leaves the result at its byte 0. Throws SIGNATURE, SPACE_FULL.
   */
  addHost(name: string, type: string, enter: () => void): Handle;
  /** Exact and ambiguous roots of code that waits for host functions, five values each: kind, handle, address, value, symbol (if asked for). */
  stackRoots(withSymbols: boolean): [exact: NativeRoots, ambiguous: NativeRoots];
  /** Code objects of which some segment can't move now. */
  pins(): Handle[];
  /** Overwrites what no code object occupies between two offsets of the code range with traps. */
  poison(base: number, limit: number): void;
  /** Throws STATE if the records about code objects contradict each other. */
  verify(): void;
  /** Whether code waits for a host function. */
  isRunning(): boolean;
  /** Whether code of any Jit of the thread waits for JS. */
  isWaiting(): boolean;

  /** Names the Jit to `interrupt`, in the whole process. */
  id: number;
  /** Calls `run`; code that runs then, or later in that call, is stopped. Throws STATE. */
  withTimeout<T>(milliseconds: number, run: () => T): T;

  stats(): NativeStats;
  /** Gives memory of pages that no code object occupies back to the system; returns bytes. */
  trim(): number;
  /** Runs destructors, frees everything. Every later call throws STATE. */
  dispose(): void;
}

export interface Addon {
  createJit(
    options: {
      arenaBytes: number;
      symbols: 'process' | 'none' | readonly string[];
      linker: 'jitlink' | 'runtimedyld';
      verifyMoves: boolean;
      poisonVacated: boolean;
      compileThreads: number;
      /** '': none. */
      cacheDirectory: string;
      cacheBytes: number;
    },
    makeError: ErrorFactory,
  ): NativeJit;
  llvmVersion: string;
  /** The signature that a type in IR syntax says, or a message why it says none. */
  functionType(text: string): Signature | string;
  /** Whether that Jit has code that runs or waits, which is stopped then; or a message why nothing can be stopped. */
  interrupt(jit: number): boolean | string;
}

const builds = ['build-cmake/Release/nomad_jit.node', 'build-cmake/Debug/nomad_jit.node', 'build/Release/nomad_jit.node'];

function packageRoot(): string {
  for (let directory = __dirname; ; directory = join(directory, '..')) {
    if (existsSync(join(directory, 'CMakeLists.txt'))) return directory;
    if (directory === join(directory, '..')) return __dirname;
  }
}

let loaded: Addon | undefined;

/** Loads the addon, once: the file named by NOMAD_JIT_ADDON, or else the first that exists of the local builds. */
export function loadAddon(): Addon {
  return (loaded ??= load());
}

function load(): Addon {
  const root = packageRoot();
  const candidates = process.env.NOMAD_JIT_ADDON ? [process.env.NOMAD_JIT_ADDON] : builds.map((path) => join(root, path));
  const found = candidates.find((path) => existsSync(path));
  if (found === undefined) {
    throw new Error(
      `nomad-jit: the native addon is not built (looked for ${candidates.join(', ')}). Run in ${root}: npm run build`,
    );
  }
  // eslint-disable-next-line @typescript-eslint/no-require-imports -- a native addon can only be required
  return require(found) as Addon;
}
