/**
 * A checked compile.
 *
 * In: source and options. Out: what native code takes. Always true: all options are read before anything is checked or made, for their getters may do
 * anything.
 */
import { types } from 'node:util';
import { nonEmptyString, oneOf, optionsObject, show } from '../base/check';
import { noHandle, type NativeCompileOptions } from '../base/native';
import { nextId, type Entry } from '../record/object-table';
import type { MoveModes } from '../record/status';
import { modesOf, optLevels, type CompileOptions, type Importable, type PartsOptions } from './compile-options';
import type { JitCore } from './core';
import { entryOf, nativeImport } from './imports';
import { confinementOf } from './isolation';

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

/** Throws TypeError, RangeError, StateError for an import that is freed. */
export function compileRequest(
  core: JitCore,
  source: unknown,
  options: CompileOptions | PartsOptions | undefined,
  alike = noHandle,
): CompileRequest {
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
      optLevel: oneOf('optLevel', level ?? core.settings.optLevel, optLevels),
      ...modes,
      ...confinementOf({ isolation, compileLimits }, core.settings.confinement),
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
