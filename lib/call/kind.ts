/**
 * How to call the functions of one signature.
 *
 * In: a signature's native index. Out: its CallKind, made once per Jit. Always true: generated functions where V8 may compile strings,
 * interpreted ones elsewhere; both accept, refuse and return the same.
 */
import { makeGenerated } from './generated';
import { makeInterpreted } from './interpreted';
import type { CallKind, CallOwner } from './types';

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
export function callKind(owner: CallOwner, index: number): CallKind {
  return (owner.callKinds[index] ??= makeKind(owner, index));
}

function makeKind(owner: CallOwner, index: number): CallKind {
  const signature = owner.native.signature(index);
  const fitsBlock = signature.parameters.length * 8 <= owner.native.blockParameterBytes;
  const make = fitsBlock && isCodegenAllowed() ? makeGenerated : makeInterpreted;
  const makeEntrance = signature.refusal === undefined ? make(owner, signature, index) : refused;
  return { owner, signature, makeEntrance };
}

function refused(): never {
  throw new Error('assertion failed: a signature that JS cannot call has no entrance');
}
