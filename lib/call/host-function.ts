/**
 * JS functions that code can call.
 *
 * In: a type in IR syntax and a JS function. Out: a HostFunction, to be given to any Jit under a name. Always true: its type is one whose
 * values cross between JS and code.
 */
import { construct, isObject, requireKey, show } from '../base/check';
import { SignatureError } from '../base/errors';
import { loadAddon, type Signature } from '../base/native';
import { Stamp } from '../base/stamp';

/** A JS function that a HostFunction stands for; the arguments are numbers, bigints and booleans by the IR type. */
// eslint-disable-next-line @typescript-eslint/no-explicit-any -- only `any` accepts every function
export type HostCallback = (...values: any[]) => unknown;

/** What a Jit needs to know of one. */
export interface HostFacts {
  readonly signature: Signature;
  readonly callback: HostCallback;
  readonly name: string;
}

/** The private field of every host function by which others find its facts. */
class HostRecord extends Stamp {
  readonly #facts: HostFacts;

  constructor(host: HostFunction, facts: HostFacts) {
    super(host);
    this.#facts = facts;
  }

  static is(value: unknown): value is HostFunction {
    return isObject(value) && #facts in value;
  }

  static factsOf(host: HostFunction): HostFacts {
    return (host as unknown as HostRecord).#facts;
  }
}

/** A JS function that code can call. Made by `hostFunction`. */
export class HostFunction {
  readonly #facts: HostFacts;

  private constructor(key: symbol, signature: Signature, callback: HostCallback) {
    requireKey(key, 'HostFunction', 'hostFunction');
    // As it is now: code links to it by this name, and a function's name is any value that its owner likes.
    const name: unknown = callback.name;
    this.#facts = { signature, callback, name: typeof name === 'string' && name !== '' ? name : 'host function' };
    new HostRecord(this, this.#facts);
  }

  /** Its type in IR, such as `i32 (ptr, i32)`. */
  get type(): string {
    return this.#facts.signature.text;
  }

  /** The JS function. */
  get callback(): HostCallback {
    return this.#facts.callback;
  }

  /** How messages and debuggers call it. */
  get name(): string {
    return this.#facts.name;
  }

  /** Its type as thunks see it: frozen. */
  get signature(): Signature {
    return this.#facts.signature;
  }
}

/** Whether `value` is a host function. */
export function isHostFunction(value: unknown): value is HostFunction {
  return HostRecord.is(value);
}

/** What it is, whatever users have made of its properties. */
export function factsOf(host: HostFunction): HostFacts {
  return HostRecord.factsOf(host);
}

/**
 * Makes a host function of `callback`. Integers arrive and leave as with callables; pointers arrive as bigints, and a pointer result
 * is a bigint, null or a Callable. What it throws leaves all code up to the JS caller, and is thrown there. Throws SignatureError for a type
 * that is none, or whose values can't cross, and TypeError.
 */
export function hostFunction(type: string, callback: HostCallback): HostFunction {
  if (typeof (type as unknown) !== 'string') throw new TypeError(`a host function's type must be a string, not ${show(type)}`);
  if (typeof (callback as unknown) !== 'function')
    throw new TypeError(`a host function must be a function, not ${show(callback)}`);
  requireShallow(type);
  const signature = loadAddon().functionType(type);
  if (typeof signature === 'string') throw new SignatureError(signature);
  if (signature.refusal !== undefined)
    throw new SignatureError(`no host function can be of type ${signature.text}: ${signature.refusal}`);
  Object.freeze(signature.parameters);
  return construct(HostFunction, Object.freeze(signature), callback);
}

const deepestNesting = 100;

/** LLVM's parser of types calls itself for each bracket, and takes a null for the end. */
function requireShallow(type: string): void {
  let depth = 0;
  for (const each of type) {
    if ('([{<'.includes(each)) depth++;
    else if (')]}>'.includes(each)) depth--;
    if (depth > deepestNesting || each === '\0')
      throw new SignatureError(
        `${show(type)} is not a type in IR syntax: ${each === '\0' ? 'it has a null character' : 'it is nested too deeply'}`,
      );
  }
}
