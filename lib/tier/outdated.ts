/**
 * Code objects that others have replaced: native halves that no JS object stands for.
 *
 * In: handles of the old and the new. Out: what is to be freed with others. Always true: an old one has no callers and no entry stubs; it is
 * freed when no frame of it is left and, if it has constants, whose addresses code may have stored, when the new one is freed.
 */
import type { Handle } from '../base/native';
import type { JitCore } from '../jit/core';

const ofJits = new WeakMap<JitCore, Outdated>();

/** Those of a Jit. */
export function outdatedOf(core: JitCore): Outdated {
  const known = ofJits.get(core);
  if (known !== undefined) return known;
  const made = new Outdated(core);
  ofJits.set(core, made);
  return made;
}

/** Those of one Jit. */
class Outdated {
  readonly #core: JitCore;
  /** Kept for their constants, by their replacements. */
  readonly #kept = new Map<Handle, Handle>();
  /** To be freed as soon as that is possible. */
  readonly #ending = new Set<Handle>();

  constructor(core: JitCore) {
    this.#core = core;
    core.hooks.endingWith.add((handles) => this.#endingWith(handles));
    core.hooks.onDropped.add((handles) => this.#noteFreed(handles));
  }

  /** How many there are. */
  get count(): number {
    return this.#kept.size + this.#ending.size;
  }

  /** Tries at once to free `old`, unless it has constants. */
  add(old: Handle, successor: Handle): void {
    const [, constantBytes] = this.#core.native.describe(old).sizes;
    if (constantBytes > 0) this.#kept.set(successor, old);
    else this.#end(old);
  }

  /** What is freed together with `handles`, as far as native code allows. */
  #endingWith(handles: Int32Array): Handle[] {
    if (this.count === 0) return [];
    const kept = Array.from(handles, (handle) => this.#kept.get(handle)).filter((handle) => handle !== undefined);
    return [...kept, ...this.#ending];
  }

  /** They are gone, and may be reused. */
  #noteFreed(handles: Int32Array): void {
    if (this.count > 0) for (const handle of handles) this.#noteOneFreed(handle);
  }

  #noteOneFreed(handle: Handle): void {
    this.#ending.delete(handle);
    const kept = this.#kept.get(handle);
    if (kept === undefined) return;
    this.#kept.delete(handle);
    if (this.#core.native.isLive(kept)) this.#end(kept);
  }

  #end(handle: Handle): void {
    this.#ending.add(handle);
    this.#core.objects.forgetDead([]);
  }
}
