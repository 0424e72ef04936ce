/**
 * Callables, as the rest of the library sees them.
 *
 * In: callables. Out: what they enter. Always true: what is said here is true whatever users have made of a callable's properties.
 */
import { CallableRecord } from '../call/record';
import type { Callable, CodeObject } from './code-object';
import type { CodeOwner } from './owner';

/** Whether `value` is a Callable, of any Jit. */
export function isCallable(value: unknown): value is Callable {
  return CallableRecord.isCallable(value);
}

/** Whether `callable` belongs to a Jit. */
export function belongsTo(callable: Callable, owner: CodeOwner): boolean {
  return CallableRecord.kindOf(recordOf(callable)).owner === owner;
}

/** Its code object. */
export function enteredObject(callable: Callable): CodeObject {
  return CallableRecord.codeOf(recordOf(callable)) as unknown as CodeObject;
}

/** The name of its function. */
export function enteredSymbol(callable: Callable): string {
  return CallableRecord.symbolOf(recordOf(callable));
}

/** Its entry stub's address. */
export function enteredAddress(callable: Callable): bigint {
  return CallableRecord.entryOf(recordOf(callable));
}

function recordOf(callable: Callable): CallableRecord {
  return callable as unknown as CallableRecord;
}
