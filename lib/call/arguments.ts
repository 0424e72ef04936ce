/**
 * The slow side of a call: refusals, and the addresses of buffers.
 *
 * In: a callable and what it was called with. Out: an error, or an address. Always true: a buffer whose address was handed out is in
 * `held` until the call that took it has returned or thrown.
 */
import { types } from 'node:util';
import { show } from '../check';
import { StateError } from '../errors';
import type { ValueKind } from '../native';
import { Callable } from './record';

/** A stack of what running calls keep reachable; calls nest, so each cuts it back to the depth at which it began. */
export const held: unknown[] = [];

/** Cuts `held` back to `depth`. */
export function letGo(depth: number): void {
  while (held.length > depth) held.pop();
}

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

/** Throws the StateError for calling a function whose code object is not placed. */
export function refuseState(callable: unknown): never {
  const { symbol, codeObject } = callable as Callable;
  if (Callable.kindOf(callable as Callable).core.isDisposed) throw new StateError(`${symbol}: the Jit is disposed`);
  throw new StateError(
    `${symbol}: its code object '${codeObject.name}' is ${codeObject.state === 'freed' ? 'freed' : 'not placed'}`,
  );
}

/** Throws the TypeError for a wrong number of arguments. */
export function refuseCount(callable: unknown, count: number): never {
  const { symbol, type } = callable as Callable;
  const wanted = Callable.kindOf(callable as Callable).signature.parameters.length;
  throw new TypeError(`${symbol}: ${type} takes ${wanted} argument${wanted === 1 ? '' : 's'}, but got ${count}`);
}

/** Throws the TypeError for a wrong argument. */
export function refuseArgument(callable: unknown, index: number, value: unknown): never {
  const { symbol, codeObject } = callable as Callable;
  const kind = Callable.kindOf(callable as Callable).signature.parameters[index] ?? 'void';
  const name = codeObject.functions.get(symbol)?.parameters[index]?.name;
  const parameter = name === undefined ? `parameter ${index}` : `parameter '${name}'`;
  throw new TypeError(`${symbol}: ${parameter} (${kind}) must be ${expectation(kind)}, not ${show(value)}`);
}

/** The address for a 'ptr' argument that is neither bigint nor null; holds what it points to. */
export function addressOf(callable: unknown, index: number, value: unknown): bigint {
  if (ArrayBuffer.isView(value) || types.isAnyArrayBuffer(value)) {
    held.push(value);
    // Node-API knows no SharedArrayBuffer, but views of one.
    const bytes = types.isSharedArrayBuffer(value) ? new Uint8Array(value) : value;
    return Callable.kindOf(callable as Callable).core.native.bufferAddress(bytes);
  }
  if (!Callable.isCallable(value)) return refuseArgument(callable, index, value);
  held.push(value);
  return entryOf(value);
}

/** The entry stub's address of a callable as a value for code. Throws StateError if its code object is freed. */
export function entryOf(callable: Callable): bigint {
  if (callable.codeObject.state === 'freed') refuseState(callable);
  return callable.entry;
}
