/**
 * The JS halves of one Jit's code objects and host functions by handle, held weakly, and the freeing of those that JS has forgotten.
 *
 * In: code objects with their handles. Out: lookups; a call of `free` for each dead handle. Always true:
 *
 *   - a handle has an entry from its `add` until `delete`; its code object is dead if V8 has collected it
 *   - a dead code object that can't be freed yet is tried again later
 *
 * Native code has the references (native/wrap/object_refs.h says why). There is no notice of a death: the table is read through after each full
 * collection of V8's, when there is no room, and by collectors, at ten nanoseconds an entry.
 */
import { onJsCollection } from '../base/garbage';
import type { Handle, NativeJit } from '../base/native';

let lastId = 0;

/** A number that nothing else in this process has had or will have. */
export function nextId(): number {
  return ++lastId;
}

/** What native code knows by a handle: a code object or a host function. */
export interface Entry {
  readonly id: number;
}

const chunkLength = 16384;

/** Code objects and host functions by handle. */
export class ObjectTable {
  readonly #native: NativeJit;
  readonly #free: (handles: Int32Array) => Handle[];
  readonly #claims = new Set<(handle: Handle) => boolean>();
  #limit = 0;
  /** Those that no listener has claimed. */
  #dead: Handle[] = [];
  #isScheduled = false;

  /** `free` frees what it can of some handles, calls `delete` for those, and returns the rest. */
  constructor(native: NativeJit, free: (handles: Int32Array) => Handle[]) {
    this.#native = native;
    this.#free = free;
    onJsCollection(this);
  }

  add(handle: Handle, object: Entry): void {
    this.#native.keepTrack(handle, object);
    if (handle >= this.#limit) this.#limit = handle + 1;
  }

  /** The code object or host function, if it lives and JS has not forgotten it. */
  get(handle: Handle): Entry | undefined {
    return this.#native.objectOf(handle) as Entry | undefined;
  }

  /** Handles are below. */
  get limit(): number {
    return this.#limit;
  }

  has(handle: Handle): boolean {
    return this.#native.hasObject(handle);
  }

  /** Forgets freed handles. What refers to nothing else any more may now be freeable. */
  delete(handles: Int32Array): void {
    this.#native.loseTrack(handles, handles.length);
    if (this.#dead.length > 0) this.#scheduleFreeing();
  }

  /** Those that JS has not forgotten. */
  known(): Entry[] {
    return this.handles()
      .map((handle) => this.get(handle))
      .filter((object) => object !== undefined);
  }

  /** All that have an entry. */
  handles(): Handle[] {
    const found: Handle[] = [];
    for (let handle = 0; handle < this.#limit; handle++) if (this.has(handle)) found.push(handle);
    return found;
  }

  /** Forgets all. */
  clear(): void {
    this.#native.loseAll();
    this.#limit = 0;
    this.#dead = [];
  }

  /** A listener that returns true for a dead handle frees it. Returns a function that removes the listener. */
  onDead(claim: (handle: Handle) => boolean): () => void {
    this.#claims.add(claim);
    return () => void this.#claims.delete(claim);
  }

  /** Frees dead handles where it can, claimed ones with unclaimed ones: circles may lead through both. */
  freeClaimed(claimed: Int32Array): void {
    const others = this.#takeDead();
    const left = this.#free(others.length === 0 ? claimed : new Int32Array([...claimed, ...others]));
    this.#keepDead(left.length === 0 ? [] : others, claimed.length + others.length - left.length);
  }

  /** Frees dead handles that a listener has claimed and gives up. */
  forgetDead(handles: readonly Handle[]): void {
    this.#addDead(handles);
    this.#scheduleFreeing();
  }

  /** Whether JS has forgotten what has this handle. */
  isDead(handle: Handle): boolean {
    return this.has(handle) && this.get(handle) === undefined;
  }

  /** Brings those of `handles` that are dead to the front; returns how many. */
  deadFirst(handles: Int32Array): number {
    return this.#native.deadFirst(handles, handles.length);
  }

  /** V8 has collected: sees what is dead, and frees it in a job of its own. */
  noteJsCollection(): void {
    this.findDead();
    if (this.#dead.length > 0) this.#scheduleFreeing();
  }

  /** Looks through the whole table for the dead. */
  findDead(): void {
    const unclaimed: Handle[] = [];
    for (const handle of this.#everyDead()) if (!this.#isClaimed(handle)) unclaimed.push(handle);
    this.#dead = unclaimed;
  }

  /** Frees what it can of the dead that no listener has claimed; returns whether that was anything. */
  freeDead(): boolean {
    const dead = this.#takeDead();
    const left = this.#free(Int32Array.from(dead));
    this.#keepDead(left, dead.length - left.length);
    return left.length < dead.length;
  }

  #takeDead(): Handle[] {
    const dead = this.#dead.filter((handle) => this.isDead(handle));
    this.#dead = [];
    return dead;
  }

  /** What is left is tried again when it may refer to less: at once if some have been freed. */
  #keepDead(handles: readonly Handle[], freed: number): void {
    this.#addDead(handles.filter((handle) => this.isDead(handle)));
    if (freed > 0 && this.#dead.length > 0) this.#scheduleFreeing();
  }

  #addDead(handles: readonly Handle[]): void {
    if (handles.length > 0) this.#dead = [...new Set([...this.#dead, ...handles])];
  }

  #isClaimed(handle: Handle): boolean {
    for (const claim of this.#claims) if (claim(handle)) return true;
    return false;
  }

  #everyDead(): Handle[] {
    const found: Handle[] = [];
    const chunk = new Int32Array(Math.min(chunkLength, this.#limit));
    for (let base = 0; base < this.#limit; base += chunk.length) {
      const count = Math.min(chunk.length, this.#limit - base);
      for (let i = 0; i < count; i++) chunk[i] = base + i;
      const dead = this.#native.deadFirst(chunk, count);
      for (let i = 0; i < dead; i++) found.push(chunk[i] ?? 0);
    }
    return found;
  }

  /** Once for all that is noted in one go. */
  #scheduleFreeing(): void {
    if (this.#isScheduled) return;
    this.#isScheduled = true;
    queueMicrotask(() => {
      this.#isScheduled = false;
      this.freeDead();
    });
  }
}
