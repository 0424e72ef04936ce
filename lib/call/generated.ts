/**
 * Entrances made of generated JS, one source per signature. About 10 ns a call.
 *
 * In: a signature. Out: functions that check and write their arguments, call the call thunk, and read the result. Always true:
 * user code can't run between the first write to the argument block and the thunk, nor between the thunk and the read of the
 * result, so one block serves nested calls.
 *
 * The argument block, in bytes:
 *
 *   0        8        16                     blockParameterBytes ...  blockEntryOffset
 *   | p0     | p1     | p2 ...                                        | int32: entry stub
 *   | result |
 *
 * i1 to i32 are an int32 at the start of their 8 bytes, float and double a double, i64 and ptr 8 bytes.
 *
 * For `i32 (i32, ptr)` the source is this, plus a variant that counts calls, for tiered code:
 *
 *   return function (code, entry, counter) {
 *     return counter !== undefined ? ... : function call(a0, a1) {
 *       if (isPlaced(code) !== true) refuseState(call);
 *       if (arguments.length !== 2) refuseCount(call, arguments.length);
 *       if (typeof a0 !== 'number') refuseArgument(call, 0, a0);
 *       const depth = held.begin();
 *       try {
 *         const p1 = typeof a1 === 'bigint' ? a1 : a1 === null ? 0n : addressOf(call, 1, a1);
 *         I32[0] = a0;
 *         U64[1] = p1;
 *         I32[258] = entry;
 *         thunk();
 *         return I32[0];
 *       } finally { if (held.length !== depth) held.letGo(depth); }
 *     };
 *   };
 */
import type { Signature, ValueKind } from '../base/native';
import { CodeRecord } from '../record/code-record';
import { addressOf, refuseArgument, refuseCount, refuseState } from './arguments';
import type { CallOwner, EntranceMaker } from './types';

/** Makes entrances through the thunk in style 'block'. */
export function makeGenerated({ native, held }: CallOwner, signature: Signature, index: number): EntranceMaker {
  const names = {
    I32: new Int32Array(native.block),
    F64: new Float64Array(native.block),
    I64: new BigInt64Array(native.block),
    U64: new BigUint64Array(native.block),
    thunk: native.thunk(index, 'block'),
    ...{ isSafeInteger: Number.isSafeInteger, floor: Math.floor },
    ...{ isPlaced: CodeRecord.isPlaced, held, addressOf, refuseState, refuseCount, refuseArgument },
  };
  // eslint-disable-next-line @typescript-eslint/no-implied-eval -- built from the signature's kinds alone
  const make = new Function(...Object.keys(names), source(signature, native.blockEntryOffset / 4)) as (
    ...values: unknown[]
  ) => EntranceMaker;
  return make(...Object.values(names));
}

/** `!== true` is one comparison; `!` would ask for the type first. */
function source({ parameters, result }: Signature, entryIndex: number): string {
  const names = parameters.map((_, i) => `a${i}`);
  const lines = [
    `if (isPlaced(code) !== true) refuseState(call);`,
    `if (arguments.length !== ${parameters.length}) refuseCount(call, arguments.length);`,
    ...parameters.map(check),
    ...(parameters.includes('ptr') ? ['const depth = held.begin();', 'try {'] : []),
    ...parameters.map((kind, i) => (kind === 'ptr' ? address(i) : '')),
    ...parameters.map(write),
    `I32[${entryIndex}] = entry;`,
    'thunk();',
    results[result],
    ...(parameters.includes('ptr') ? ['} finally { if (held.length !== depth) held.letGo(depth); }'] : []),
  ];
  const body = lines.filter((line) => line !== '').join('\n');
  const plain = `function call(${names.join(', ')}) {\n${body}\n}`;
  const counted = `function call(${names.join(', ')}) {\nif (--counter.left === 0) counter.reached();\n${body}\n}`;
  return `'use strict';\nreturn function (code, entry, counter) {\nreturn counter === undefined ? ${plain} : ${counted};\n};`;
}

/** Conditions under which an argument `a` is refused; pointers are checked by `address`. */
const refusals: Readonly<Record<ValueKind, string>> = {
  void: '',
  i1: `typeof a !== 'boolean'`,
  i8: `typeof a !== 'number'`,
  i16: `typeof a !== 'number'`,
  i32: `typeof a !== 'number'`,
  i64: `typeof a !== 'bigint' && !isSafeInteger(a)`,
  float: `typeof a !== 'number'`,
  double: `typeof a !== 'number'`,
  ptr: '',
};

function check(kind: ValueKind, i: number): string {
  const refusal = refusals[kind].replaceAll(/\ba\b/g, `a${i}`);
  return refusal === '' ? '' : `if (${refusal}) refuseArgument(call, ${i}, a${i});`;
}

function address(i: number): string {
  return `const p${i} = typeof a${i} === 'bigint' ? a${i} : a${i} === null ? 0n : addressOf(call, ${i}, a${i});`;
}

function write(kind: ValueKind, i: number): string {
  if (kind === 'ptr') return `U64[${i}] = p${i};`;
  if (kind === 'float' || kind === 'double') return `F64[${i}] = a${i};`;
  if (kind === 'i1') return `I32[${2 * i}] = a${i} ? 1 : 0;`;
  if (kind !== 'i64') return `I32[${2 * i}] = a${i};`;
  // Two halves spare a safe integer the detour through a new BigInt.
  return `if (typeof a${i} === 'bigint') I64[${i}] = a${i}; else { I32[${2 * i}] = a${i}; I32[${2 * i + 1}] = floor(a${i} / 4294967296); }`;
}

const results: Readonly<Record<ValueKind, string>> = {
  void: '',
  i1: 'return I32[0] !== 0;',
  i8: 'return I32[0];',
  i16: 'return I32[0];',
  i32: 'return I32[0];',
  i64: 'return I64[0];',
  float: 'return F64[0];',
  double: 'return F64[0];',
  ptr: 'return U64[0];',
};
