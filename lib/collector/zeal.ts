/**
 * Zeal: a collection at every host function call.
 *
 * In: what to run. Out: it runs, before each host function of the Jit. Always true: several collectors of one Jit all get their turn.
 */
import type { JitCore } from '../core';

/** Whether NOMAD_ZEAL asks every collector to be zealous. */
export function isZealous(): boolean {
  return process.env.NOMAD_ZEAL === '1';
}

/** One listener before host functions. */
export class Zeal {
  readonly #core: JitCore;
  readonly #run: () => void;
  readonly #before: (() => void) | undefined;
  #isStopped = false;

  constructor(core: JitCore, run: () => void) {
    const before = core.atHostCall;
    this.#core = core;
    this.#before = before;
    this.#run = () => {
      before?.();
      if (!this.#isStopped) run();
    };
    core.atHostCall = this.#run;
  }

  /** Ends it. */
  stop(): void {
    this.#isStopped = true;
    if (this.#core.atHostCall === this.#run) this.#core.atHostCall = this.#before;
  }
}
