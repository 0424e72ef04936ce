/**
 * Entrances without generated JS, for processes that forbid it, and for signatures too long for the argument block.
 *
 * In: a signature. Out: functions that convert their arguments one by one and hand them to the call thunk as Node-API values.
 * Always true: they accept, refuse and return what generated ones do.
 */
import type { Signature, ValueKind } from '../base/native';
import { CodeRecord, type Code } from '../record/code-record';
import { addressOf, refuseArgument, refuseCount, refuseState } from './arguments';
import { convertScalar } from './convert';
import type { CallCounter, CallOwner, Entrance, EntranceMaker } from './types';

/** Makes entrances through the thunk in style 'values'. */
export function makeInterpreted({ native, held }: CallOwner, { parameters }: Signature, index: number): EntranceMaker {
  const thunk = native.thunk(index, 'values');
  return (code: Code, entry: number, counter: CallCounter | undefined): Entrance => {
    function call(...values: unknown[]): unknown {
      if (counter !== undefined && --counter.left === 0) counter.reached();
      if (!CodeRecord.isPlaced(code)) refuseState(call);
      if (values.length !== parameters.length) refuseCount(call, values.length);
      const depth = held.begin();
      try {
        return thunk(entry, ...convertAll(call, parameters, values));
      } finally {
        held.letGo(depth);
      }
    }
    return Object.defineProperty(call, 'length', { value: parameters.length, configurable: true });
  };
}

/** As in generated code, pointers come last: another argument is refused before a buffer is held. */
function convertAll(call: Entrance, parameters: readonly ValueKind[], values: readonly unknown[]): unknown[] {
  const converted = parameters.map((kind, i) => (kind === 'ptr' ? undefined : convert(call, kind, i, values[i])));
  return parameters.map((kind, i) => (kind === 'ptr' ? pointer(call, i, values[i]) : converted[i]));
}

function convert(call: Entrance, kind: ValueKind, i: number, value: unknown): unknown {
  const converted = convertScalar(kind, value);
  return converted ?? refuseArgument(call, i, value);
}

function pointer(call: Entrance, i: number, value: unknown): bigint {
  if (typeof value === 'bigint') return BigInt.asUintN(64, value);
  return value === null ? 0n : addressOf(call, i, value);
}
