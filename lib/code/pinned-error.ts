/**
 * The error for a code object that the stack forbids to move.
 */
import { JitError, nameErrors } from '../base/errors';
import type { StackRoot } from './stack-roots';

/** The stack forbids the move. */
export class PinnedError extends JitError {
  /** What on the stack points into the code object. */
  readonly roots: StackRoot[];

  constructor(message: string, details: { roots?: StackRoot[] } = {}) {
    super('ERR_PINNED', message);
    this.roots = details.roots ?? [];
  }
}

nameErrors([PinnedError]);
