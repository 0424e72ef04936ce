/**
 * What code objects need of their Jit.
 */
import type { CallOwner } from '../call/types';
import { CodeRecord, type Code } from '../record/code-record';
import type { SpaceOwner } from '../space/reserve';

/** A Jit, as all that is made of code objects knows it. */
export type CodeOwner = CallOwner & SpaceOwner;

/** The Jit of a code object: a record is made by one, and knows less of it. */
export function ownerOf(code: Code): CodeOwner {
  return CodeRecord.ownerOf(code) as CodeOwner;
}
