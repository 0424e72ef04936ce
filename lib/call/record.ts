/**
 * What a callable knows about itself.
 *
 * In: a function that enters code. Out: the same function, now a callable. Always true: the record lies in private fields of the
 * function, so nobody can forge one, and it costs no table entry.
 */
import type { CodeObject } from '../code-object';
import type { CallKind } from './kind';

/** Its subclasses add their private fields to `target` instead of a new object. */
// eslint-disable-next-line @typescript-eslint/no-extraneous-class -- its constructor is the point
class Stamp {
  constructor(target: object) {
    Object.setPrototypeOf(target, new.target.prototype);
    return target;
  }
}

/** The prototype of all callables, between them and Function.prototype. */
export class Callable extends Stamp {
  readonly #kind: CallKind;
  readonly #object: CodeObject;
  readonly #symbol: string;
  readonly #entry: number;

  constructor(target: object, kind: CallKind, object: CodeObject, symbol: string, entry: number) {
    super(target);
    this.#kind = kind;
    this.#object = object;
    this.#symbol = symbol;
    this.#entry = entry;
  }

  static isCallable(value: unknown): value is Callable {
    return typeof value === 'function' && #kind in value;
  }

  static kindOf(callable: Callable): CallKind {
    return callable.#kind;
  }

  get codeObject(): CodeObject {
    return this.#object;
  }

  get symbol(): string {
    return this.#symbol;
  }

  get type(): string {
    return this.#kind.signature.text;
  }

  get entry(): bigint {
    const { entriesBase, entryStubBytes } = this.#kind.core.native;
    return entriesBase + BigInt(entryStubBytes * this.#entry);
  }
}

Object.setPrototypeOf(Callable.prototype, Function.prototype);
