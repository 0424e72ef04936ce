/**
 * What tiers did.
 */
import type { CodeObject } from '../code/code-object';
import type { OptLevel } from '../jit/compile-options';

/** A code object has been recompiled, and its callers call the new code. */
export interface Tiered {
  readonly object: CodeObject;
  readonly from: OptLevel;
  readonly to: OptLevel;
  /** From the beginning of the second compile. */
  readonly milliseconds: number;
}

/** A code object could not be recompiled: it goes on with the code that it has, for good. */
export interface TierFailure {
  readonly object: CodeObject;
  readonly error: Error;
}

/** What a collector's tiers have at the moment, and have done. */
export interface TierStats {
  /** Code objects that may be recompiled, whose sources are kept. */
  readonly candidates: number;
  /** Compiles under way. */
  readonly compiling: number;
  readonly tiered: number;
  readonly failed: number;
  /** Of all kept sources, compressed. */
  readonly sourceBytes: number;
  /** Old versions, of the whole Jit, that are still there: for their constants, or because they may be running. */
  readonly outdated: number;
}
