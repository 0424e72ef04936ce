/**
 * The errors that native code reports, as errors of this package's classes.
 *
 * In: a code, a message, details. Out: an error of the class that belongs to the code. Always true: native code holds the factory, and the factory
 * holds nothing of the Jit.
 */
import {
  ArenaError,
  CodegenError,
  IRParseError,
  IRVerifyError,
  JitError,
  LinkError,
  PlacementError,
  SignatureError,
  SpaceFullError,
  StateError,
  TrapError,
  UnresolvedSymbolError,
  UnsupportedError,
} from '../base/errors';
import type { ErrorFactory } from '../base/native';
import type { CodeOwner } from '../code/owner';
import { PinnedError } from '../code/pinned-error';
import { pinsOf } from '../code/stack-roots';

type ErrorClass = new (message: string, details?: Record<string, unknown>) => Error;

const classes: Readonly<Record<string, ErrorClass>> = {
  ERR_IR_PARSE: IRParseError,
  ERR_IR_VERIFY: IRVerifyError,
  ERR_CODEGEN: CodegenError,
  ERR_LINK: LinkError,
  ERR_UNRESOLVED_SYMBOL: UnresolvedSymbolError,
  ERR_UNSUPPORTED: UnsupportedError,
  ERR_SIGNATURE: SignatureError,
  ERR_PLACEMENT: PlacementError,
  ERR_SPACE_FULL: SpaceFullError,
  ERR_PINNED: PinnedError,
  ERR_STATE: StateError,
  ERR_TRAP: TrapError,
  ERR_ARENA: ArenaError,
  TypeError: TypeError,
  RangeError: RangeError,
};

/** Another code makes a plain JitError. */
function makeError(code: string, message: string, details: Record<string, unknown>, caller: ErrorFactory): Error {
  const errorClass = classes[code];
  // TypeError and RangeError would take details for `{ cause }`: they have none.
  const error = errorClass === undefined ? new JitError(code, message) : new errorClass(message, details);
  Error.captureStackTrace(error, caller);
  return error;
}

/** The errors of one Jit, whose native half needs the factory before there is an owner. */
export class Errors {
  #owner: WeakRef<CodeOwner> | undefined;
  readonly factory: ErrorFactory = (code, message, details) => makeError(code, message, this.#withRoots(details), this.factory);

  /** From now on a PinnedError has the roots of the code object that it names. */
  follow(owner: CodeOwner): void {
    this.#owner = new WeakRef(owner);
  }

  #withRoots({ object, ...details }: Record<string, unknown> = {}): Record<string, unknown> {
    const owner = this.#owner?.deref();
    return typeof object === 'number' && owner !== undefined ? { ...details, roots: pinsOf(owner, object) } : details;
  }
}
