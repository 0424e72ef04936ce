/**
 * What a global variable takes and gives.
 *
 * In: a code object's exported globals, a name, a value. Out: the global, and the value as native code takes it. Always true: a global
 * that passes `readable` has one value of a known kind, and a value that passes `globalValue` has its type.
 */
import { entryOf, expectation } from '../call/arguments';
import { convertScalar } from '../call/convert';
import { CallableRecord } from '../call/record';
import { show, suggestion } from '../base/check';
import { SignatureError, UnresolvedSymbolError } from '../base/errors';
import type { NativeGlobal, ValueKind } from '../base/native';

/** A global that JS can read as one value. */
export interface ReadableGlobal extends NativeGlobal {
  kind: ValueKind;
}

/** The error for a name that `owner` does not export. `what` is 'function' or 'global'. */
export function notExported(owner: string, what: string, name: unknown, names: Iterable<string>): Error {
  if (typeof name !== 'string') return new TypeError(`the name of a ${what} must be a string, not ${show(name)}`);
  return new UnresolvedSymbolError(`code object '${owner}' exports no ${what} '${name}'.${suggestion(name, names)}`, {
    symbols: [name],
  });
}

/** The global `name`. Throws UnresolvedSymbolError, or SignatureError if it has not one value. */
export function readable(owner: string, globals: ReadonlyMap<string, NativeGlobal>, name: string): ReadableGlobal {
  const global = globals.get(name);
  if (global === undefined) throw notExported(owner, 'global', name, globals.keys());
  if (!isReadable(global))
    throw new SignatureError(`global '${name}' of type ${global.type} does not have one value that JS could hold`);
  return global;
}

/** As `readable`, and not a constant: that is a TypeError. */
export function writable(owner: string, globals: ReadonlyMap<string, NativeGlobal>, name: string): ReadableGlobal {
  const global = readable(owner, globals, name);
  if (global.constant) throw new TypeError(`global '${name}' of code object '${owner}' is a constant`);
  return global;
}

/** `value` as native code takes it for `global`. Throws TypeError. */
export function globalValue({ name, kind }: ReadableGlobal, value: unknown): number | bigint | boolean {
  const converted = kind === 'ptr' ? pointerValue(value) : convertScalar(kind, value);
  if (converted !== undefined) return converted;
  const expected = kind === 'ptr' ? 'a bigint, null or a Callable' : expectation(kind);
  throw new TypeError(`global '${name}' (${kind}) must be ${expected}, not ${show(value)}`);
}

/** Buffers are refused: their addresses are good for the time of a call only. */
function pointerValue(value: unknown): bigint | undefined {
  if (value === null) return 0n;
  if (typeof value === 'bigint') return BigInt.asUintN(64, value);
  return CallableRecord.isCallable(value) ? entryOf(value) : undefined;
}

function isReadable(global: NativeGlobal): global is ReadableGlobal {
  return global.kind !== undefined;
}
