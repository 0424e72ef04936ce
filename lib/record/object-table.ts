/**
 * The code objects of one Jit by handle, held weakly, and the freeing of those that JS has forgotten.
 *
 * In: code objects with their handles. Out: lookups; a call of `free` for each dead handle. Always true:
 *
 *   - a handle has an entry from its `add` until `delete`; its code object is dead if the WeakRef is empty
 *   - nothing is thrown from a finalizer: a dead code object that can't be freed yet is tried again later
 *
 * The finalizer's held value is the handle alone. It may have been reused by then, which does no harm: whoever has the
 * handle now is freed only if it is dead itself.
 */
import type { Handle } from '../base/native';

let lastId = 0;

/** A number that nothing else in this process has had or will have. */
export function nextId(): number {
  return ++lastId;
}

/** What native code knows by a handle: a code object or a host function. */
export interface Entry {
  readonly id: number;
}

/** Code objects and host functions by handle. */
export class ObjectTable {
  readonly #objects: Array<WeakRef<Entry> | undefined> = [];
  readonly #registry = new FinalizationRegistry<Handle>((handle) => this.#noteDead(handle));
  readonly #free: (handles: Int32Array) => Handle[];
  readonly #claims = new Set<(handle: Handle) => boolean>();
  #dead: Handle[] = [];
  #isScheduled = false;

  /** `free` frees what it can of some handles, calls `delete` for those, and returns the rest. */
  constructor(free: (handles: Int32Array) => Handle[]) {
    this.#free = free;
  }

  add(handle: Handle, object: Entry): void {
    this.#objects[handle] = new WeakRef(object);
    this.#registry.register(object, handle);
  }

  /** The code object or host function, if it lives and JS has not forgotten it. */
  get(handle: Handle): Entry | undefined {
    return this.#objects[handle]?.deref();
  }

  /** Handles are below. */
  get limit(): number {
    return this.#objects.length;
  }

  has(handle: Handle): boolean {
    return this.#objects[handle] !== undefined;
  }

  /** Forgets a freed handle. What refers to nothing else any more may now be freeable. */
  delete(handle: Handle): void {
    this.#objects[handle] = undefined;
    if (this.#dead.length > 0) this.#scheduleFreeing();
  }

  /** Those that JS has not forgotten. */
  known(): Entry[] {
    return this.#objects.map((reference) => reference?.deref()).filter((object) => object !== undefined);
  }

  /** All that have an entry. */
  handles(): Handle[] {
    return this.#objects.flatMap((reference, handle) => (reference === undefined ? [] : [handle]));
  }

  /** Forgets all. */
  clear(): void {
    this.#objects.length = 0;
    this.#dead = [];
  }

  /** Whoever returns true for a dead handle frees it. Returns a function that ends that. */
  onDead(claim: (handle: Handle) => boolean): () => void {
    this.#claims.add(claim);
    return () => void this.#claims.delete(claim);
  }

  /** Frees what it can of dead handles that somebody has claimed, with those that nobody has: circles may lead through both. */
  freeClaimed(claimed: Int32Array): void {
    const others = this.#listDead();
    this.#free(others.length === 0 ? claimed : new Int32Array([...claimed, ...others]));
    this.#dead = this.#listDead();
  }

  /** Frees dead handles that somebody has claimed and does not want any more. */
  forgetDead(handles: readonly Handle[]): void {
    for (const handle of handles) this.#dead.push(handle);
    this.#scheduleFreeing();
  }

  /** Whether JS has forgotten what has this handle. */
  isDead(handle: Handle): boolean {
    const reference = this.#objects[handle];
    return reference !== undefined && reference.deref() === undefined;
  }

  #noteDead(handle: Handle): void {
    if (!this.isDead(handle)) return; // reused
    for (const claim of this.#claims) if (claim(handle)) return;
    this.#dead.push(handle);
    this.#scheduleFreeing();
  }

  /** Once for all finalizers that run in one go. */
  #scheduleFreeing(): void {
    if (this.#isScheduled) return;
    this.#isScheduled = true;
    queueMicrotask(() => this.#freeDead());
  }

  #freeDead(): void {
    const dead = this.#listDead();
    this.#isScheduled = false;
    this.#dead = this.#free(Int32Array.from(dead));
  }

  /** Those on the list that nobody has freed since. */
  #listDead(): Handle[] {
    return this.#dead.filter((handle) => this.isDead(handle));
  }
}
