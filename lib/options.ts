/**
 * What users pass to a Jit, checked.
 *
 * In: options as users write them. Out: options as native code takes them, with every default filled in. Always true: a bad option is a
 * TypeError or RangeError that names it and its value, before anything has happened.
 */
import { availableParallelism } from 'node:os';
import { types } from 'node:util';
import { cacheSettings, type CacheOptions, type CacheSettings } from './cache';
import { belongsTo, enteredObject, enteredSymbol, isCallable, type Callable } from './callable';
import { address, flag, integerBetween, nonEmptyString, oneOf, optionsObject, show } from './check';
import { handleIn } from './code-object';
import type { MoveModes } from './code-object-facts';
import { tierPolicy, type TierOptions, type TierPolicy } from './collector/tier-policy';
import type { JitCore } from './core';
import { UnsupportedError } from './errors';
import { factsOf, isHostFunction, type HostFunction } from './host-function';
import { noHandle, type NativeCompileOptions, type NativeImport } from './native';
import { nextId, type Entry } from './object-table';
import { perSegment, type PerSegment } from './segments';
import type { AllocationPolicy } from './space/space';

/** How hard LLVM optimises, as in `-O0` to `-O3`. */
export type OptLevel = 0 | 1 | 2 | 3;

/** Which symbols of the process code may link to: all, none, or these. */
export type ProcessSymbols = 'process' | 'none' | readonly string[];

/** Where code is generated. */
export type Isolation = 'none' | 'process';

/** How long a compile may take, and how much memory; what is not given is not limited. */
export interface CompileLimits {
  /** From 1 to 2^31 - 1. */
  milliseconds?: number | undefined;
  /** Of address space, besides what the helper process has: from 16 MiB. */
  bytes?: number | undefined;
}

/** LLVM's linkers. */
export type LinkerName = 'jitlink' | 'runtimedyld';

/** What code can link to by name: a function in another code object, a JS function, or an address. */
export type Importable = Callable | HostFunction | bigint;

/** Options of `new Jit`. */
export interface JitOptions {
  /** Bytes of address space to reserve, not to commit: from 1 MiB to 2 GiB - 64 KiB. Default 1 GiB. */
  arenaBytes?: number | undefined;
  /** For compiles that don't say otherwise. Default 2. */
  optLevel?: OptLevel | undefined;
  /** Which of LLVM's linkers: 'jitlink' (default) or 'runtimedyld'. Code moves the same way with both. */
  linker?: LinkerName | undefined;
  /** Default 'process'. */
  symbols?: ProcessSymbols | undefined;
  /**
   * After each move, throw StateError unless all bytes that the program did not write are what a fresh link at the new place gives. For tests: it
   * keeps all object files and links twice for each move. Default: whether the environment variable NOMAD_VERIFY is 1.
   */
  verifyMoves?: boolean | undefined;
  /**
   * Fill code that a move or `free` has left with traps, so that whatever still leads there is noticed. For tests. Default: whether the environment
   * variable NOMAD_POISON is 1.
   */
  poisonVacated?: boolean | undefined;
  /** Threads that `compileAsync` generates code on, 1 to 64: made when there is work for them. Default: as many as the machine has, at most 4. */
  compileThreads?: number | undefined;
  /** What collectors of this Jit do unless they are told otherwise: compile fast first, and recompile what lives on. Default false. */
  tier?: boolean | TierOptions | undefined;
  /**
   * A directory, for all processes that use it. What has been compiled before, from the same source with the same options for the same machine, is
   * loaded from there: no code generation, no linking by LLVM. Default: no cache.
   */
  cache?: string | CacheOptions | undefined;
  /**
   * 'process': a helper process parses, optimises and generates code, and only the linking is done here. Whatever LLVM does there, crash, hang or take
   * all memory, is a CodegenError. The object file is the same. Default 'none': in this process.
   */
  isolation?: Isolation | undefined;
  /** Only with isolation 'process': more is a CodegenError. Default: no limits. */
  compileLimits?: CompileLimits | undefined;
}

/** Options of `deserialize`. */
export type DeserializeOptions = Pick<CompileOptions, 'name' | 'imports'>;

/** Options of `compile`, `compileAsync` and `load`. */
export interface CompileOptions {
  /** For errors, debuggers, profiles. */
  name?: string | undefined;
  /** Default: the Jit's. */
  optLevel?: OptLevel | undefined;
  /** Looked up before names that were `define`d and process symbols. One with the name of a C function is not taken for that. */
  imports?: Record<string, Importable> | undefined;
  /** 'code' (default) is safe for any C; 'all' promises that nothing stores the addresses of constants and data. */
  moves?: 'code' | 'all' | undefined;
  /**
   * What to keep for moving: 'relocations' (default), or the 'object' file, which is linked again at each new place: more memory, and slower. With
   * 'none' it can be placed once and never moves.
   */
  retain?: 'relocations' | 'object' | 'none' | undefined;
  /** Default: the Jit's. */
  isolation?: Isolation | undefined;
  /** Of this compile, instead of all the Jit's; only with isolation 'process'. */
  compileLimits?: CompileLimits | undefined;
  /** What becomes a code object: the whole 'module' (default), or each 'function' (PartsOptions). */
  granularity?: 'module' | undefined;
}

/** Options of `compile`, function by function. */
export interface PartsOptions extends Omit<CompileOptions, 'granularity'> {
  /** A code object for each function, with what only it uses, and one for the rest of the module. */
  granularity: 'function';
}

/** Options of `createSpace`; sizes in bytes, rounded up to whole pages. */
export interface SpaceOptions {
  codeBytes?: number | undefined;
  constantBytes?: number | undefined;
  dataBytes?: number | undefined;
  /** Default 'free-list'. */
  allocator?: AllocationPolicy | undefined;
}

/** Checked JitOptions. */
export interface JitSettings extends CacheSettings {
  readonly arenaBytes: number;
  readonly optLevel: OptLevel;
  readonly symbols: ProcessSymbols;
  readonly linker: LinkerName;
  readonly verifyMoves: boolean;
  readonly poisonVacated: boolean;
  readonly compileThreads: number;
  readonly tier: TierPolicy | undefined;
  readonly confinement: Confinement;
}

/** Checked `isolation` and `compileLimits`, as native code takes them: 0 is no limit. */
export interface Confinement {
  readonly isolated: boolean;
  readonly limitMilliseconds: number;
  readonly limitBytes: number;
}

/** A checked call of `compile`. */
export interface CompileRequest {
  readonly source: string | Uint8Array;
  readonly id: number;
  readonly name: string | undefined;
  readonly modes: MoveModes;
  readonly native: NativeCompileOptions;
  /** What is imported: to be kept alive until the compile is done. */
  readonly imported: readonly Entry[];
}

const mebibyte = 2 ** 20;
const arenaGranule = 65536;
/** More would rather be in the way of the rest of the process. */
const usualThreads = 4;
const maximumArenaBytes = 2 ** 31 - arenaGranule;
const defaultSpaceBytes = { code: 16 * mebibyte, constants: 4 * mebibyte, data: 8 * mebibyte };
const optLevels = [0, 1, 2, 3] as const;

/** One object for each combination, which code objects share. */
const moveModes: readonly MoveModes[] = (['code', 'all'] as const).flatMap((moves) =>
  (['relocations', 'object', 'none'] as const).map((retain) => Object.freeze({ moves, retain })),
);

/** Throws TypeError, RangeError. */
export function jitSettings(options: JitOptions | undefined): JitSettings {
  const {
    arenaBytes = 2 ** 30,
    optLevel = 2,
    linker = 'jitlink',
    symbols = 'process',
    verifyMoves,
    poisonVacated,
    compileThreads = Math.min(availableParallelism(), usualThreads),
    tier = false,
    cache,
    isolation,
    compileLimits,
  } = optionsObject('options', options);
  return {
    arenaBytes: Math.ceil(integerBetween('arenaBytes', arenaBytes, mebibyte, maximumArenaBytes) / arenaGranule) * arenaGranule,
    optLevel: oneOf('optLevel', optLevel, optLevels),
    symbols: processSymbols(symbols),
    linker: oneOf('linker', linker, ['jitlink', 'runtimedyld']),
    verifyMoves: flag('verifyMoves', verifyMoves ?? process.env.NOMAD_VERIFY === '1'),
    poisonVacated: flag('poisonVacated', poisonVacated ?? process.env.NOMAD_POISON === '1'),
    compileThreads: integerBetween('compileThreads', compileThreads, 1, 64),
    tier: tierPolicy(tier),
    confinement: confinementOf({ isolation, compileLimits }),
    ...cacheSettings(cache),
  };
}

function processSymbols(symbols: unknown): ProcessSymbols {
  if (!Array.isArray(symbols)) return oneOf('symbols', symbols, ['process', 'none'] as const);
  return Array.from(symbols, (name: unknown, i) => nonEmptyString(`symbols[${i}]`, name)); // holes too
}

/** Whether functions are to become code objects of their own. Throws TypeError, RangeError. */
export function isByFunction(options: CompileOptions | PartsOptions | undefined): options is PartsOptions {
  return oneOf('granularity', optionsObject('options', options).granularity ?? 'module', ['module', 'function']) === 'function';
}

/** Options of a compile as they are read, once: getters don't run again. Throws TypeError. */
export function readOptions(options: CompileOptions | PartsOptions | undefined): CompileOptions | PartsOptions {
  const { name, optLevel, imports, moves, retain, granularity, isolation, compileLimits } = optionsObject('options', options);
  const own = imports === undefined ? undefined : ({ ...optionsObject('imports', imports) } as CompileOptions['imports']);
  const limits = compileLimits === undefined ? undefined : { ...optionsObject('compileLimits', compileLimits) };
  const read = {
    name,
    optLevel,
    imports: own,
    moves,
    retain,
    granularity: granularity ?? 'module',
    isolation,
    compileLimits: limits,
  };
  oneOf('granularity', read.granularity, ['module', 'function']);
  return read;
}

/** Throws TypeError, RangeError; UnsupportedError for limits of what is compiled in this process. */
function confinementOf(options: Pick<JitOptions, 'isolation' | 'compileLimits'>, ofJit?: Confinement): Confinement {
  const isolation = oneOf('isolation', options.isolation ?? (ofJit?.isolated === true ? 'process' : 'none'), ['none', 'process']);
  const { milliseconds, bytes } = optionsObject('compileLimits', options.compileLimits);
  const given = {
    isolated: isolation === 'process',
    limitMilliseconds:
      milliseconds === undefined ? 0 : integerBetween('compileLimits.milliseconds', milliseconds, 1, 2 ** 31 - 1),
    limitBytes: bytes === undefined ? 0 : integerBetween('compileLimits.bytes', bytes, 16 * mebibyte, Number.MAX_SAFE_INTEGER),
  };
  if (!given.isolated && (milliseconds ?? bytes) !== undefined)
    throw new UnsupportedError("compileLimits need isolation: 'process'; a compile in this process can't be stopped");
  return options.compileLimits === undefined && ofJit !== undefined && given.isolated ? ofJit : given;
}

/** Throws TypeError, RangeError, StateError for an import that is freed. */
export function compileRequest(
  core: JitCore,
  source: unknown,
  options: CompileOptions | PartsOptions | undefined,
  optLevel: OptLevel,
  alike = noHandle,
): CompileRequest {
  // All is read before anything is checked or made: getters may do anything.
  const given = optionsObject('options', options);
  const { name: givenName, moves, retain, imports: givenImports, optLevel: level, isolation, compileLimits } = given;
  const imports = Object.entries(optionsObject('imports', givenImports)) as Array<[string, Importable]>;
  core.requireLive('compile');
  const name = givenName === undefined ? undefined : nonEmptyString('name', givenName);
  const modes = modesOf({ moves, retain });
  const id = nextId();
  return {
    ...{ source: sourceOf(source), id, name, modes },
    native: {
      name: name ?? `object#${id}`,
      optLevel: oneOf('optLevel', level ?? optLevel, optLevels),
      ...modes,
      ...confinementOf({ isolation, compileLimits }, core.confinement),
      imports: imports.map(([symbol, value]) => nativeImport(core, 'import', symbol, value)),
      alike,
    },
    imported: imports.map(([, value]) => entryOf(core, value)).filter((entry) => entry !== undefined),
  };
}

function sourceOf(source: unknown): string | Uint8Array {
  if (typeof source === 'string' || types.isUint8Array(source)) return source;
  throw new TypeError(`source must be a string of IR text or a Uint8Array of bitcode, not ${show(source)}`);
}

/** Throws TypeError, RangeError. */
export function modesOf(options: Pick<CompileOptions, 'moves' | 'retain'>): MoveModes {
  const moves = oneOf('moves', options.moves ?? 'code', ['code', 'all']);
  const retain = oneOf('retain', options.retain ?? 'relocations', ['relocations', 'object', 'none']);
  return moveModes.find((modes) => modes.moves === moves && modes.retain === retain) ?? { moves, retain };
}

/** What has to live as long as something is linked to `value`; nothing for an address. */
export function entryOf(core: JitCore, value: Importable): Entry | undefined {
  if (isHostFunction(value)) return core.hosts.entry(value);
  return isCallable(value) ? enteredObject(value) : undefined;
}

/** What `name` stands for, for native code; `what` is 'import' or 'define'. Throws TypeError, RangeError, PlacementError or StateError. */
export function nativeImport(core: JitCore, what: string, name: string, value: unknown): NativeImport {
  const subject = `${what} '${nonEmptyString(`the name of an ${what}`, name)}'`;
  if (typeof value === 'bigint') return [name, 'address', address(subject, value)];
  if (isHostFunction(value)) return [name, 'function', core.hosts.entry(value).handle, factsOf(value).name];
  if (!isCallable(value)) throw new TypeError(`${subject} must be a Callable, a HostFunction or a bigint, not ${show(value)}`);
  if (!belongsTo(value, core)) throw new TypeError(`${subject} must be a Callable of the same Jit, not of another`);
  return [name, 'function', handleIn(core, enteredObject(value), subject), enteredSymbol(value)];
}

/**
 * Sizes of a new space. One that is not given is 16 MiB of code, 4 MiB of constants, 8 MiB of data, or half of what the arena has left if
 * that is less. Throws TypeError, RangeError.
 */
export function spaceSettings(
  core: JitCore,
  options: SpaceOptions | undefined,
): { sizes: PerSegment<number>; policy: AllocationPolicy } {
  const { codeBytes, constantBytes, dataBytes, allocator = 'free-list' } = optionsObject('options', options);
  const given = { code: codeBytes, constants: constantBytes, data: dataBytes };
  const names = { code: 'codeBytes', constants: 'constantBytes', data: 'dataBytes' };
  core.requireLive('createSpace'); // getters may have done anything
  const half = halfOfArena(core);
  const sizes = perSegment((name) =>
    integerBetween(names[name], given[name] ?? Math.min(defaultSpaceBytes[name], half[name]), 0, maximumArenaBytes),
  );
  return { sizes, policy: oneOf('allocator', allocator, ['free-list', 'bump']) };
}

/** Half of the largest free block in each of the arena's ranges, in whole 64 KiB. */
export function halfOfArena(core: JitCore): PerSegment<number> {
  return perSegment((name) => Math.ceil(core.arena[name].largestFreeBytes / 2 / arenaGranule) * arenaGranule);
}
