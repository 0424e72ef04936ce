/**
 * JS functions that enter code.
 *
 * In: a code object and the name of a function in it. Out: a callable. Always true: a callable keeps its code object alive, calls
 * through the entry stub and so survives moves, and throws StateError while its code object is not placed.
 */
import { callKind } from './call/kind';
import { Callable as CallableRecord } from './call/record';
import type { CodeObject } from './code-object';
import type { JitCore } from './core';

/** Any function type; what users give to `get` for the types of their functions. */
// eslint-disable-next-line @typescript-eslint/no-explicit-any -- only `any` makes every function type assignable, and the default callable
export type AnyFunction = (...values: any[]) => any;

/** What a callable tells of itself. */
export interface CallableProperties {
  /** The code object that it enters, and keeps alive. */
  readonly codeObject: CodeObject;
  /** The function's name in IR. */
  readonly symbol: string;
  /** The function's type in IR, such as `i32 (i32, i32)`. */
  readonly type: string;
  /** Address of the entry stub, which never moves. */
  readonly entry: bigint;
}

/**
 * An ordinary JS function that enters code. Throws TypeError for a wrong argument count or type, and StateError while its code object
 * is not placed.
 */
export type Callable<F extends AnyFunction = AnyFunction> = F & CallableProperties;

/** Whether `value` is a Callable, of any Jit. */
export function isCallable(value: unknown): value is Callable {
  return CallableRecord.isCallable(value);
}

/** Whether `callable` belongs to the Jit of `core`. */
export function belongsTo(callable: Callable, core: JitCore): boolean {
  return CallableRecord.kindOf(callable as unknown as CallableRecord).core === core;
}

/** Its code object, symbol and entry stub's address, whatever users have made of its properties. */
export function enteredObject(callable: Callable): CodeObject {
  return CallableRecord.objectOf(callable as unknown as CallableRecord);
}

/** As `enteredObject`. */
export function enteredSymbol(callable: Callable): string {
  return CallableRecord.symbolOf(callable as unknown as CallableRecord);
}

/** As `enteredObject`. */
export function enteredAddress(callable: Callable): bigint {
  return CallableRecord.entryOf(callable as unknown as CallableRecord);
}

/** The callable for the function `symbol` of `object`, which has entry stub `entry` and a signature that JS can call. */
export function makeCallable(core: JitCore, object: CodeObject, symbol: string, signature: number, entry: number): Callable {
  const kind = callKind(core, signature);
  const entrance = kind.makeEntrance(object, entry, core.callCounters?.get(object));
  new CallableRecord(entrance, kind, object, symbol, entry);
  return entrance as unknown as Callable;
}
