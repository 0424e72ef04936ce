/**
 * What compiling a module function by function gives.
 *
 * In: the code objects. Out: one place to find functions in, to place them all, and to free them. Always true: the first code object is the
 * rest of the module, which functions may refer to; code objects that refer to each other in circles can be placed only together.
 */
import type { AnyFunction, Callable } from './callable';
import { requireKey } from './check';
import { statusIn, type CodeObject } from './code-object';
import { UnresolvedSymbolError } from './errors';
import type { CodeSpace } from './space/space';

/** Places unplaced code objects in `space`: all, or none if it throws. */
export type PlaceAll = (objects: readonly CodeObject[], space: CodeSpace) => void;

/** `objects`, whatever a user has made of that. */
export let partsOf: (result: CompileResult) => readonly CodeObject[];

/** The code objects of one module: each of its functions, and the rest of it. */
export class CompileResult implements Iterable<CodeObject> {
  /** As given to `compile`. */
  readonly name: string;
  /** The rest of the module first, then its functions. Who keeps this keeps them all alive. */
  readonly objects: readonly CodeObject[];
  /** As `objects`, whatever users make of that. */
  readonly #objects: readonly CodeObject[];
  readonly #place: PlaceAll;
  readonly #rest: CodeObject;
  readonly #owners: ReadonlyMap<string, CodeObject>;

  static {
    partsOf = (result) => result.#objects;
  }

  /** Made by `jit.compile`. `owners`: who has which exported function or global. */
  constructor(
    key: symbol,
    name: string,
    objects: readonly [CodeObject, ...CodeObject[]],
    owners: ReadonlyMap<string, CodeObject>,
    place: PlaceAll,
  ) {
    requireKey(key, 'CompileResult', 'jit.compile');
    this.name = name;
    this.#objects = Object.freeze([...objects]);
    this.objects = this.#objects;
    this.#rest = objects[0];
    this.#owners = owners;
    this.#place = place;
  }

  /** What is no function's alone: global variables, constants that several functions use, and functions that can't be apart from those. */
  get rest(): CodeObject {
    return this.#rest;
  }

  /** The code object that has an exported function or global, or undefined. */
  object(symbol: string): CodeObject | undefined {
    return this.#owners.get(symbol);
  }

  /** An exported function, as `CodeObject.get`. Throws UnresolvedSymbolError, SignatureError, StateError. */
  get<F extends AnyFunction = AnyFunction>(name: string): Callable<F> {
    const owner = this.#owners.get(name);
    if (owner !== undefined) return owner.get<F>(name);
    throw new UnresolvedSymbolError(`module '${this.name}' exports no function '${name}'`, { symbols: [name] });
  }

  /** Places all that is not placed yet, and runs constructors. Throws SpaceFullError, PlacementError, StateError; then nothing is placed. */
  place(space: CodeSpace): this {
    this.#place(
      this.#objects.filter((object) => statusIn(object).state === 'unplaced'),
      space,
    );
    return this;
  }

  /** The code objects. */
  [Symbol.iterator](): Iterator<CodeObject> {
    return this.#objects[Symbol.iterator]();
  }
}
