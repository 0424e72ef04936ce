/**
 * JS functions that enter code.
 *
 * In: a code object and the name of a function in it. Out: a callable. Always true: a callable keeps its code object alive, calls
 * through the entry stub and so survives moves, and throws StateError while its code object is not placed.
 */
import type { Code } from '../record/code-record';
import { callKind } from './kind';
import { CallableRecord } from './record';
import type { CallOwner } from './types';

/** The callable for the function `symbol` of `code`, which has entry stub `entry` and a signature that JS can call. */
export function makeCallable(owner: CallOwner, code: Code, symbol: string, signature: number, entry: number): CallableRecord {
  const kind = callKind(owner, signature);
  const entrance = kind.makeEntrance(code, entry, owner.hooks.callCounters?.get(code));
  return new CallableRecord(entrance, kind, code, symbol, entry);
}
