/**
 * What a callable knows about itself.
 *
 * In: a function that enters code. Out: the same function, now a callable. Always true: the record lies in private fields of the
 * function, so it can't be forged, and costs no table entry.
 */
import { Stamp } from '../base/stamp';
import type { Code } from '../record/code-record';
import type { CallKind } from './types';

/** What a callable tells of itself. */
export interface PropertiesOf<C> {
  /** The code object that it enters, and keeps alive. */
  readonly codeObject: C;
  /** The function's name in IR. */
  readonly symbol: string;
  /** The function's type in IR, such as `i32 (i32, i32)`. */
  readonly type: string;
  /** Address of the entry stub, which never moves. */
  readonly entry: bigint;
}

/** The prototype of all callables, between them and Function.prototype. */
export class CallableRecord extends Stamp implements PropertiesOf<Code> {
  readonly #kind: CallKind;
  readonly #code: Code;
  readonly #symbol: string;
  readonly #entry: number;

  constructor(target: object, kind: CallKind, code: Code, symbol: string, entry: number) {
    super(Object.setPrototypeOf(target, new.target.prototype) as object);
    this.#kind = kind;
    this.#code = code;
    this.#symbol = symbol;
    this.#entry = entry;
  }

  static isCallable(value: unknown): value is CallableRecord {
    return typeof value === 'function' && #kind in value;
  }

  static kindOf(callable: CallableRecord): CallKind {
    return callable.#kind;
  }

  /** As its properties, whatever users have made of those. */
  static codeOf(callable: CallableRecord): Code {
    return callable.#code;
  }

  static symbolOf(callable: CallableRecord): string {
    return callable.#symbol;
  }

  static entryOf(callable: CallableRecord): bigint {
    const { entriesBase, entryStubBytes } = callable.#kind.owner.native;
    return entriesBase + BigInt(entryStubBytes * callable.#entry);
  }

  get codeObject(): Code {
    return this.#code;
  }

  get symbol(): string {
    return this.#symbol;
  }

  get type(): string {
    return this.#kind.signature.text;
  }

  get entry(): bigint {
    return CallableRecord.entryOf(this);
  }
}

// A callable's `constructor` does not lead to this class.
Object.defineProperty(CallableRecord.prototype, 'constructor', { value: Function, writable: true, configurable: true });

Object.setPrototypeOf(CallableRecord.prototype, Function.prototype);
