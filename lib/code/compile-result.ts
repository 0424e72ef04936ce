/**
 * What compiling a module function by function gives.
 *
 * In: the code objects. Out: one place to find functions in, and to place them all. Always true: the first code object is the
 * rest of the module, which functions may refer to; code objects that refer to each other in circles can be placed only together.
 */
import { construct, requireKey } from '../base/check';
import { StateError, UnresolvedSymbolError } from '../base/errors';
import { Stamp } from '../base/stamp';
import type { AnyFunction } from '../call/types';
import { CodeRecord } from '../record/code-record';
import type { Region } from '../space/arena';
import { regionFor } from '../space/code-space';
import type { Callable, CodeObject, CodeSpace } from './code-object';
import { freeAll } from './life-cycle';
import type { CodeOwner } from './owner';
import { placeAll } from './place-together';

/** The private field of every result by which others find its code objects. */
class ResultRecord extends Stamp {
  readonly #objects: readonly CodeObject[];

  constructor(result: object, objects: readonly CodeObject[]) {
    super(result);
    this.#objects = objects;
  }

  static objectsOf(result: CompileResult): readonly CodeObject[] {
    return (result as unknown as ResultRecord).#objects;
  }
}

/** `objects`, whatever a user has made of that. */
export function partsOf(result: CompileResult): readonly CodeObject[] {
  return ResultRecord.objectsOf(result);
}

/** Places those that are not placed yet in a region. */
export function placeParts(owner: CodeOwner, result: CompileResult, region: Region): void {
  const unplaced = partsOf(result).filter((object) => CodeRecord.statusOf(object).state === 'unplaced');
  placeAll(owner, unplaced, region);
}

/** What a result is made of. `owners`: the code object of each exported function or global. */
export interface ResultParts {
  readonly name: string;
  readonly objects: readonly [CodeObject, ...CodeObject[]];
  readonly owners: ReadonlyMap<string, CodeObject>;
}

/** Makes a result. */
export function makeResult(owner: CodeOwner, parts: ResultParts): CompileResult {
  return construct(CompileResult, owner, parts);
}

/** The code objects of one module: each of its functions, and the rest of it. */
export class CompileResult implements Iterable<CodeObject> {
  /** As given to `compile`. */
  readonly name: string;
  /** The rest of the module first, then its functions. This keeps them all alive. */
  readonly objects: readonly CodeObject[];
  readonly #owner: CodeOwner;
  readonly #rest: CodeObject;
  readonly #owners: ReadonlyMap<string, CodeObject>;

  private constructor(key: symbol, owner: CodeOwner, { name, objects, owners }: ResultParts) {
    requireKey(key, 'CompileResult', 'jit.compile');
    this.name = name;
    this.objects = Object.freeze([...objects]);
    this.#owner = owner;
    this.#rest = objects[0];
    this.#owners = owners;
    new ResultRecord(this, this.objects);
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
    placeParts(this.#owner, this, regionFor(this.#owner, space));
    return this;
  }

  /**
   * Frees all that is not freed yet, and what it has reserved in spaces. Throws StateError if other code refers to a part, if one is running, or if all
   * are freed already; then nothing has changed.
   */
  free(): void {
    const live = this.#live();
    if (live.length === 0) throw new StateError(`free: module '${this.name}' is freed`);
    freeAll(this.#owner, live);
  }

  /** As `free`, but does nothing if all are freed already. */
  [Symbol.dispose](): void {
    if (this.#live().length > 0) this.free();
  }

  #live(): readonly CodeObject[] {
    this.#owner.settle();
    return partsOf(this).filter((object) => CodeRecord.statusOf(object).state !== 'freed');
  }

  /** The code objects. */
  [Symbol.iterator](): Iterator<CodeObject> {
    return partsOf(this)[Symbol.iterator]();
  }
}
