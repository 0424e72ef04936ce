/**
 * JS values as values of code.
 *
 * In: a kind and any JS value. Out: what code takes for it. Always true: nothing is coerced across types, and integers wrap.
 */
import type { ValueKind } from '../base/native';

/** `value` as code of `kind` takes it (not 'ptr'), or undefined if it has not the right type. */
export function convertScalar(kind: ValueKind, value: unknown): number | bigint | boolean | undefined {
  if (kind === 'i1') return typeof value === 'boolean' ? value : undefined;
  if (kind === 'i64') return convertI64(value);
  if (typeof value !== 'number') return undefined;
  if (kind === 'i8') return (value << 24) >> 24;
  if (kind === 'i16') return (value << 16) >> 16;
  return kind === 'i32' ? value | 0 : value;
}

function convertI64(value: unknown): bigint | undefined {
  if (typeof value === 'bigint') return BigInt.asIntN(64, value);
  return Number.isSafeInteger(value) ? BigInt(value as number) : undefined;
}
