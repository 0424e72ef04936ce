/**
 * How code is stopped that runs too long.
 *
 * In: a Jit's id, from any thread; or a time and what to do. Out: a TrapError where code has been called. Always true: what is stopped is code,
 * not JS, and nothing is stopped once the call that the time was for has returned.
 */
import { integerBetween, show } from '../base/check';
import { StateError } from '../base/errors';
import { loadAddon } from '../base/native';
import type { JitCore } from './core';

const most = 0xffff_ffff;

/**
 * From any thread: stops code that the thread of the Jit with this `id` is running, as soon as it can be stopped: its innermost call ends in a
 * TrapError (`kind` is 'interrupt'). False if no code runs or waits there now. Code that returns by itself at this moment may have
 * returned, and what its thread calls at once may be stopped instead. Throws TypeError, RangeError, StateError.
 */
export function interrupt(id: number): boolean {
  const answer = loadAddon().interrupt(integerBetween('id', id, 0, most));
  if (typeof answer === 'string') throw new StateError(answer);
  return answer;
}

/** `jit.withTimeout`. */
export function callWithTimeout<T>(core: JitCore, milliseconds: number, run: () => T): T {
  core.requireLive('withTimeout');
  if (typeof (run as unknown) !== 'function') throw new TypeError(`withTimeout: not a function but ${show(run)}`);
  return core.native.withTimeout(integerBetween('milliseconds', milliseconds, 0, most), run);
}
