/**
 * Compiles that are under way, and the promises of their results.
 *
 * In: what each is to be linked to. Out: a promise, and what native code calls when it is done. Always true: what is imported lives until then;
 * nothing here holds the source.
 */
import type { Handle } from '../base/native';
import type { Entry } from '../record/object-table';

/** A promise, and what native code calls once. */
export interface Expected<T> {
  readonly promise: Promise<T>;
  readonly done: (error: Error | undefined, handle: Handle) => void;
}

/** Those of one Jit. */
export class PendingCompiles {
  readonly #rejects = new Map<(reason: Error) => void, readonly Entry[]>();

  /** `make` makes the result of a handle; what it throws rejects the promise. */
  expect<T>(imported: readonly Entry[], make: (handle: Handle) => T): Expected<T> {
    let done!: (error: Error | undefined, handle: Handle) => void;
    const promise = new Promise<T>((resolve, reject) => {
      this.#rejects.set(reject, imported);
      done = (error, handle) => {
        if (!this.#rejects.delete(reject)) return; // disposed meanwhile, and so rejected
        if (error === undefined) settle(resolve, reject, () => make(handle));
        else reject(error);
      };
    });
    return { promise, done };
  }

  rejectAll(reason: Error): void {
    for (const reject of this.#rejects.keys()) reject(reason);
    this.#rejects.clear();
  }
}

function settle<T>(resolve: (value: T) => void, reject: (reason: unknown) => void, make: () => T): void {
  try {
    resolve(make());
  } catch (error) {
    reject(error);
  }
}
