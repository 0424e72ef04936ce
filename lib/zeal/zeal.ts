/**
 * Zeal: a collection at every host function call.
 *
 * In: what to run. Out: it runs, before each host function of the Jit. Always true: several collectors of one Jit all get their turn.
 */
import type { Hooks } from '../jit/hooks';

/** Whether NOMAD_ZEAL asks every collector to be zealous. */
export function isZealous(): boolean {
  return process.env.NOMAD_ZEAL === '1';
}

/** One listener before host functions. */
export class Zeal {
  readonly #hooks: Hooks;
  readonly #run: () => void;
  readonly #before: (() => void) | undefined;
  #isStopped = false;

  constructor({ hooks }: { readonly hooks: Hooks }, run: () => void) {
    const before = hooks.beforeHost;
    this.#hooks = hooks;
    this.#before = before;
    this.#run = () => {
      before?.();
      if (!this.#isStopped) run();
    };
    hooks.beforeHost = this.#run;
  }

  /** Ends it. */
  stop(): void {
    this.#isStopped = true;
    if (this.#hooks.beforeHost === this.#run) this.#hooks.beforeHost = this.#before;
  }
}
