/**
 * The slow side of a call: refusals, and the addresses of buffers.
 *
 * In: a callable and what it was called with. Out: an error, or an address. Always true: a buffer whose address was handed out is held
 * (held.ts) until the call that took it has returned or thrown.
 */
import { types } from 'node:util';
import { show } from '../base/check';
import { StateError } from '../base/errors';
import type { ValueKind } from '../base/native';
import { CodeRecord, type Code } from '../record/code-record';
import { CallableRecord } from './record';

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
  const code = CallableRecord.codeOf(callable as CallableRecord);
  const owner = CodeRecord.ownerOf(code);
  owner.settle();
  const { state } = CodeRecord.statusOf(code);
  if (state === 'placed') return;
  const symbol = CallableRecord.symbolOf(callable as CallableRecord);
  if (owner.isDisposed) throw new StateError(`${symbol}: the Jit is disposed`);
  const what = state === 'freed' ? 'freed' : 'not placed';
  throw new StateError(`${symbol}: its code object '${CodeRecord.nameOf(code)}' is ${what}`);
}

/** Throws the TypeError for a wrong number of arguments. */
export function refuseCount(callable: unknown, count: number): never {
  const { text, parameters } = CallableRecord.kindOf(callable as CallableRecord).signature;
  const wanted = parameters.length;
  throw new TypeError(
    `${CallableRecord.symbolOf(callable as CallableRecord)}: ${text} takes ${wanted} argument${wanted === 1 ? '' : 's'}, but got ${count}`,
  );
}

/** Throws the TypeError for a wrong argument. */
export function refuseArgument(callable: unknown, index: number, value: unknown): never {
  const symbol = CallableRecord.symbolOf(callable as CallableRecord);
  const kind = CallableRecord.kindOf(callable as CallableRecord).signature.parameters[index] ?? 'void';
  const name = parameterName(CallableRecord.codeOf(callable as CallableRecord), symbol, index);
  const parameter = name === undefined ? `parameter ${index}` : `parameter '${name}'`;
  throw new TypeError(`${symbol}: ${parameter} (${kind}) must be ${expectation(kind)}, not ${show(value)}`);
}

/** What the IR calls a parameter; undefined if that is not known. */
function parameterName(code: Code, symbol: string, index: number): string | undefined {
  if (CodeRecord.statusOf(code).state === 'freed') return undefined;
  CodeRecord.requireAlive(code, 'get');
  const { functions } = CodeRecord.ownerOf(code).exports.of(CodeRecord.idOf(code), CodeRecord.handleOf(code));
  const name = functions.get(symbol)?.parameterNames[index];
  return name === '' ? undefined : name;
}

/** The address for a 'ptr' argument that is neither bigint nor null; holds what it points to. */
export function addressOf(callable: unknown, index: number, value: unknown): bigint {
  const { native, held } = CallableRecord.kindOf(callable as CallableRecord).owner;
  if (ArrayBuffer.isView(value) || types.isAnyArrayBuffer(value)) {
    held.add(value);
    // Node-API knows no SharedArrayBuffer, but views of one.
    return native.bufferAddress(types.isSharedArrayBuffer(value) ? new Uint8Array(value) : value);
  }
  if (!CallableRecord.isCallable(value)) return refuseArgument(callable, index, value);
  held.add(value);
  return entryOf(value);
}

/** The entry stub's address of a callable as a value for code. Throws StateError if its code object is freed. */
export function entryOf(callable: CallableRecord): bigint {
  const code = CallableRecord.codeOf(callable);
  CodeRecord.ownerOf(code).settle();
  if (CodeRecord.statusOf(code).state === 'freed')
    throw new StateError(`${CallableRecord.symbolOf(callable)}: its code object '${CodeRecord.nameOf(code)}' is freed`);
  return CallableRecord.entryOf(callable);
}
