/**
 * What a Jit is made of, for the rest of the library.
 *
 * In: a Jit. Out: its parts. Always true: no property that users can change leads here.
 */
import type { Compiler } from './compiler';
import type { JitCore } from './core';

/** The parts of a Jit that others work with. */
export interface JitParts {
  readonly core: JitCore;
  readonly compiler: Compiler;
}

const parts = new WeakMap<object, JitParts>();
const listeners = new Set<(parts: JitParts) => void>();

/** Calls `listener` for every Jit that is made from now on. */
export function onMade(listener: (parts: JitParts) => void): void {
  listeners.add(listener);
}

/** Notes the parts of a Jit that has just been made. */
export function setParts(jit: object, made: JitParts): void {
  parts.set(jit, made);
  for (const hear of listeners) hear(made);
}

/** The parts of a Jit, or undefined for something else. */
export function partsOf(jit: object): JitParts | undefined {
  return parts.get(jit);
}

/** The core of a Jit, or undefined for something else. */
export function coreOf(jit: object): JitCore | undefined {
  return parts.get(jit)?.core;
}
