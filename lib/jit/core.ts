/**
 * What the parts of one Jit share, and users never see.
 *
 * In: the native half. Out: its tables. Always true: between operations the tables say what native code would, or the ledger is torn.
 */
import { StateError } from '../base/errors';
import { Ledger } from '../base/ledger';
import type { Handle, NativeJit } from '../base/native';
import { Held } from '../call/held';
import type { CallKind } from '../call/types';
import { HostTable } from '../code/host-table';
import type { CodeOwner } from '../code/owner';
import { ExportCache } from '../record/exports';
import type { Code } from '../record/code-record';
import { ObjectTable, type Entry } from '../record/object-table';
import { Arena } from '../space/arena';
import { Endings } from './endings';
import { Hooks } from './hooks';
import type { JitSettings } from './jit-options';
import { mendTables } from './mend';
import { withRoom } from './with-room';

/** One Jit's shared state. */
export class JitCore implements CodeOwner {
  readonly native: NativeJit;
  readonly settings: JitSettings;
  readonly ledger: Ledger;
  readonly held: Held;
  readonly hooks = new Hooks();
  readonly hosts: HostTable;
  readonly exports: ExportCache;
  readonly callKinds: Array<CallKind | undefined> = [];
  readonly arena: Arena;
  fresh: ReadonlyArray<Handle | readonly [Handle, ...unknown[]]> = [];
  readonly objects: ObjectTable;
  readonly #endings: Endings;
  #isDisposed = false;

  constructor(native: NativeJit, settings: JitSettings) {
    this.native = native;
    this.objects = new ObjectTable(native, (handles) => this.#endings.freeMany(handles));
    this.settings = settings;
    this.ledger = new Ledger(native.ledger);
    this.held = new Held(() => native.isWaiting());
    this.hosts = new HostTable(this);
    this.exports = new ExportCache(native);
    this.arena = new Arena(native);
    this.#endings = new Endings(this);
  }

  get isDisposed(): boolean {
    return this.#isDisposed;
  }

  settle(): void {
    if (this.ledger.isTorn) this.#mend();
  }

  requireLive(what: string): void {
    if (this.ledger.isTorn) this.#mend();
    if (this.#isDisposed) throw new StateError(`${what}: the Jit is disposed`);
  }

  enter(handle: Handle, entry: Entry): void {
    this.#endings.dropStale(handle);
    this.objects.add(handle, entry);
  }

  noteFreed(handles: Int32Array): void {
    this.#endings.noteFreed(handles);
  }

  noteOneFreed(handle: Handle): void {
    this.#endings.noteOneFreed(handle);
  }

  freeTogether(objects: readonly Code[]): void {
    this.#endings.freeTogether(objects);
  }

  withRoom<T>(take: () => T): T {
    return withRoom(this.objects, take);
  }

  /** Native code has given `handle` to something new, for which there is no object yet. */
  dropStale(handle: Handle): void {
    this.#endings.dropStale(handle);
  }

  /** Frees everything natively. Throws StateError, with nothing changed, while code is running; what destructors throw comes when all is freed. */
  dispose(): void {
    this.settle();
    if (this.#isDisposed) return;
    if (this.native.isRunning()) this.native.dispose(); // says so
    this.ledger.change(() => {
      this.hooks.beforeHost = undefined; // destructors call host functions
      this.#endings.beginAll();
      try {
        this.native.dispose();
      } finally {
        this.#noteDisposed();
      }
    });
  }

  #noteDisposed(): void {
    this.#isDisposed = true;
    this.#endings.noteAllFreed();
  }

  /** Interrupted itself, it is run again. */
  #mend(): void {
    if (this.#isNativeLive()) mendTables(this, this.#endings);
    else if (!this.#isDisposed || this.objects.known().length > 0) this.#noteDisposed();
    this.ledger.mend();
  }

  #isNativeLive(): boolean {
    try {
      this.native.isRunning();
      return true;
    } catch {
      return false;
    }
  }
}
