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
  endingOf,
  noDetails,
  noReferences,
  shapeOf,
  statusOf,
  type CodeObjectParts,
  type CodeObjectState,
  type Details,
  type Status,
} from './code-object-facts';
import { PlacementError, SignatureError, StateError } from './errors';
import { functionType, globalType, type FunctionType, type GlobalType } from './function-type';
import { globalValue, notExported, readable, writable } from './globals';
import type { Handle, NativeDescription } from './native';
import type { Entry } from './object-table';
import {
  makePlacement,
  perSegment,
  readPlacement,
  segmentNames,
  type OffsetRange,
  type PerSegment,
  type Placement,
  type ReadPlacement,
  type SegmentName,
} from './segments';
import { isInt32, offsetOf, relative } from './placement-offsets';
import { granuleBytes } from './space/allocator';

/** Makes a code object of a handle that has none, and enters it in the tables of its Jit. */
export let createCodeObject: (parts: CodeObjectParts) => CodeObject;
/** The handle, for the Jit of `core`. Throws TypeError, PlacementError (another Jit's) or StateError (freed); `what` was to be done. */
export let handleIn: (core: JitCore, object: CodeObject, what: string) => Handle;
/** What `state` says, asked at each call: a boolean is compared faster than a string. */
export let isPlaced: (object: CodeObject) => boolean;
/** Bytes of one segment. */
export let bytesOf: (object: CodeObject, name: SegmentName) => number;
/** Bytes to which one segment is aligned; at least the granule for code objects that have only code. */
export let alignmentOf: (object: CodeObject, name: SegmentName) => number;
/** What the IR calls a parameter of an exported function; undefined if that is not known. */
export let parameterName: (object: CodeObject, symbol: string, index: number) => string | undefined;
/** Whether `value` is a CodeObject, of any Jit. */
export let isCodeObject: (value: unknown) => value is CodeObject;
/** `name`, `state` and modes, whatever a user has made of the object's properties. */
export let nameOf: (object: CodeObject) => string;
export let statusIn: (object: CodeObject) => Status;
/** As `object.placement`. */
export let placementOf: (object: CodeObject) => Placement | undefined;
/** As `object.free()`. */
export let freeObject: (object: CodeObject) => void;
/** As `object.place(at)`, for a placement that has just been made. */
export let placeObject: (object: CodeObject, at: Placement) => void;
/** Checks a move of a batch and writes it as four numbers at `out[index]`. */
export let stageMove: (
  core: JitCore,
  object: unknown,
  at: ReadPlacement,
  ranges: PerSegment<OffsetRange>,
  out: Int32Array,
  index: number,
) => void;
/** Places or relocates at offsets in the arena's ranges, which have been taken; -1: stays, or has no such segment. Throws what `place` throws. */
export let moveTo: (object: CodeObject, code: number, constants: number, data: number) => void;
/** Notes that it is placed. */
export let markPlaced: (object: CodeObject) => void;
/** Notes what its code refers to now. */
export let setReferences: (object: CodeObject, references: readonly Entry[]) => void;
/** Gives a placed code object another native half: the same functions, placed too, in other code. */
export let replaceHandle: (object: CodeObject, handle: Handle, references: readonly Entry[]) => void;
/** Notes that the native half is gone. */
export let markFreed: (object: CodeObject) => void;
/** Notes that the native half may go from now on: callables ask before they enter code. */
export let markEnding: (object: CodeObject) => void;
/** Notes what native code says of a live code object. */
export let settleObject: (object: CodeObject) => void;
/** Whether its functions may be called now; asked where `isPlaced` says no. */
export let isCallableNow: (object: CodeObject) => boolean;

/** Compiled code and its data: placed, relocated and freed as one. Made by `jit.compile`. */
export class CodeObject {
  readonly #core: JitCore;
  #handle: Handle;
  readonly #id: number;
  #codeBytes: number;
  #status: Status;
  #details: Details;

  static {
    createCodeObject = (parts) => new CodeObject(constructorKey, parts);
    isPlaced = (object) => object.#status.isPlaced;
    handleIn = (core, object, what) => CodeObject.#handleIn(core, object, what);
    bytesOf = (object, name) => CodeObject.#bytesOf(object, name);
    alignmentOf = (object, name) => object.#details.layout?.[name].alignment ?? granuleBytes;
    // A batch has thousands of these: each private field is read once, and the usual case comes first.
    parameterName = (object, symbol, index) => {
      if (object.#status.state === 'freed') return undefined;
      const name = CodeObject.#exports(object, 'get').functions.get(symbol)?.parameterNames[index];
      return name === '' ? undefined : name;
    };
    isCodeObject = (value): value is CodeObject => isObject(value) && #core in value;
    nameOf = (object) => CodeObject.#nameOf(object);
    statusIn = (object) => object.#status;
    placementOf = (object) => CodeObject.#placementOf(object);
    freeObject = (object) => CodeObject.#free(object);
    placeObject = (object, at) => CodeObject.#place(object, at);
    // A batch has thousands of these: each private field is read once, and the usual case comes first.
    stageMove = (core, object, { code, constants, data }, ranges, out, index) => {
      if (!isObject(object) || !(#core in object) || object.#core !== core || !object.#status.isMovable)
        throw CodeObject.#refuseMove(core, object);
      const bytes = object.#codeBytes;
      const { base, limit } = ranges.code;
      const isInside = isInt32(code) && code >= 0 && base + code + bytes <= limit;
      out[index] = object.#handle;
      out[index + 1] = isInside && bytes > 0 ? base + code : offsetOf(object, 'code', code, ranges);
      out[index + 2] = constants === undefined ? -1 : offsetOf(object, 'constants', constants, ranges);
      out[index + 3] = data === undefined ? -1 : offsetOf(object, 'data', data, ranges);
    };
    moveTo = (object, code, constants, data) => {
      const { native, ledger } = object.#core;
      const { state } = object.#status;
      if (state === 'placed') {
        native.move(object.#handle, code, constants, data); // JS has nothing to note
        return;
      }
      const placed = statusOf(object.#status, 'placed');
      ledger.change(() => {
        try {
          native.move(object.#handle, code, constants, data);
          object.#status = placed;
        } catch (error) {
          settleObject(object); // it stays where it is if a constructor has thrown
          throw error;
        }
      });
    };
    markPlaced = (object) => {
      object.#status = statusOf(object.#status, 'placed');
    };
    markEnding = (object) => {
      object.#status = endingOf(object.#status, true);
    };
    settleObject = (object) => {
      const { offsets, sizes } = object.#core.native.describe(object.#handle);
      const { state, isFrozen } = object.#status;
      const isPlaced = sizes.some((bytes) => bytes > 0) ? offsets.some((offset) => offset >= 0) : state === 'placed';
      object.#status = statusOf(object.#status, isPlaced ? 'placed' : 'unplaced', { isFrozen });
    };
    isCallableNow = (object) => {
      object.#core.settle();
      return object.#status.state === 'placed';
    };
    setReferences = (object, references) => {
      if (references.length === 0 && object.#details.references.length === 0) return;
      object.#details = { ...object.#details, references: Object.freeze([...references]) };
    };
    replaceHandle = (object, handle, references) => {
      const shape = shapeOf(object.#core, handle);
      object.#handle = handle;
      object.#codeBytes = typeof shape === 'number' ? shape : shape.code.bytes;
      object.#details = detailsOf(shape, object.#details.name, references);
    };
    markFreed = (object) => {
      if (object.#status.state !== 'freed') object.#status = statusOf(object.#status, 'freed');
      if (object.#details !== noDetails) object.#details = { ...object.#details, references: noReferences };
    };
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
    const { functions } = CodeObject.#exports(this, 'functions');
    const { native } = this.#core;
    const entries = [...functions].map(
      ([name, { signature, parameterNames }]) => [name, functionType(native.signature(signature), parameterNames)] as const,
    );
    return new Map(entries);
  }

  /** Exported global variables by name. Throws StateError once freed. */
  get globals(): ReadonlyMap<string, GlobalType> {
    return new Map(
      [...CodeObject.#exports(this, 'globals').globals].map(([name, global]) => [name, globalType(global)] as const),
    );
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
    CodeObject.#requireAlive(this, 'place');
    CodeObject.#place(this, readPlacement(at));
    return this;
  }

  /**
   * Moves it. Segments without an offset stay where they are; with `moves: 'code'` new offsets for constants and data are the caller's
   * promise that nobody has stored their addresses. Throws PlacementError, PinnedError, or StateError if it is not placed, freed or was
   * compiled with `retain: 'none'`; then nothing has changed.
   */
  relocate(to: Placement): this {
    CodeObject.#requireAlive(this, 'relocate');
    CodeObject.#requireMovable(this);
    const at = readPlacement(to); // whose getters may do anything
    CodeObject.#requireAlive(this, 'relocate');
    CodeObject.#requireMovable(this);
    CodeObject.#move(this, at, this.#core.rangesFor(at.space));
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
    CodeObject.#free(this);
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
    const { functions } = CodeObject.#exports(this, 'get');
    const found = functions.get(name);
    if (found === undefined) throw notExported(CodeObject.#nameOf(this), 'function', name, functions.keys());
    const { signature } = callKind(this.#core, found.signature);
    if (signature.refusal !== undefined)
      throw new SignatureError(`JS can't call '${name}' of type ${signature.text}: ${signature.refusal}`);
    const entry = this.#core.native.entry(this.#handle, name);
    return makeCallable(this.#core, this, name, found.signature, entry) as Callable<F>;
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
    if (object.#status.state !== 'placed') return undefined;
    const { offsets, sizes } = object.#core.native.describe(object.#handle);
    const first = Math.max(
      sizes.findIndex((bytes) => bytes > 0),
      0,
    );
    const found = object.#core.spaceAt(segmentNames[first] ?? 'code', offsets[first] ?? 0);
    if (found === undefined) return undefined;
    const [code, constants, data] = segmentNames.map((name, i) => relative(found.ranges[name], offsets[i] ?? -1));
    return makePlacement(found.space, code ?? 0, constants, data);
  }

  static #place(object: CodeObject, at: ReadPlacement): void {
    CodeObject.#requireAlive(object, 'place');
    if (object.#status.state === 'placed')
      throw new StateError(`place: code object '${CodeObject.#nameOf(object)}' is already placed (use relocate)`);
    const ranges = object.#core.rangesFor(at.space);
    for (const name of segmentNames) CodeObject.#requireOffset(object, name, at);
    CodeObject.#move(object, at, ranges);
  }

  /** Callables are kept out before native code frees it, and let in again if that refuses: nothing lies between that and knowing. */
  static #free(object: CodeObject): void {
    const core = object.#core;
    const handle = object.#handle;
    const freed = statusOf(object.#status, 'freed');
    core.ledger.change(() => {
      markEnding(object);
      try {
        core.native.free(handle);
        object.#status = freed;
      } finally {
        if (core.native.isLive(handle)) object.#status = endingOf(object.#status, false);
        else core.noteFreed(handle);
      }
    });
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
    CodeObject.#requireMovable(object as CodeObject);
    return new StateError(`relocate: code object '${CodeObject.#nameOf(object as CodeObject)}' can't move now`);
  }

  static #bytesOf(object: CodeObject, name: SegmentName): number {
    return name === 'code' ? object.#codeBytes : (object.#details.layout?.[name].bytes ?? 0);
  }

  static #move(object: CodeObject, at: ReadPlacement, ranges: PerSegment<OffsetRange>): void {
    const { code, constants, data } = at;
    moveTo(
      object,
      offsetOf(object, 'code', code, ranges),
      constants === undefined ? -1 : offsetOf(object, 'constants', constants, ranges),
      data === undefined ? -1 : offsetOf(object, 'data', data, ranges),
    );
  }

  static #requireOffset(object: CodeObject, name: SegmentName, at: ReadPlacement): void {
    const bytes = CodeObject.#bytesOf(object, name);
    if (bytes === 0 || at[name] !== undefined) return;
    throw new PlacementError(
      `place: code object '${CodeObject.#nameOf(object)}' has ${bytes} bytes of ${name} and needs a ${name} offset`,
    );
  }

  static #requireAlive(object: CodeObject, what: string): void {
    object.#core.requireLive(what);
    if (object.#status.state === 'freed') throw new StateError(`${what}: code object '${CodeObject.#nameOf(object)}' is freed`);
  }

  static #requirePlaced(object: CodeObject, what: string): void {
    CodeObject.#requireAlive(object, what);
    if (object.#status.state !== 'placed')
      throw new StateError(`${what}: code object '${CodeObject.#nameOf(object)}' is not placed`);
  }

  static #requireMovable(object: CodeObject): void {
    const { state, retain, isFrozen } = object.#status;
    if (state !== 'placed')
      throw new StateError(`relocate: code object '${CodeObject.#nameOf(object)}' is not placed (use place)`);
    if (retain === 'none')
      throw new StateError(
        `relocate: code object '${CodeObject.#nameOf(object)}' was compiled with retain: 'none' and can't move`,
      );
    if (isFrozen)
      throw new StateError(`relocate: code object '${CodeObject.#nameOf(object)}' is frozen; thaw lets it move again`);
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
