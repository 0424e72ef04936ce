/**
 * How to call the functions of one signature.
 *
 * In: a signature's native index. Out: its CallKind, made once per Jit. Always true: generated functions where V8 may compile strings,
 * interpreted ones elsewhere; both accept, refuse and return the same.
 */
import type { CodeObject } from '../code-object';
import type { JitCore } from '../core';
import { makeGenerated } from './generated';
import { makeInterpreted } from './interpreted';
import type { Signature } from '../native';

/** A function that enters code, not yet a callable. */
export type Entrance = (...values: unknown[]) => unknown;

/** Counts calls: at the `left`th from now on `reached` is called, which neither throws nor calls code. */
export interface CallCounter {
  left: number;
  readonly reached: () => void;
}

/** What an entrance needs of its Jit. */
export type EntranceParts = Pick<JitCore, 'native' | 'held'>;

/** Makes the entrance to the function of `object` that has entry stub `entry`; with a counter another one, so that others don't pay for it. */
export type EntranceMaker = (object: CodeObject, entry: number, counter: CallCounter | undefined) => Entrance;

/** One signature in one Jit. */
export interface CallKind {
  readonly core: JitCore;
  readonly signature: Signature;
  readonly makeEntrance: EntranceMaker;
}

let codegenAllowed: boolean | undefined;

/** False under `node --disallow-code-generation-from-strings`, and when NOMAD_JIT_NO_CODEGEN=1 asks for that. */
export function isCodegenAllowed(): boolean {
  if (process.env.NOMAD_JIT_NO_CODEGEN === '1') return false;
  codegenAllowed ??= canCompileStrings();
  return codegenAllowed;
}

function canCompileStrings(): boolean {
  try {
    // eslint-disable-next-line @typescript-eslint/no-implied-eval, @typescript-eslint/no-unsafe-call -- the question is whether it throws
    return new Function('return true')() === true;
  } catch {
    return false;
  }
}

/** The kind of the signature with native index `index`; without an entrance if JS can't call it. */
export function callKind(core: JitCore, index: number): CallKind {
  return (core.callKinds[index] ??= makeKind(core, index));
}

function makeKind(core: JitCore, index: number): CallKind {
  const signature = core.native.signature(index);
  const fitsBlock = signature.parameters.length * 8 <= core.native.blockParameterBytes;
  const make = fitsBlock && isCodegenAllowed() ? makeGenerated : makeInterpreted;
  const makeEntrance = signature.refusal === undefined ? make(core, signature, index) : refused;
  return { core, signature, makeEntrance };
}

function refused(): never {
  throw new Error('assertion failed: a signature that JS cannot call has no entrance');
}
