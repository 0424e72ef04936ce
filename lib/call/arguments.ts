/**
 * The slow side of a call: refusals, and the addresses of buffers.
 *
 * In: a callable and what it was called with. Out: an error, or an address. Always true: a buffer whose address was handed out is held
 * (held.ts) until the call that took it has returned or thrown.
 */
import { types } from 'node:util';
import { show } from '../check';
import { isCallableNow, nameOf, parameterName, statusIn } from '../code-object';
import { StateError } from '../errors';
import type { ValueKind } from '../native';
import { Callable } from './record';

const expectations: Readonly<Record<ValueKind, string>> = {
  void: 'nothing',
  i1: 'a boolean',
  i8: 'a number',
  i16: 'a number',
  i32: 'a number',
  i64: 'a bigint or a safe integer',
  float: 'a number',
  double: 'a number',
  ptr: 'a bigint, null, a TypedArray, Buffer, DataView, ArrayBuffer or Callable',
};

/** What a value of `kind` may be in JS, for messages. */
export function expectation(kind: ValueKind): string {
  return expectations[kind];
}

/** Before a call whose code object is not known to be placed: throws StateError if it is not. One that is being freed may be called still. */
export function refuseState(callable: unknown): void {
  const object = Callable.objectOf(callable as Callable);
  if (isCallableNow(object)) return;
  const symbol = Callable.symbolOf(callable as Callable);
  if (Callable.kindOf(callable as Callable).core.isDisposed) throw new StateError(`${symbol}: the Jit is disposed`);
  const what = statusIn(object).state === 'freed' ? 'freed' : 'not placed';
  throw new StateError(`${symbol}: its code object '${nameOf(object)}' is ${what}`);
}

/** Throws the TypeError for a wrong number of arguments. */
export function refuseCount(callable: unknown, count: number): never {
  const { text, parameters } = Callable.kindOf(callable as Callable).signature;
  const wanted = parameters.length;
  throw new TypeError(
    `${Callable.symbolOf(callable as Callable)}: ${text} takes ${wanted} argument${wanted === 1 ? '' : 's'}, but got ${count}`,
  );
}

/** Throws the TypeError for a wrong argument. */
export function refuseArgument(callable: unknown, index: number, value: unknown): never {
  const symbol = Callable.symbolOf(callable as Callable);
  const kind = Callable.kindOf(callable as Callable).signature.parameters[index] ?? 'void';
  const name = parameterName(Callable.objectOf(callable as Callable), symbol, index);
  const parameter = name === undefined ? `parameter ${index}` : `parameter '${name}'`;
  throw new TypeError(`${symbol}: ${parameter} (${kind}) must be ${expectation(kind)}, not ${show(value)}`);
}

/** The address for a 'ptr' argument that is neither bigint nor null; holds what it points to. */
export function addressOf(callable: unknown, index: number, value: unknown): bigint {
  const { native, held } = Callable.kindOf(callable as Callable).core;
  if (ArrayBuffer.isView(value) || types.isAnyArrayBuffer(value)) {
    held.add(value);
    // Node-API knows no SharedArrayBuffer, but views of one.
    return native.bufferAddress(types.isSharedArrayBuffer(value) ? new Uint8Array(value) : value);
  }
  if (!Callable.isCallable(value)) return refuseArgument(callable, index, value);
  held.add(value);
  return entryOf(value);
}

/** The entry stub's address of a callable as a value for code. Throws StateError if its code object is freed. */
export function entryOf(callable: Callable): bigint {
  const object = Callable.objectOf(callable);
  Callable.kindOf(callable).core.settle();
  if (statusIn(object).state === 'freed')
    throw new StateError(`${Callable.symbolOf(callable)}: its code object '${nameOf(object)}' is freed`);
  return Callable.entryOf(callable);
}
