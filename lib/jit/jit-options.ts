/**
 * What users pass to a Jit.
 *
 * In: options as users write them. Out: settings, with every default filled in. Always true: a bad option is a TypeError or RangeError that names it
 * and its value, before anything has happened.
 */
import { availableParallelism } from 'node:os';
import { flag, integerBetween, nonEmptyString, oneOf, optionsObject } from '../base/check';
import { cacheSettings, type CacheOptions, type CacheSettings } from './cache-options';
import { optLevels, type OptLevel } from './compile-options';
import { confinementOf, type CompileLimits, type Confinement, type Isolation } from './isolation';
import { tierPolicy, type TierOptions, type TierPolicy } from './tier-options';

/** Which symbols of the process code may link to: all, none, or these. */
export type ProcessSymbols = 'process' | 'none' | readonly string[];

/** LLVM's linkers. */
export type LinkerName = 'jitlink' | 'runtimedyld';

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

const mebibyte = 2 ** 20;
/** Arenas are multiples of this many bytes. */
export const arenaGranule = 65536;
/** More would rather be in the way of the rest of the process. */
const usualThreads = 4;
/** The largest arena. */
export const maximumArenaBytes = 2 ** 31 - arenaGranule;

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
