/**
 * What the parts of a call share.
 */
import type { Signature } from '../base/native';
import type { Code } from '../record/code-record';
import type { Owner } from '../record/owner';
import type { Held } from './held';

/** Any function type; what users give to `get` for the types of their functions. */
// eslint-disable-next-line @typescript-eslint/no-explicit-any -- only `any` makes every function type assignable, and the default callable
export type AnyFunction = (...values: any[]) => any;

/** A function that enters code, not yet a callable. */
export type Entrance = (...values: unknown[]) => unknown;

/** Counts calls: at the `left`th from now on `reached` is called, which neither throws nor calls code. */
export interface CallCounter {
  left: number;
  readonly reached: () => void;
}

/** What others want to know of calls. */
export interface CallHooks {
  /** Runs before every host function. */
  beforeHost: (() => void) | undefined;
  /** Of code objects whose calls by JS are counted; undefined while there has been none. */
  callCounters: WeakMap<Code, CallCounter> | undefined;
}

/** What calls need of a Jit. */
export interface CallOwner extends Owner {
  readonly held: Held;
  readonly hooks: CallHooks;
  /** How to call functions of each signature, by the signature's native index. */
  readonly callKinds: Array<CallKind | undefined>;
}

/** Makes the entrance to the function of `code` that has entry stub `entry`; with a counter another one, so that others don't pay for it. */
export type EntranceMaker = (code: Code, entry: number, counter: CallCounter | undefined) => Entrance;

/** One signature in one Jit. */
export interface CallKind {
  readonly owner: CallOwner;
  readonly signature: Signature;
  readonly makeEntrance: EntranceMaker;
}
