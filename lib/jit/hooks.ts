/**
 * What those hear that a Jit does not know: collectors, tiers, zeal.
 *
 * In: listeners. Out: calls of them. Always true: without listeners a hook costs a comparison.
 */
import type { Handle } from '../base/native';
import type { CallCounter, CallHooks } from '../call/types';
import type { Code } from '../record/code-record';

/** Manages code objects: no two of these share one. */
export interface Manager {
  isManaged(handle: Handle): boolean;
}

/** The hooks of one Jit. */
export class Hooks implements CallHooks {
  beforeHost: (() => void) | undefined;
  callCounters: WeakMap<Code, CallCounter> | undefined;
  /** Which handles are to be freed together with some. */
  readonly endingWith = new Set<(handles: Int32Array) => Handle[]>();
  /** Handles have been freed. */
  readonly onFreed = new Set<(handles: Int32Array) => void>();
  /** As `onFreed`, and before that; where a change was left in the middle too, and then perhaps again. */
  readonly onDropped = new Set<(handles: Int32Array) => void>();
  /** A change was left in the middle: what native code says is right, and the Jit's own tables are. */
  readonly onTorn = new Set<() => void>();
  /** The native half is gone. */
  readonly onDisposed = new Set<() => void>();
  readonly managers = new Set<Manager>();
}
