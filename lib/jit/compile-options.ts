/**
 * What users say of a compile.
 *
 * In: options as users write them. Out: the same, read once or checked. Always true: a bad option is a TypeError or RangeError that names it and its
 * value, before anything has happened.
 */
import { oneOf, optionsObject } from '../base/check';
import type { HostFunction } from '../call/host-function';
import type { Callable } from '../code/code-object';
import type { MoveModes } from '../record/status';
import type { CompileLimits, Isolation } from './isolation';

/** How hard LLVM optimises, as in `-O0` to `-O3`. */
export type OptLevel = 0 | 1 | 2 | 3;

/** What code can link to by name: a function in another code object, a JS function, or an address. */
export type Importable = Callable | HostFunction | bigint;

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

/** All levels. */
export const optLevels = [0, 1, 2, 3] as const;

/** One object for each combination, which code objects share. */
const moveModes: readonly MoveModes[] = (['code', 'all'] as const).flatMap((moves) =>
  (['relocations', 'object', 'none'] as const).map((retain) => Object.freeze({ moves, retain })),
);

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

/** Throws TypeError, RangeError. */
export function modesOf(options: Pick<CompileOptions, 'moves' | 'retain'>): MoveModes {
  const moves = oneOf('moves', options.moves ?? 'code', ['code', 'all']);
  const retain = oneOf('retain', options.retain ?? 'relocations', ['relocations', 'object', 'none']);
  return moveModes.find((modes) => modes.moves === moves && modes.retain === retain) ?? { moves, retain };
}
