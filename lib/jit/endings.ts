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

  constructor(tables: Tables) {
    this.#tables = tables;
  }

  /** Native code has given `handle` to something new: the object that had it before is gone, if that was not noted. */
  dropStale(handle: Handle): void {
    const { arena, objects } = this.#tables;
    if (!objects.has(handle)) return;
    arena.reservations.forget(handle);
    this.drop(handle);
  }

  /** Forgets what native code has freed. */
  noteFreed(handle: Handle): void {
    this.#tables.arena.reservations.releaseAll(handle);
    this.drop(handle);
    for (const forget of this.#tables.hooks.onFreed) forget(handle);
  }

  /** As `noteFreed`, without what it has reserved. */
  drop(handle: Handle): void {
    const { hosts, objects, hooks } = this.#tables;
    const entry = objects.get(handle);
    if (CodeRecord.is(entry)) CodeRecord.markFreed(entry);
    hosts.delete(handle);
    objects.delete(handle);
    for (const forget of hooks.onDropped) forget(handle);
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

  /** Frees those that are not freed and that nobody else needs; they may refer to each other in circles. */
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

  /** `left` is `all` with -1 for each that is gone; returns those of the first `count` that are not. By index: a collection frees thousands. */
  #forgetFreed(all: Int32Array, left: Int32Array, count: number): Handle[] {
    const kept: Handle[] = [];
    for (let i = 0; i < all.length; i++) {
      const handle = all[i] ?? 0;
      if (left[i] === -1) this.noteFreed(handle);
      else if (i < count) kept.push(handle);
    }
    return kept;
  }
}
