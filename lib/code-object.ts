/**
 * What lives, moves and dies together, as JS sees it.
 *
 * In: a handle from the native half. Out: CodeObject, and the functions with which jit.ts, move-batch.ts and space.ts reach inside.
 * Always true: `state` is what native code would say; a code object holds strongly what its code refers to (I9), so when
 * one is forgotten nothing that is still reachable refers to it.
 *
 * There may be 100,000 of them: no maps, closures or arrays in here, and no private methods that are not static (each object of a class
 * with such methods has a field for them). What is asked for rarely is asked of native code.
 */
import { makeCallable, type AnyFunction, type Callable } from './callable';
import { callKind } from './call/kind';
import { constructorKey, isObject, ownBytes, requireKey } from './check';
import type { JitCore } from './core';
import {
  detailsOf,
  noDetails,
  noReferences,
  shapeOf,
  statusOf,
  type CodeObjectParts,
  type CodeObjectState,
  type Details,
  type Status,
} from './code-object-facts';
import { befriend } from './code-object-friends';
import { PlacementError, SignatureError, StateError } from './errors';
import { functionTypes, globalTypes, type FunctionType, type GlobalType } from './function-type';
import { globalValue, notExported, readable, writable } from './globals';
import type { Handle, NativeDescription } from './native';
import { perSegment, readPlacement, type PerSegment, type Placement, type SegmentName } from './segments';
import { freeObject, placeAt, requireMovable, requireUnplaced } from './life-cycle';
import { isInt32, offsetOf, placementNow } from './placement-offsets';
import { granuleBytes } from './space/allocator';

export * from './code-object-friends';
export * from './life-cycle';

/** Compiled code and its data: placed, relocated and freed as one. Made by `jit.compile`. */
export class CodeObject {
  readonly #core: JitCore;
  #handle: Handle;
  readonly #id: number;
  #codeBytes: number;
  #status: Status;
  #details: Details;

  static {
    befriend({
      createCodeObject: (parts) => new CodeObject(constructorKey, parts),
      isPlaced: (object) => object.#status.isPlaced,
      handleIn: (core, object, what) => CodeObject.#handleIn(core, object, what),
      bytesOf: (object, name) => CodeObject.#bytesOf(object, name),
      alignmentOf: (object, name) => object.#details.layout?.[name].alignment ?? granuleBytes,
      parameterName: (object, symbol, index) => {
        if (object.#status.state === 'freed') return undefined;
        const name = CodeObject.#exports(object, 'get').functions.get(symbol)?.parameterNames[index];
        return name === '' ? undefined : name;
      },
      isCodeObject: (value): value is CodeObject => isObject(value) && #core in value,
      nameOf: (object) => CodeObject.#nameOf(object),
      statusIn: (object) => object.#status,
      placementOf: (object) => CodeObject.#placementOf(object),
      // A batch has thousands of these: each private field is read once, and the usual case comes first.
      stageMove: (core, object, code, constants, data, ranges, out, index) => {
        if (!isObject(object) || !(#core in object) || object.#core !== core || !object.#status.isMovable)
          throw CodeObject.#refuseMove(core, object);
        const bytes = object.#codeBytes;
        const { base, limit } = ranges.code;
        const isInside = isInt32(code) && code >= 0 && base + code + bytes <= limit;
        out[index] = object.#handle;
        out[index + 1] = isInside && bytes > 0 ? base + code : offsetOf(object, 'code', code, ranges);
        out[index + 2] = constants === undefined ? -1 : offsetOf(object, 'constants', constants, ranges);
        out[index + 3] = data === undefined ? -1 : offsetOf(object, 'data', data, ranges);
      },
      setStatus: (object, status) => {
        object.#status = status;
      },
      coreOfObject: (object) => object.#core,
      handleOf: (object) => object.#handle,
      setReferences: (object, references) => {
        if (references.length === 0 && object.#details.references.length === 0) return;
        object.#details = { ...object.#details, references: Object.freeze([...references]) };
      },
      replaceHandle: (object, handle, references) => {
        const shape = shapeOf(object.#core, handle);
        object.#handle = handle;
        object.#codeBytes = typeof shape === 'number' ? shape : shape.code.bytes;
        object.#details = detailsOf(shape, object.#details.name, references);
      },
      markFreed: (object) => {
        if (object.#status.state !== 'freed') object.#status = statusOf(object.#status, 'freed');
        if (object.#details !== noDetails) object.#details = { ...object.#details, references: noReferences };
      },
    });
  }

  private constructor(key: symbol, { core, handle, id, name, modes, references }: CodeObjectParts) {
    requireKey(key, 'CodeObject', 'jit.compile');
    const shape = shapeOf(core, handle);
    this.#core = core;
    this.#handle = handle;
    this.#id = id;
    this.#codeBytes = typeof shape === 'number' ? shape : shape.code.bytes;
    this.#status = statusOf(modes, 'unplaced');
    this.#details = detailsOf(shape, name, references);
    core.dropStale(handle);
    core.objects.add(handle, this);
  }

  /** A number that no other code object of this process has had or will have. */
  get id(): number {
    return this.#id;
  }

  /** The name given to `compile`, or else `object#` and the id. */
  get name(): string {
    return CodeObject.#nameOf(this);
  }

  get state(): CodeObjectState {
    this.#core.settle();
    return this.#status.state;
  }

  /** What may move, as given to `compile`. */
  get moves(): 'code' | 'all' {
    return this.#status.moves;
  }

  /** What is kept for moving, as given to `compile`. */
  get retain(): 'relocations' | 'object' | 'none' {
    return this.#status.retain;
  }

  /** Whether `freeze` has taken its relocations. */
  get isFrozen(): boolean {
    return this.#status.isFrozen;
  }

  /** Bytes of each segment, 0 where there is none. */
  get sizes(): PerSegment<number> {
    return perSegment((name) => CodeObject.#bytesOf(this, name));
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
   * stayed behind in another space are left out.
   */
  get placement(): Placement | undefined {
    this.#core.settle();
    return CodeObject.#placementOf(this);
  }

  /** Exported functions by name. Throws StateError once freed. */
  get functions(): ReadonlyMap<string, FunctionType> {
    return functionTypes(this.#core.native, CodeObject.#exports(this, 'functions'));
  }

  /** Exported global variables by name. Throws StateError once freed. */
  get globals(): ReadonlyMap<string, GlobalType> {
    return globalTypes(CodeObject.#exports(this, 'globals'));
  }

  /** The code objects that its code refers to; they stay alive as long as it does. Empty once freed. */
  get references(): readonly CodeObject[] {
    this.#core.settle();
    return Object.freeze(this.#details.references.filter((entry) => entry instanceof CodeObject));
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
   * promise that nobody has stored their addresses. Throws PlacementError, PinnedError, or StateError if it is not placed, freed or was
   * compiled with `retain: 'none'`; then nothing has changed.
   */
  relocate(to: Placement): this {
    const core = this.#core;
    CodeObject.#requireMovable(this);
    if (!isObject(to)) readPlacement(to); // says so
    const { space, code, constants, data } = to; // whose getters may do anything
    if (core.ledger.isTorn || !this.#status.isMovable) CodeObject.#requireMovable(this);
    const ranges = core.rangesFor(space);
    core.native.move(
      this.#handle,
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
    CodeObject.#requireAlive(this, 'serialize');
    return this.#core.native.serialize(this.#handle);
  }

  /**
   * Gives up the relocations of a code object that will not move for now, and their memory; until `thaw` it stays where it is, and collectors
   * and spaces work around it. Code that it calls may move. Returns what `thaw` needs. Throws StateError if it is not placed, frozen already,
   * freed, or was compiled with `retain: 'none'`.
   */
  freeze(): Buffer {
    CodeObject.#requireAlive(this, 'freeze');
    const frozen = statusOf(this.#status, 'placed', { isFrozen: true });
    const saved = this.#core.native.freeze(this.#handle, this.#id);
    this.#status = frozen; // with nothing between
    return saved;
  }

  /** Makes it movable again. Throws StateError, with nothing changed, if it is not frozen or `saved` is not what its `freeze` returned; TypeError. */
  thaw(saved: Uint8Array): this {
    CodeObject.#requireAlive(this, 'thaw');
    const own = ownBytes('thaw: saved', saved);
    const thawed = statusOf(this.#status, 'placed');
    this.#core.native.thaw(this.#handle, this.#id, own);
    this.#status = thawed; // with nothing between
    return this;
  }

  /** Frees it and all that it has reserved in spaces. Throws StateError if live code refers to it, if it is running, or freed already. */
  free(): void {
    CodeObject.#requireAlive(this, 'free');
    freeObject(this);
  }

  /** As `free`, but does nothing if it is freed already. */
  [Symbol.dispose](): void {
    this.#core.settle();
    if (this.#status.state !== 'freed') this.free();
  }

  /**
   * The function `name` as a JS function; each call makes a new one. It may be had before the code object is placed, and called afterwards. Throws
   * UnresolvedSymbolError if there is none, SignatureError if JS can't call it, StateError once freed.
   */
  get<F extends AnyFunction = AnyFunction>(name: string): Callable<F> {
    CodeObject.#requireAlive(this, 'get');
    const index = typeof (name as unknown) === 'string' ? this.#core.native.signatureOf(this.#handle, name) : undefined;
    if (index === undefined) {
      const { functions } = CodeObject.#exports(this, 'get');
      throw notExported(CodeObject.#nameOf(this), 'function', name, functions.keys());
    }
    const { signature } = callKind(this.#core, index);
    if (signature.refusal !== undefined)
      throw new SignatureError(`JS can't call '${name}' of type ${signature.text}: ${signature.refusal}`);
    const entry = this.#core.native.entry(this.#handle, name);
    return makeCallable(this.#core, this, name, index, entry) as Callable<F>;
  }

  /** The value of a global, by its IR type, at its present address. Throws UnresolvedSymbolError, SignatureError, StateError. */
  readGlobal(name: string): number | bigint | boolean {
    CodeObject.#requirePlaced(this, 'readGlobal');
    const global = readable(CodeObject.#nameOf(this), CodeObject.#exports(this, 'readGlobal').globals, name);
    return this.#core.native.readGlobal(this.#handle, global.name);
  }

  /** Sets a global that is no constant. Integers wrap. Throws UnresolvedSymbolError, SignatureError, TypeError, StateError. */
  writeGlobal(name: string, value: number | bigint | boolean | null | Callable): void {
    CodeObject.#requirePlaced(this, 'writeGlobal');
    const global = writable(CodeObject.#nameOf(this), CodeObject.#exports(this, 'writeGlobal').globals, name);
    this.#core.native.writeGlobal(this.#handle, global.name, globalValue(global, value));
  }

  /** The present address of a function or global; another after the next move. Throws UnresolvedSymbolError, StateError. */
  addressOf(symbol: string): bigint {
    CodeObject.#requirePlaced(this, 'addressOf');
    if (typeof (symbol as unknown) !== 'string') throw notExported(CodeObject.#nameOf(this), 'symbol', symbol, []);
    return this.#core.native.addressOf(this.#handle, symbol);
  }

  static #nameOf(object: CodeObject): string {
    return object.#details.name ?? `object#${object.#id}`;
  }

  static #placementOf(object: CodeObject): Placement | undefined {
    return object.#status.state === 'placed' ? placementNow(object.#core, object.#handle) : undefined;
  }

  static #handleIn(core: JitCore, object: CodeObject, what: string): Handle {
    if (!isObject(object) || !(#core in object)) throw new TypeError(`${what}: not a CodeObject`);
    if (object.#core !== core)
      throw new PlacementError(`${what}: code object '${CodeObject.#nameOf(object)}' belongs to another Jit`);
    if (object.#status.state === 'freed') CodeObject.#requireAlive(object, what);
    return object.#handle;
  }

  /** Throws what `relocate` throws for a code object that can't move. */
  static #refuseMove(core: JitCore, object: unknown): Error {
    CodeObject.#handleIn(core, object as CodeObject, 'relocate');
    requireMovable(object as CodeObject);
    return new StateError(`relocate: code object '${CodeObject.#nameOf(object as CodeObject)}' can't move now`);
  }

  static #bytesOf(object: CodeObject, name: SegmentName): number {
    return name === 'code' ? object.#codeBytes : (object.#details.layout?.[name].bytes ?? 0);
  }

  static #requireAlive(object: CodeObject, what: string): void {
    object.#core.requireLive(what);
    if (object.#status.state === 'freed') throw new StateError(`${what}: code object '${CodeObject.#nameOf(object)}' is freed`);
  }

  static #requireMovable(object: CodeObject): void {
    if (object.#core.ledger.isTorn || !object.#status.isMovable) {
      CodeObject.#requireAlive(object, 'relocate');
      requireMovable(object);
    }
  }

  static #requirePlaced(object: CodeObject, what: string): void {
    CodeObject.#requireAlive(object, what);
    if (object.#status.state !== 'placed')
      throw new StateError(`${what}: code object '${CodeObject.#nameOf(object)}' is not placed`);
  }

  static #describe(object: CodeObject, what: string): NativeDescription {
    CodeObject.#requireAlive(object, what);
    return object.#core.native.describe(object.#handle);
  }

  static #exports(object: CodeObject, what: string): ReturnType<JitCore['exports']['of']> {
    CodeObject.#requireAlive(object, what);
    return object.#core.exports.of(object.#id, object.#handle);
  }
}
