/**
 * The ends of code objects.
 *
 * In: handles. Out: they are freed, where native code allows that. Always true: a code object whose native half is freed has no reservation, and is in
 * no table.
 */
import type { Handle } from '../base/native';
import type { HostTable } from '../code/host-table';
import { markEnding, unmarkEnding } from '../code/life-cycle';
import type { CodeOwner } from '../code/owner';
import { CodeRecord, type Code } from '../record/code-record';
import type { Hooks } from './hooks';

/** A Jit, as far as code objects end in it. */
export type Tables = CodeOwner & { readonly hosts: HostTable; readonly hooks: Hooks };

/** Those of one Jit. */
export class Endings {
  readonly #tables: Tables;
  /** Used again and again: native code gets at a new small array slowly. */
  readonly #one = new Int32Array(1);

  constructor(tables: Tables) {
    this.#tables = tables;
  }

  /** Native code has given `handle` to something new: the object that had it before is gone, if that was not noted. */
  dropStale(handle: Handle): void {
    const { arena, objects } = this.#tables;
    if (!objects.has(handle)) return;
    arena.reservations.forget(handle);
    this.drop(this.#listOf(handle));
  }

  /** Forgets what native code has freed, and changes the order of `handles`. One after the other: a collection frees thousands. */
  noteFreed(handles: Int32Array): void {
    const { arena, hooks } = this.#tables;
    for (const handle of handles) arena.reservations.releaseAll(handle);
    this.drop(handles);
    for (const forget of hooks.onFreed) forget(handles);
  }

  /** As `noteFreed`, of one. */
  noteOneFreed(handle: Handle): void {
    this.noteFreed(this.#listOf(handle));
  }

  /** As `noteFreed`, without what they have reserved. Interrupted, it may be done again: their entries go last. */
  drop(handles: Int32Array): void {
    const { hosts, objects, hooks } = this.#tables;
    const dead = handles.length > 1 ? objects.deadFirst(handles) : 0; // most often all of them, or the one that is freed lives
    for (let i = dead; i < handles.length; i++) {
      const entry = objects.get(handles[i] ?? 0);
      if (CodeRecord.is(entry)) CodeRecord.markFreed(entry);
    }
    for (const handle of handles) hosts.delete(handle);
    for (const forget of hooks.onDropped) forget(handles);
    objects.delete(handles);
  }

  /** Frees those that are idle and that nothing else refers to; returns the rest. Exceptions of destructors are dropped. */
  freeMany(handles: Int32Array): Handle[] {
    const { native, ledger, hooks } = this.#tables;
    const others = [...hooks.endingWith].flatMap((listOthers) => listOthers(handles));
    const list = others.length === 0 ? handles.slice() : new Int32Array([...handles, ...others]);
    if (list.length === 0) return [];
    const all = list.slice();
    return ledger.change(() => {
      try {
        native.freeMany(list, list.length);
      } catch {
        if (this.#tables.isDisposed) return [];
      }
      return this.#forgetFreed(all, list, handles.length);
    });
  }

  /** Frees those that are not freed and that nothing else refers to; they may refer to each other in circles. */
  freeTogether(objects: readonly Code[]): void {
    const live = objects.filter((object) => CodeRecord.statusOf(object).state !== 'freed');
    this.#tables.ledger.change(() => {
      live.forEach(markEnding);
      try {
        this.freeMany(Int32Array.from(live, (object) => CodeRecord.handleOf(object)));
      } finally {
        live.forEach(unmarkEnding);
      }
    });
  }

  /** The native half is about to go: callables ask before they enter code. */
  beginAll(): void {
    this.#known().forEach(markEnding);
  }

  /** The native half is gone. */
  noteAllFreed(): void {
    const { arena, objects, hooks } = this.#tables;
    for (const object of this.#known()) CodeRecord.markFreed(object);
    objects.clear();
    arena.clear();
    for (const follow of hooks.onDisposed) follow();
  }

  /** Those that JS has not forgotten. */
  #known(): Code[] {
    return this.#tables.objects.known().filter((entry) => CodeRecord.is(entry));
  }

  /**
   * `left` is `all` with -1 for each that is gone; returns those of the first `count` that are not. A loop, here and in the hooks' listeners: V8
   * hardly optimizes closures that each collection makes anew.
   */
  #forgetFreed(all: Int32Array, left: Int32Array, count: number): Handle[] {
    const freed = new Int32Array(all.length);
    const kept: Handle[] = [];
    let freedCount = 0;
    for (let i = 0; i < all.length; i++)
      if (left[i] === -1) freed[freedCount++] = all[i] ?? 0;
      else if (i < count) kept.push(all[i] ?? 0);
    if (freedCount > 0) this.noteFreed(freed.subarray(0, freedCount));
    return kept;
  }

  #listOf(handle: Handle): Int32Array {
    this.#one[0] = handle;
    return this.#one;
  }
}
