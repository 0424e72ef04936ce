/**
 * What names in IR stand for.
 *
 * In: what users give for a name. Out: what native code takes for it, and what has to live then.
 */
import { address, nonEmptyString, show } from '../base/check';
import type { NativeImport } from '../base/native';
import { factsOf, isHostFunction } from '../call/host-function';
import { belongsTo, enteredObject, enteredSymbol, isCallable } from '../code/callable';
import { CodeRecord } from '../record/code-record';
import type { Entry } from '../record/object-table';
import type { Importable } from './compile-options';
import type { JitCore } from './core';

/** What has to live as long as something is linked to `value`; nothing for an address. */
export function entryOf(core: JitCore, value: Importable): Entry | undefined {
  if (isHostFunction(value)) return core.hosts.entry(value);
  return isCallable(value) ? enteredObject(value) : undefined;
}

/** What `name` stands for, for native code; `what` is 'import' or 'definition'. Throws TypeError, RangeError, PlacementError or StateError. */
export function nativeImport(core: JitCore, what: string, name: string, value: unknown): NativeImport {
  const subject = `${what} '${nonEmptyString(`the name of an ${what}`, name)}'`;
  if (typeof value === 'bigint') return [name, 'address', address(subject, value)];
  if (isHostFunction(value)) return [name, 'function', core.hosts.entry(value).handle, factsOf(value).name];
  if (!isCallable(value)) throw new TypeError(`${subject} must be a Callable, a HostFunction or a bigint, not ${show(value)}`);
  if (!belongsTo(value, core)) throw new TypeError(`${subject} must be a Callable of the same Jit, not of another`);
  return [name, 'function', CodeRecord.handleIn(core, enteredObject(value), subject), enteredSymbol(value)];
}
