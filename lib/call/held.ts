/**
 * What running calls keep reachable, and whether their buffers are still there.
 *
 * In: arguments of `ptr` parameters. Out: the same, held; an error. Always true: while a host function runs, the bytes of every buffer whose
 * address a waiting call has are where they were, or the code is left with a StateError before it goes on.
 *
 * Only JS of this thread can detach or shrink a buffer (transfer, `resize`, a WebAssembly memory that grows), so only while code waits for a host
 * function: what was passed is looked at again when that returns. Calls nest, so each cuts the stack back to the depth at which it began.
 */
import { types } from 'node:util';
import { StateError } from '../base/errors';

const lengthOf = (prototype: object): ((this: unknown) => number) =>
  // eslint-disable-next-line @typescript-eslint/unbound-method -- called with `call`
  Object.getOwnPropertyDescriptor(prototype, 'byteLength')?.get ?? (() => 0);
const ofTypedArray = lengthOf(Object.getPrototypeOf(Uint8Array.prototype) as object);
const ofDataView = lengthOf(DataView.prototype);
const ofArrayBuffer = lengthOf(ArrayBuffer.prototype);

/** Bytes of it now; 0 if they are gone. Shared memory never shrinks. */
function bytesNow(value: unknown): number {
  if (types.isTypedArray(value)) return ofTypedArray.call(value);
  if (types.isArrayBuffer(value)) return ofArrayBuffer.call(value);
  if (!types.isDataView(value)) return Infinity;
  try {
    return ofDataView.call(value);
  } catch {
    return 0; // that of a detached buffer has no length at all
  }
}

/** What calls of all Jits of the thread hold, the outer ones first: code of one may call another's. */
const values: unknown[] = [];

/** As one Jit sees it. */
export class Held {
  readonly #isWaiting: () => boolean;

  /** `isWaiting`: whether any code of the thread waits for a host function. */
  constructor(isWaiting: () => boolean) {
    this.#isWaiting = isWaiting;
  }

  /** How many there are. */
  get length(): number {
    return values.length;
  }

  /** Where a call begins: how many others hold. Where V8 has ended execution, some never let go. */
  begin(): number {
    if (values.length > 0 && !this.#isWaiting()) values.length = 0;
    return values.length;
  }

  add(value: unknown): void {
    values.push(value);
  }

  /** Where a call ends. */
  letGo(depth: number): void {
    while (values.length > depth) values.pop();
  }

  /** Before a host function runs: how large they are. */
  measure(): number[] | undefined {
    return values.length === 0 ? undefined : values.map(bytesNow);
  }

  /** When it returns. Throws StateError if a buffer that waiting code has the address of is gone. */
  check(before: readonly number[]): void {
    for (const [i, bytes] of before.entries()) {
      const now = bytesNow(values[i]);
      if (now >= bytes) continue;
      const what = now === 0 ? 'was detached' : `has shrunk from ${bytes} to ${now} bytes`;
      throw new StateError(`a buffer that running code has the address of ${what}: the code can't go on`);
    }
  }
}
