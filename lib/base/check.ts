/**
 * Checks of what users pass, and how a message shows a value.
 *
 * In: a name and a value. Out: the value, with its type. Always true: the error names the option or argument,
 * the value, and what was expected; TypeError for a wrong type, RangeError for a wrong value.
 */
import { inspect, types } from 'node:util';

/** A value as messages show it: one short line. */
export function show(value: unknown): string {
  if (typeof value === 'function') return 'a function';
  if (typeof value !== 'object' || value === null) {
    const text = inspect(value, { maxStringLength: 40, breakLength: Infinity });
    return value === undefined || value === null ? text : `${typeof value} ${text}`;
  }
  const name: unknown = (Object.getPrototypeOf(value) as { constructor?: { name?: unknown } } | null)?.constructor?.name;
  return typeof name === 'string' && name !== '' ? `an object of class ${name}` : 'an object';
}

/** An offset or a size in hex, as messages show it; other values as `show` does. */
export function hex(value: unknown): string {
  return Number.isSafeInteger(value) && (value as number) >= 0 ? `0x${(value as number).toString(16)}` : show(value);
}

/** Returns `value`, an integer from `least` to `most`. */
export function integerBetween(name: string, value: unknown, least: number, most: number): number {
  const expected = `${name} must be an integer from ${least} to ${most}`;
  if (typeof value !== 'number') throw new TypeError(`${expected}, not ${show(value)}`);
  if (!Number.isSafeInteger(value) || value < least || value > most) throw new RangeError(`${expected}, not ${value}`);
  return value;
}

/** Returns `value`, which is one of `choices`. */
export function oneOf<T extends string | number>(name: string, value: unknown, choices: readonly T[]): T {
  const found = choices.find((choice) => choice === value);
  if (found !== undefined) return found;
  const message = `${name} must be one of ${choices.map((choice) => inspect(choice)).join(', ')}, not ${show(value)}`;
  throw typeof value === typeof choices[0] ? new RangeError(message) : new TypeError(message);
}

/** Returns `value`, a string that is not empty. */
export function nonEmptyString(name: string, value: unknown): string {
  if (typeof value !== 'string') throw new TypeError(`${name} must be a string, not ${show(value)}`);
  if (value === '') throw new RangeError(`${name} must not be empty`);
  return value;
}

/** Returns `value`, an options object; `{}` for undefined. */
export function optionsObject<T extends object>(name: string, value: T | undefined): Partial<T> {
  if (value === undefined) return {};
  if (typeof value !== 'object' || (value as unknown) === null)
    throw new TypeError(`${name} must be an object, not ${show(value)}`);
  return value;
}

const maximumAddress = 2n ** 64n - 1n;

/** Returns `value`, a bigint that an address can have. */
export function address(name: string, value: bigint): bigint {
  if (value < 0n || value > maximumAddress)
    throw new RangeError(`${name} must be an address from 0n to 2n ** 64n - 1n, not ${value}n`);
  return value;
}

/** `Did you mean …?` with the names nearest to `wanted`, or ''. */
export function suggestion(wanted: string, names: Iterable<string>): string {
  const limit = Math.max(1, Math.floor(wanted.length / 3));
  const near = [...names]
    .map((name) => ({ name, distance: editDistance(wanted, name, limit) }))
    .filter(({ distance }) => distance <= limit)
    .sort((a, b) => a.distance - b.distance)
    .slice(0, 3);
  return near.length === 0 ? '' : ` Did you mean ${near.map(({ name }) => `'${name}'`).join(' or ')}?`;
}

/** Levenshtein distance; anything above `limit` if it is above `limit`. */
function editDistance(a: string, b: string, limit: number): number {
  if (Math.abs(a.length - b.length) > limit) return limit + 1;
  let row = Array.from({ length: b.length + 1 }, (_, j) => j);
  for (let i = 0; i < a.length; i++) {
    const next = [i + 1];
    for (let j = 0; j < b.length; j++) {
      const change = (row[j] ?? 0) + (a[i] === b[j] ? 0 : 1);
      next.push(Math.min(change, (row[j + 1] ?? 0) + 1, (next[j] ?? 0) + 1));
    }
    row = next;
  }
  return row[b.length] ?? 0;
}

/** Throws TypeError unless `value` is a boolean. */
export function flag(name: string, value: unknown): boolean {
  if (typeof value !== 'boolean') throw new TypeError(`${name} must be a boolean, not ${show(value)}`);
  return value;
}

/** Whether `value` can have properties that are private to a class. */
export function isObject(value: unknown): value is object {
  return typeof value === 'object' && value !== null;
}

/** What the constructors of classes that users can't make objects of ask for. */
export const constructorKey = Symbol('nomad-jit');

/** Throws TypeError unless a constructor was called by its own class. */
export function requireKey(key: symbol, name: string, maker: string): void {
  if (key !== constructorKey) throw new TypeError(`${name} has no constructor for users: ${maker} makes one`);
}

/** An object of a class whose constructor is private, and asks for `constructorKey`. */
export function construct<T>(type: { readonly prototype: T }, ...values: readonly unknown[]): T {
  return Reflect.construct(type as unknown as new (...values: unknown[]) => object, [constructorKey, ...values]) as T;
}

/** Whether `value` is an integer of 32 bits. */
export function isInt32(value: unknown): value is number {
  return typeof value === 'number' && (value | 0) === value;
}

const getterOf = (prototype: object, name: string): ((this: unknown) => unknown) =>
  // eslint-disable-next-line @typescript-eslint/unbound-method -- called with `call`
  Object.getOwnPropertyDescriptor(prototype, name)?.get ?? (() => undefined);
const bufferOf = getterOf(Object.getPrototypeOf(Uint8Array.prototype) as object, 'buffer');

/** Returns `value`, a Uint8Array, as one that does not change while it is read. Throws TypeError. */
export function ownBytes(name: string, value: unknown): Uint8Array {
  if (!types.isUint8Array(value)) throw new TypeError(`${name} must be a Uint8Array, not ${show(value)}`);
  return types.isSharedArrayBuffer(bufferOf.call(value)) ? new Uint8Array(value) : value;
}
