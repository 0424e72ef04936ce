/**
 * What the record of a code object needs of its Jit.
 */
import type { Ledger } from '../base/ledger';
import type { Handle, NativeJit } from '../base/native';
import type { ExportCache } from './exports';
import type { Entry, ObjectTable } from './object-table';

/** A Jit, as code objects know it. */
export interface Owner {
  readonly native: NativeJit;
  readonly ledger: Ledger;
  readonly objects: ObjectTable;
  readonly exports: ExportCache;
  readonly isDisposed: boolean;
  /** Handles that native code has just made, until JS has an object for each. */
  fresh: ReadonlyArray<Handle | readonly [Handle, ...unknown[]]>;
  /** Every public operation begins with this: if one before it was left in the middle, all tables are made anew. */
  settle(): void;
  /** As `settle`. Throws StateError if the Jit is disposed; `what` was to be done. */
  requireLive(what: string): void;
  /** Enters what has a fresh handle in the tables. */
  enter(handle: Handle, entry: Entry): void;
  /** Forgets what native code has freed, and changes the order of `handles`. */
  noteFreed(handles: Int32Array): void;
  noteOneFreed(handle: Handle): void;
  /** Runs `take`, and again when it has found no room and what JS has dropped is freed. Throws what it throws. */
  withRoom<T>(take: () => T): T;
}
