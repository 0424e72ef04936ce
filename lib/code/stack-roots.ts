/**
 * What the stack has of code objects, while host functions run.
 *
 * In: native words. Out: StackRoots. Always true: every word that may refer to a segment that could move is here; an exact one is
 * rewritten when its code object moves, an ambiguous one forbids that.
 */
import type { Handle, NativeRoots } from '../base/native';
import type { Owner } from '../record/owner';
import type { CodeObject } from './code-object';

/** One word that refers to a code object. */
export interface StackRoot {
  readonly codeObject: CodeObject;
  /** A return address, another word on the stack, or a register that code had saved. */
  readonly kind: 'return' | 'word' | 'register';
  /** Where the word is. */
  readonly address: bigint;
  /** What it is. */
  readonly value: bigint;
  /** The exported function whose code that is in; missing where it is in none (an internal function, data). */
  readonly symbol?: string;
}

/** All of them. */
export interface StackRoots {
  /** Return addresses of frames that are known. */
  readonly exact: StackRoot[];
  /** Everything else. */
  readonly ambiguous: StackRoot[];
}

const kinds = ['return', 'word', 'register'] as const;
const wordLength = 5;

/** The roots of all code that waits for host functions of this Jit. */
export function stackRoots(owner: Owner): StackRoots {
  const [exact, ambiguous] = owner.native.stackRoots(true);
  return { exact: unflatten(owner, exact), ambiguous: unflatten(owner, ambiguous) };
}

/** Those that forbid code object `handle` to move. */
export function pinsOf(owner: Owner, handle: Handle): StackRoot[] {
  const object = owner.objects.get(handle);
  return stackRoots(owner).ambiguous.filter(({ codeObject }) => codeObject === object);
}

function unflatten(owner: Owner, words: NativeRoots): StackRoot[] {
  const roots: StackRoot[] = [];
  for (let i = 0; i < words.length; i += wordLength) {
    const [kind, handle, address, value, symbol] = words.slice(i, i + wordLength) as [number, Handle, bigint, bigint, string?];
    const codeObject = owner.objects.get(handle) as CodeObject | undefined;
    if (codeObject === undefined) continue;
    const root = { codeObject, kind: kinds[kind] ?? 'word', address, value };
    roots.push(symbol === undefined ? root : { ...root, symbol });
  }
  return roots;
}
