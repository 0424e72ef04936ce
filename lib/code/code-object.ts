/**
 * What lives, moves and dies together, as users see it; and the public types that name each other.
 *
 * In: a handle from the native half. Out: CodeObject. Always true: `state` is what native code would say; a code object holds strongly what its code
 * refers to (I9), so when one is forgotten nothing that is still reachable refers to it.
 *
 * Its fields are those of record/code-record.ts. There may be 100,000 of them: no private methods that are not static.
 */
import { construct, isObject, ownBytes, requireKey } from '../base/check';
import { SignatureError, StateError } from '../base/errors';
import type { NativeDescription } from '../base/native';
import { perSegment, type PerSegment } from '../base/segments';
import { makeCallable } from '../call/callable';
import { callKind } from '../call/kind';
import type { PropertiesOf } from '../call/record';
import type { AnyFunction } from '../call/types';
import { CodeRecord, type CodeParts } from '../record/code-record';
import type { Exports } from '../record/exports';
import { statusOf, type CodeObjectState } from '../record/status';
import { CodeSpace as SpaceOf, regionFor } from '../space/code-space';
import { makePlacement, readPlacement, type PlacementIn } from '../space/placement';
import { functionTypes, globalTypes, type FunctionType, type GlobalType } from './exports';
import { globalValue, notExported, readable, writable } from './globals';
import { freeObject, placeAt, requireMovable, requireUnplaced } from './life-cycle';
import { offsetOf, placeNow } from './offsets';
import { ownerOf } from './owner';

/** What a callable tells of itself. */
export type CallableProperties = PropertiesOf<CodeObject>;

/**
 * An ordinary JS function that enters code. Throws TypeError for a wrong argument count or type, and StateError while its code object
 * is not placed.
 */
export type Callable<F extends AnyFunction = AnyFunction> = F & CallableProperties;

/** A part of a Jit's arena from which code objects get their places. Made by `jit.createSpace`. */
export type CodeSpace = SpaceOf<CodeObject>;
export const CodeSpace = SpaceOf;

/**
 * Where a code object is or is to be: byte offsets in the ranges of a space, from 0 to 2 GiB (excluded).
 * In `place` every segment that the code object has needs its offset. In `relocate` a segment without one stays where it is.
 */
export type Placement = PlacementIn<CodeSpace>;

/** Makes a code object of a handle that has none, and enters it in the tables of its Jit. */
export function makeCodeObject(parts: CodeParts): CodeObject {
  return construct(CodeObject, parts);
}

/** Compiled code and its data: placed, relocated and freed as one. Made by `jit.compile`. */
export class CodeObject {
  private constructor(key: symbol, parts: CodeParts) {
    requireKey(key, 'CodeObject', 'jit.compile');
    new CodeRecord(this, parts);
  }

  /** A number that no other code object of this process has had or will have. */
  get id(): number {
    return CodeRecord.idOf(this);
  }

  /** The name given to `compile`, or else `object#` and the id. */
  get name(): string {
    return CodeRecord.nameOf(this);
  }

  get state(): CodeObjectState {
    ownerOf(this).settle();
    return CodeRecord.statusOf(this).state;
  }

  /** What may move, as given to `compile`. */
  get moves(): 'code' | 'all' {
    return CodeRecord.statusOf(this).moves;
  }

  /** What is kept for moving, as given to `compile`. */
  get retain(): 'relocations' | 'object' | 'none' {
    return CodeRecord.statusOf(this).retain;
  }

  /** Whether `freeze` has taken its relocations. */
  get isFrozen(): boolean {
    return CodeRecord.statusOf(this).isFrozen;
  }

  /** Bytes of each segment, 0 where there is none. */
  get sizes(): PerSegment<number> {
    return perSegment((name) => CodeRecord.bytesOf(this, name));
  }

  /** Bytes of which each segment's address must be a multiple. Throws StateError once freed. */
  get alignments(): PerSegment<number> {
    const { alignments } = CodeObject.#describe(this, 'alignments');
    return perSegment((_, index) => alignments[index] ?? 1);
  }

  /** How many relocations are kept for moving. Throws StateError once freed. */
  get relocationCount(): number {
    return CodeObject.#describe(this, 'relocationCount').relocationCount;
  }

  /** Bytes of what is kept for moving: relocations, or the object file. Throws StateError once freed. */
  get relocationBytes(): number {
    return CodeObject.#describe(this, 'relocationBytes').relocationBytes;
  }

  /**
   * Where it is now, or undefined unless it is placed. Offsets count from the bases of the space that has its code; constants and data that
   * are still in another space are left out.
   */
  get placement(): Placement | undefined {
    ownerOf(this).settle();
    if (CodeRecord.statusOf(this).state !== 'placed') return undefined;
    const at = placeNow(ownerOf(this), CodeRecord.handleOf(this));
    return at === undefined ? undefined : makePlacement(at.region.space as CodeSpace, at.code ?? 0, at.constants, at.data);
  }

  /** Exported functions by name. Throws StateError once freed. */
  get functions(): ReadonlyMap<string, FunctionType> {
    return functionTypes(ownerOf(this).native, CodeObject.#exports(this, 'functions'));
  }

  /** Exported global variables by name. Throws StateError once freed. */
  get globals(): ReadonlyMap<string, GlobalType> {
    return globalTypes(CodeObject.#exports(this, 'globals'));
  }

  /** The code objects that its code refers to; they stay alive as long as it does. Empty once freed. */
  get references(): readonly CodeObject[] {
    ownerOf(this).settle();
    return Object.freeze(CodeRecord.referencesOf(this).filter((entry): entry is CodeObject => entry instanceof CodeObject));
  }

  /**
   * Gives it its first addresses, and runs its constructors; every segment that it has needs an offset. Throws PlacementError, or StateError if
   * it is placed already or freed; then nothing has changed. What constructors throw is thrown too; it is placed then.
   */
  place(at: Placement): this {
    requireUnplaced(this);
    placeAt(this, readPlacement(at));
    return this;
  }

  /**
   * Moves it. Segments without an offset stay where they are; with `moves: 'code'` new offsets for constants and data are the caller's
   * promise that their addresses are stored nowhere else. Throws PlacementError, PinnedError, or StateError if it is not placed, freed or was
   * compiled with `retain: 'none'`; then nothing has changed.
   */
  relocate(to: Placement): this {
    const owner = ownerOf(this);
    CodeObject.#requireMovable(this);
    if (!isObject(to)) readPlacement(to); // says so
    const { space, code, constants, data } = to; // whose getters may do anything
    CodeObject.#requireMovable(this);
    const { ranges } = regionFor(owner, space);
    owner.native.move(
      CodeRecord.handleOf(this),
      offsetOf(this, 'code', code, ranges),
      constants === undefined ? -1 : offsetOf(this, 'constants', constants, ranges),
      data === undefined ? -1 : offsetOf(this, 'data', data, ranges),
    );
    return this;
  }

  /**
   * It as bytes for `jit.deserialize`, of this Jit or one in another process: everything but its name. Throws StateError once it is placed, since its
   * program may have changed it.
   */
  serialize(): Buffer {
    CodeRecord.requireAlive(this, 'serialize');
    return ownerOf(this).native.serialize(CodeRecord.handleOf(this));
  }

  /**
   * Gives up the relocations of a code object that will not move for now, and their memory; until `thaw` it stays where it is, and collectors
   * and spaces work around it. Code that it calls may move. Returns what `thaw` needs. Throws StateError if it is not placed, frozen already,
   * freed, or was compiled with `retain: 'none'`.
   */
  freeze(): Buffer {
    CodeRecord.requireAlive(this, 'freeze');
    const frozen = statusOf(CodeRecord.statusOf(this), 'placed', { isFrozen: true });
    const saved = ownerOf(this).native.freeze(CodeRecord.handleOf(this), CodeRecord.idOf(this));
    CodeRecord.setStatus(this, frozen); // with nothing between
    return saved;
  }

  /** Makes it movable again. Throws StateError, with nothing changed, if it is not frozen or `saved` is not what its `freeze` returned; TypeError. */
  thaw(saved: Uint8Array): this {
    CodeRecord.requireAlive(this, 'thaw');
    const own = ownBytes('thaw: saved', saved);
    const thawed = statusOf(CodeRecord.statusOf(this), 'placed');
    ownerOf(this).native.thaw(CodeRecord.handleOf(this), CodeRecord.idOf(this), own);
    CodeRecord.setStatus(this, thawed); // with nothing between
    return this;
  }

  /** Frees it and all that it has reserved in spaces. Throws StateError if live code refers to it, if it is running, or freed already. */
  free(): void {
    CodeRecord.requireAlive(this, 'free');
    freeObject(this);
  }

  /** As `free`, but does nothing if it is freed already. */
  [Symbol.dispose](): void {
    ownerOf(this).settle();
    if (CodeRecord.statusOf(this).state !== 'freed') this.free();
  }

  /**
   * The function `name` as a JS function; each call makes a new one. It may be had before the code object is placed, and called afterwards. Throws
   * UnresolvedSymbolError if there is none, SignatureError if JS can't call it, StateError once freed.
   */
  get<F extends AnyFunction = AnyFunction>(name: string): Callable<F> {
    CodeRecord.requireAlive(this, 'get');
    const { native } = ownerOf(this);
    const index = typeof (name as unknown) === 'string' ? native.signatureOf(CodeRecord.handleOf(this), name) : undefined;
    if (index === undefined) {
      const { functions } = CodeObject.#exports(this, 'get');
      throw notExported(CodeRecord.nameOf(this), 'function', name, functions.keys());
    }
    const { signature } = callKind(ownerOf(this), index);
    if (signature.refusal !== undefined)
      throw new SignatureError(`JS can't call '${name}' of type ${signature.text}: ${signature.refusal}`);
    const entry = native.entry(CodeRecord.handleOf(this), name);
    return makeCallable(ownerOf(this), this, name, index, entry) as unknown as Callable<F>;
  }

  /** The value of a global, by its IR type, at its present address. Throws UnresolvedSymbolError, SignatureError, StateError. */
  readGlobal(name: string): number | bigint | boolean {
    CodeObject.#requirePlaced(this, 'readGlobal');
    const global = readable(CodeRecord.nameOf(this), CodeObject.#exports(this, 'readGlobal').globals, name);
    return ownerOf(this).native.readGlobal(CodeRecord.handleOf(this), global.name);
  }

  /** Sets a global that is no constant. Integers wrap. Throws UnresolvedSymbolError, SignatureError, TypeError, StateError. */
  writeGlobal(name: string, value: number | bigint | boolean | null | Callable): void {
    CodeObject.#requirePlaced(this, 'writeGlobal');
    const global = writable(CodeRecord.nameOf(this), CodeObject.#exports(this, 'writeGlobal').globals, name);
    ownerOf(this).native.writeGlobal(CodeRecord.handleOf(this), global.name, globalValue(global, value));
  }

  /** The present address of a function or global; another after the next move. Throws UnresolvedSymbolError, StateError. */
  addressOf(symbol: string): bigint {
    CodeObject.#requirePlaced(this, 'addressOf');
    if (typeof (symbol as unknown) !== 'string') throw notExported(CodeRecord.nameOf(this), 'symbol', symbol, []);
    return ownerOf(this).native.addressOf(CodeRecord.handleOf(this), symbol);
  }

  static #requireMovable(object: CodeObject): void {
    if (!CodeRecord.ownerOf(object).ledger.isTorn && CodeRecord.statusOf(object).isMovable) return;
    CodeRecord.requireAlive(object, 'relocate');
    requireMovable(object);
  }

  static #requirePlaced(object: CodeObject, what: string): void {
    CodeRecord.requireAlive(object, what);
    if (CodeRecord.statusOf(object).state !== 'placed')
      throw new StateError(`${what}: code object '${CodeRecord.nameOf(object)}' is not placed`);
  }

  static #describe(object: CodeObject, what: string): NativeDescription {
    CodeRecord.requireAlive(object, what);
    return CodeRecord.ownerOf(object).native.describe(CodeRecord.handleOf(object));
  }

  static #exports(object: CodeObject, what: string): Exports {
    CodeRecord.requireAlive(object, what);
    return CodeRecord.ownerOf(object).exports.of(CodeRecord.idOf(object), CodeRecord.handleOf(object));
  }
}
