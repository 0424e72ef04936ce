/**
 * Everything that one collector has: its generations, and the tables of what is in them.
 *
 * In: sizes. Out: what collections work on. Always true: a code object that is freed, by whom ever, is in no table any more.
 */
import type { Handle } from '../base/native';
import type { JitCore } from '../jit/core';
import { Admission } from './admission';
import { Evacuation } from './evacuation';
import type { FixedParts } from './fixed-parts';
import { makeGenerations } from './generations';
import type { Managed } from './managed';
import type { Nursery } from './nursery';
import type { OldGeneration } from './old-generation';
import type { CollectorSizes } from './policy';
import { Room, type Collect } from './room';
import type { SemiSpace } from './semi-space';

/** What a heap needs of its collector. */
export interface HeapOwner {
  /** Runs a collection if there is no room; false while one is under way. */
  readonly collect: Collect;
  /** A code object is not managed any more. */
  readonly forget: (handle: Handle) => void;
  /** A change was left in the middle: the tables are about to be made anew. */
  readonly torn: () => void;
  /** They are whole again. */
  readonly mended: () => void;
}

/** The managed code of one collector. */
export class CodeHeap {
  readonly core: JitCore;
  readonly nursery: Nursery;
  readonly old: OldGeneration;
  readonly admission: Admission;
  readonly evacuation: Evacuation;
  /** Collections that a code object survives in the nursery. */
  readonly promoteAfter: number;
  readonly #parts: FixedParts;
  readonly #owner: HeapOwner;
  readonly #stopClaiming: () => void;
  #isEnded = false;
  #freed = 0;
  #freedBytes = 0;
  readonly #onFreed = (handles: Int32Array): void => this.#noteFreed(handles);
  readonly #onTorn = (): void => this.#mend();

  /** Takes its spaces out of the arena. Throws SpaceFullError. */
  constructor(core: JitCore, sizes: CollectorSizes, promoteAfter: number, owner: HeapOwner) {
    const generations = makeGenerations(core, sizes);
    this.core = core;
    ({ nursery: this.nursery, old: this.old, parts: this.#parts } = generations);
    this.promoteAfter = promoteAfter;
    this.#owner = owner;
    this.admission = new Admission(core, generations, new Room(core, generations, owner.collect));
    this.evacuation = new Evacuation(core, this.admission.managed, this.#parts);
    this.#stopClaiming = core.objects.onDead((handle) => this.#claim(handle));
    core.hooks.onFreed.add(this.#onFreed);
    core.hooks.onTorn.add(this.#onTorn);
    core.hooks.managers.add(this.admission);
  }

  get managed(): Managed {
    return this.admission.managed;
  }

  /** What is promoted at once never is in the nursery. */
  get firstGeneration(): SemiSpace {
    return this.promoteAfter === 0 ? this.old : this.nursery;
  }

  /** Code objects and their bytes of code that were freed since the last call. */
  takeFreed(): { freed: number; freedBytes: number } {
    const counts = { freed: this.#freed, freedBytes: this.#freedBytes };
    this.#freed = 0;
    this.#freedBytes = 0;
    return counts;
  }

  /** Manages nothing new; its spaces go back once nothing is in them. May be done again. */
  end(): void {
    const { core, admission } = this;
    this.#isEnded = true;
    core.hooks.managers.delete(admission);
    this.#stopClaiming();
    core.objects.forgetDead([...admission.listDead()]);
    this.#disposeSpaces();
  }

  #claim(handle: Handle): boolean {
    if (!this.admission.isManaged(handle)) return false;
    this.admission.noteDead(handle);
    return true;
  }

  #noteFreed(handles: Int32Array): void {
    for (const handle of handles) {
      this.#owner.forget(handle);
      const bytes = this.admission.forget(handle);
      if (bytes === undefined) continue;
      this.#freed++;
      this.#freedBytes += bytes;
    }
    if (this.#isEnded) this.#disposeSpaces();
  }

  #mend(): void {
    this.#owner.torn();
    this.admission.mend(this.#owner.forget);
    this.#owner.mended();
  }

  #disposeSpaces(): void {
    if (this.admission.count > 0) return;
    for (const part of [this.nursery, this.old, this.#parts]) part.dispose();
    this.core.hooks.onFreed.delete(this.#onFreed);
    this.core.hooks.onTorn.delete(this.#onTorn);
  }
}
