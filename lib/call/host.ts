/**
 * What code really calls: JS functions without parameters that read the argument block, call the host function, and write its result.
 *
 * In: what a HostFunction is. Out: such a function. Always true: the parameters are read before, and the result is written after, user code runs,
 * so one block serves nested calls. Generated where V8 may compile strings, interpreted elsewhere; both accept and refuse the same.
 */
import { show } from '../base/check';
import type { ValueKind } from '../base/native';
import { entryOf } from './arguments';
import { convertScalar } from './convert';
import type { HostFacts } from './host-function';
import { isCodegenAllowed } from './kind';
import { CallableRecord } from './record';
import type { CallOwner } from './types';

/** A host function as native code calls it. */
export type HostEntrance = () => void;

/** The values of a block, by type. */
interface BlockViews {
  readonly I32: Int32Array;
  readonly F64: Float64Array;
  readonly I64: BigInt64Array;
  readonly U64: BigUint64Array;
}

/** Makes entrances to the host functions of one Jit; remembers the generated maker of each signature. */
export class HostEntrances {
  readonly #owner: CallOwner;
  readonly #views: BlockViews;
  readonly #makers = new Map<string, (host: HostFacts, callback: unknown) => HostEntrance>();

  constructor(owner: CallOwner) {
    const { block } = owner.native;
    this.#owner = owner;
    this.#views = {
      I32: new Int32Array(block),
      F64: new Float64Array(block),
      I64: new BigInt64Array(block),
      U64: new BigUint64Array(block),
    };
  }

  make(host: HostFacts): HostEntrance {
    if (!isCodegenAllowed()) return interpreted(this.#owner, this.#views, host);
    let maker = this.#makers.get(host.signature.text);
    if (maker === undefined) this.#makers.set(host.signature.text, (maker = this.#generate(host)));
    return maker(host, host.callback);
  }

  #generate({ signature: { parameters, result } }: HostFacts): (host: HostFacts, callback: unknown) => HostEntrance {
    const names = {
      ...this.#views,
      hooks: this.#owner.hooks,
      held: this.#owner.held,
      isSafeInteger: Number.isSafeInteger,
      BigInt,
      refuseResult,
      resultAddress,
    };
    const source = `'use strict';\nreturn function (host, callback) {\nreturn function enter() {
      ${parameters.map((kind, i) => `const a${i} = ${read(kind, i)};`).join(' ')}
      if (hooks.beforeHost !== undefined) hooks.beforeHost();
      const before = held.measure();
      const r = callback(${parameters.map((_, i) => `a${i}`).join(', ')});
      if (before !== undefined) held.check(before);
      ${writes[result]}\n};\n};`;
    // eslint-disable-next-line @typescript-eslint/no-implied-eval -- built from the signature's kinds alone
    const make = new Function(...Object.keys(names), source) as (
      ...values: unknown[]
    ) => (host: HostFacts, callback: unknown) => HostEntrance;
    return make(...Object.values(names));
  }
}

function read(kind: ValueKind, i: number): string {
  if (kind === 'ptr') return `U64[${i}]`;
  if (kind === 'i64') return `I64[${i}]`;
  if (kind === 'float' || kind === 'double') return `F64[${i}]`;
  return kind === 'i1' ? `I32[${2 * i}] !== 0` : `I32[${2 * i}]`;
}

const numberToI32 = `if (typeof r !== 'number') refuseResult(host, r); I32[0] = r;`;
const numberToF64 = `if (typeof r !== 'number') refuseResult(host, r); F64[0] = r;`;

const writes: Readonly<Record<ValueKind, string>> = {
  void: '',
  i1: `if (typeof r !== 'boolean') refuseResult(host, r); I32[0] = r ? 1 : 0;`,
  i8: numberToI32,
  i16: numberToI32,
  i32: numberToI32,
  i64: `if (typeof r === 'bigint') I64[0] = r; else if (isSafeInteger(r)) I64[0] = BigInt(r); else refuseResult(host, r);`,
  float: numberToF64,
  double: numberToF64,
  ptr: `U64[0] = typeof r === 'bigint' ? r : r === null ? 0n : resultAddress(host, r);`,
};

function interpreted({ hooks, held }: CallOwner, views: BlockViews, host: HostFacts): HostEntrance {
  const { signature, callback } = host;
  return () => {
    const values = signature.parameters.map((kind, i) => readValue(views, kind, i));
    hooks.beforeHost?.();
    const before = held.measure();
    const result = callback(...values);
    if (before !== undefined) held.check(before);
    writeResult(views, host, result);
  };
}

function readValue({ I32, F64, I64, U64 }: BlockViews, kind: ValueKind, i: number): unknown {
  if (kind === 'ptr') return U64[i];
  if (kind === 'i64') return I64[i];
  if (kind === 'float' || kind === 'double') return F64[i];
  return kind === 'i1' ? I32[2 * i] !== 0 : I32[2 * i];
}

function writeResult({ I32, F64, I64, U64 }: BlockViews, host: HostFacts, value: unknown): void {
  const kind = host.signature.result;
  if (kind === 'void') return;
  if (kind === 'ptr') {
    U64[0] = typeof value === 'bigint' ? value : value === null ? 0n : resultAddress(host, value);
    return;
  }
  const converted = convertScalar(kind, value) ?? refuseResult(host, value);
  if (typeof converted === 'bigint') I64[0] = converted;
  else if (kind === 'float' || kind === 'double') F64[0] = Number(converted);
  else I32[0] = Number(converted);
}

const expectations: Readonly<Record<ValueKind, string>> = {
  ...{ void: 'nothing', i1: 'a boolean', i8: 'a number', i16: 'a number', i32: 'a number' },
  ...{ i64: 'a bigint or a safe integer', float: 'a number', double: 'a number' },
  ptr: 'a bigint, null or a Callable',
};

function refuseResult({ name, signature }: HostFacts, value: unknown): never {
  throw new TypeError(
    `${name}: the result of a host function of type ${signature.text} must be ${expectations[signature.result]}, not ${show(value)}`,
  );
}

/** A buffer has an address for the time of a call only, and this one ends now. */
function resultAddress(host: HostFacts, value: unknown): bigint {
  return CallableRecord.isCallable(value) ? entryOf(value) : refuseResult(host, value);
}
