/**
 * Where code wants to be moved.
 *
 * In: listeners. Out: a host function that runs them. Always true: one that is removed meanwhile does not run.
 */
import { show } from '../base/check';
import { hostFunction, type HostFunction } from '../call/host-function';

/** The safepoints of one Jit. */
export class Safepoints {
  readonly #listeners = new Set<() => void>();
  #host: HostFunction | undefined;

  /** As `jit.safepoint`. */
  get host(): HostFunction {
    return (this.#host ??= hostFunction('void ()', () => this.#reach()));
  }

  /** As `jit.onSafepoint`. */
  listen(listener: () => void): () => void {
    if (typeof (listener as unknown) !== 'function') throw new TypeError(`a listener must be a function, not ${show(listener)}`);
    const own = (): void => listener();
    this.#listeners.add(own);
    return () => void this.#listeners.delete(own);
  }

  #reach(): void {
    for (const listener of [...this.#listeners]) if (this.#listeners.has(listener)) listener();
  }
}
