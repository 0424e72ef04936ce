/**
 * The errors that this package throws on purpose; PinnedError, which names code objects, is in code/pinned-error.ts.
 *
 * In: a message, details. Out: an error with a code. Always true: an error of these means that the state is what it was before the call.
 */

/** Base class: `code` tells programs what `message` tells people. */
export class JitError extends Error {
  /** A string of the form `ERR_…`, one per class. */
  readonly code: string;

  constructor(code: string, message: string) {
    super(message);
    this.code = code;
  }
}

/** IR text or bitcode does not parse. Lines and columns count from 1; 0 where the parser knows none. */
export class IRParseError extends JitError {
  readonly line: number;
  readonly column: number;
  /** The offending line of the source, or ''. */
  readonly sourceLine: string;

  constructor(message: string, details: { line?: number; column?: number; sourceLine?: string } = {}) {
    super('ERR_IR_PARSE', message);
    this.line = details.line ?? 0;
    this.column = details.column ?? 0;
    this.sourceLine = details.sourceLine ?? '';
  }
}

/** The module parses, but LLVM's verifier objects. */
export class IRVerifyError extends JitError {
  constructor(message: string) {
    super('ERR_IR_VERIFY', message);
  }
}

/** LLVM can't generate code for the module. */
export class CodegenError extends JitError {
  constructor(message: string) {
    super('ERR_CODEGEN', message);
  }
}

/** The object file does not link, for another reason than an unresolved symbol. */
export class LinkError extends JitError {
  constructor(message: string) {
    super('ERR_LINK', message);
  }
}

/** Names that nothing defines. */
export class UnresolvedSymbolError extends JitError {
  /** All of them, not only the first. */
  readonly symbols: string[];

  constructor(message: string, details: { symbols?: string[] } = {}) {
    super('ERR_UNRESOLVED_SYMBOL', message);
    this.symbols = details.symbols ?? [];
  }
}

/** Valid, but not something that this JIT does. */
export class UnsupportedError extends JitError {
  constructor(message: string) {
    super('ERR_UNSUPPORTED', message);
  }
}

/** A function that JS can't call, or a global that JS can't read as one value. */
export class SignatureError extends JitError {
  constructor(message: string) {
    super('ERR_SIGNATURE', message);
  }
}

/** A placement that is out of range, misaligned, occupied, incomplete or of another Jit. */
export class PlacementError extends JitError {
  constructor(message: string) {
    super('ERR_PLACEMENT', message);
  }
}

/** A space, or the arena, has no free block that is large enough. */
export class SpaceFullError extends JitError {
  readonly requestedBytes: number;
  readonly largestFreeBytes: number;

  constructor(message: string, details: { requestedBytes?: number; largestFreeBytes?: number } = {}) {
    super('ERR_SPACE_FULL', message);
    this.requestedBytes = details.requestedBytes ?? 0;
    this.largestFreeBytes = details.largestFreeBytes ?? 0;
  }
}

/** The operation does not suit the present state: freed, not placed, placed twice, disposed, still referred to, still running. */
export class StateError extends JitError {
  constructor(message: string) {
    super('ERR_STATE', message);
  }
}

/**
 * What ended a call of code: a fault ('memory', 'arithmetic', 'illegal', 'stack'), code that gave up ('abort'), a request to stop
 * ('interrupt'), or an exception of C++ or another language that no compiled code caught ('exception').
 */
export type TrapKind = 'memory' | 'arithmetic' | 'illegal' | 'stack' | 'abort' | 'interrupt' | 'exception';

/** A function of code on the stack. */
export interface TrapFrame {
  /** An exported function's name; '' if the frame is of none. */
  readonly symbol: string;
  /** Where it was, in bytes from the function's begin; of its code object's code where there is no symbol. In a caller, in the call. */
  readonly offset: number;
  /** The code object's name. */
  readonly codeObject: string;
}

/** Code did what ends a process elsewhere, or has been stopped. The Jit goes on working. */
export class TrapError extends JitError {
  readonly kind: TrapKind;
  /** The function where it happened, '' if it is no exported one; for 'exception', the function that JS had called. */
  readonly symbol: string;
  /** Where in it: see TrapFrame. 0 for 'exception'. */
  readonly offset: number;
  /** The address that a fault is about; undefined where there is none, or the processor does not say. */
  readonly address: bigint | undefined;
  /** The stack of code, from the call by JS on, innermost first; the innermost 64 if there are more. Empty for 'exception'. */
  readonly frames: readonly TrapFrame[];
  /** How many frames there were. */
  readonly frameCount: number;

  constructor(message: string, details: TrapDetails = {}) {
    super('ERR_TRAP', message);
    this.kind = details.kind ?? 'exception';
    this.frames = details.frames ?? [];
    this.frameCount = details.frameCount ?? this.frames.length;
    this.symbol = details.symbols?.[0] ?? this.frames[0]?.symbol ?? '';
    this.offset = this.frames[0]?.offset ?? 0;
    this.address = details.address;
  }
}

interface TrapDetails {
  kind?: TrapKind;
  symbols?: string[];
  address?: bigint;
  frames?: TrapFrame[];
  frameCount?: number;
}

/** The operating system refused memory. */
export class ArenaError extends JitError {
  constructor(message: string) {
    super('ERR_ARENA', message);
  }
}

/** Puts a class's name on its prototype, so that the first line of `stack` has it too. */
export function nameErrors(classes: ReadonlyArray<{ readonly name: string; readonly prototype: Error }>): void {
  for (const { name, prototype } of classes)
    Object.defineProperty(prototype, 'name', { value: name, configurable: true, writable: true });
}

nameErrors([
  ...[JitError, IRParseError, IRVerifyError, CodegenError, LinkError, UnresolvedSymbolError, UnsupportedError],
  ...[SignatureError, PlacementError, SpaceFullError, StateError, TrapError, ArenaError],
]);
