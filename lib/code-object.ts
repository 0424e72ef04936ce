/**
 * What lives, moves and dies together, as JS sees it.
 *
 * In: a handle from the native half. Out: CodeObject, and the functions with which jit.ts, move-batch.ts and space.ts reach inside.
 * Always true: `state` is what native code would say; a code object holds strongly what its code refers to (I9), so when
 * one is forgotten nothing that is still reachable refers to it.
 *
 * There may be 100,000 of them: no maps, closures or arrays in here. What is asked for rarely is asked of native code.
 */
import { makeCallable, type AnyFunction, type Callable } from './callable';
import { callKind } from './call/kind';
import type { JitCore } from './core';
import { hex } from './check';
import { PlacementError, SignatureError, StateError } from './errors';
import { functionType, globalType, type FunctionType, type GlobalType } from './function-type';
import { globalValue, notExported, readable, writable } from './globals';
import type { Handle, NativeDescription } from './native';
import type { Entry } from './object-table';
import {
  makePlacement,
  perSegment,
  segmentNames,
  type OffsetRange,
  type PerSegment,
  type Placement,
  type SegmentName,
} from './segments';
import { granuleBytes } from './space/allocator';

/** Not yet placed, placed, or freed for good. */
export type CodeObjectState = 'unplaced' | 'placed' | 'freed';

/** How a code object was compiled to move; few different ones exist, and code objects share them. */
export interface MoveModes {
  readonly moves: 'code' | 'all';
  readonly retain: 'relocations' | 'none';
}

/** What a code object is made of. */
export interface CodeObjectParts {
  readonly core: JitCore;
  readonly handle: Handle;
  readonly id: number;
  readonly name: string | undefined;
  readonly modes: MoveModes;
  readonly references: readonly Entry[];
}

/** Sizes and alignments of a code object that has more than code of ordinary alignment. */
type Layout = PerSegment<{ readonly bytes: number; readonly alignment: number }>;

const noReferences: readonly Entry[] = Object.freeze([]);

/** Makes a code object of a handle that has none, and enters it in the tables of its Jit. */
export let createCodeObject: (parts: CodeObjectParts) => CodeObject;
/** The handle, for the Jit of `core`. Throws TypeError, PlacementError (another Jit's) or StateError (freed); `what` was to be done. */
export let handleIn: (core: JitCore, object: CodeObject, what: string) => Handle;
/** Bytes of one segment. */
export let bytesOf: (object: CodeObject, name: SegmentName) => number;
/** Bytes to which one segment is aligned; at least the granule for code objects that have only code. */
export let alignmentOf: (object: CodeObject, name: SegmentName) => number;
/** Checks a move of a batch and writes it as four numbers at `out[index]`. */
export let stageMove: (
  core: JitCore,
  object: CodeObject,
  at: Placement,
  ranges: PerSegment<OffsetRange>,
  out: Int32Array,
  index: number,
) => void;
/** Places or relocates at offsets in the arena's ranges, which have been taken; -1: stays, or has no such segment. Throws what `place` throws. */
export let moveTo: (object: CodeObject, code: number, constants: number, data: number) => void;
/** Notes that the native half is gone. */
export let markFreed: (object: CodeObject) => void;

/** Compiled code and its data: placed, relocated and freed as one. Made by `jit.compile`. */
export class CodeObject {
  readonly #core: JitCore;
  readonly #handle: Handle;
  readonly #id: number;
  readonly #name: string | undefined;
  readonly #modes: MoveModes;
  readonly #codeBytes: number;
  readonly #layout: Layout | undefined;
  #references: readonly Entry[];
  #state: CodeObjectState = 'unplaced';

  static {
    createCodeObject = (parts) => new CodeObject(parts);
    handleIn = (core, object, what) => CodeObject.#handleIn(core, object, what);
    bytesOf = (object, name) => object.#bytesOf(name);
    alignmentOf = (object, name) => object.#layout?.[name].alignment ?? granuleBytes;
    // A batch has thousands of these: each private field is read once, and the usual case comes first.
    stageMove = (core, object, at, ranges, out, index) => {
      if (
        !isObject(object) ||
        !(#core in object) ||
        object.#core !== core ||
        object.#state !== 'placed' ||
        object.#modes.retain === 'none'
      )
        CodeObject.#refuseMove(core, object);
      const { code, constants, data } = at;
      const bytes = object.#codeBytes;
      const { base, limit } = ranges.code;
      const isInside = Number.isInteger(code) && code >= 0 && base + code + bytes <= limit;
      out[index] = object.#handle;
      out[index + 1] = isInside && bytes > 0 ? base + code : object.#offset('code', code, bytes, ranges.code);
      out[index + 2] =
        constants === undefined ? -1 : object.#offset('constants', constants, object.#bytesOf('constants'), ranges.constants);
      out[index + 3] = data === undefined ? -1 : object.#offset('data', data, object.#bytesOf('data'), ranges.data);
    };
    moveTo = (object, code, constants, data) => object.#moveTo(code, constants, data);
    markFreed = (object) => {
      object.#state = 'freed';
      object.#references = noReferences;
    };
  }

  private constructor({ core, handle, id, name, modes, references }: CodeObjectParts) {
    const description = core.native.describe(handle);
    this.#core = core;
    this.#handle = handle;
    this.#id = id;
    this.#name = name;
    this.#modes = modes;
    this.#codeBytes = description.sizes[0];
    this.#layout = layoutOf(description);
    this.#references = references.length === 0 ? noReferences : Object.freeze(references);
    core.objects.add(handle, this);
  }

  /** A number that no other code object of this process has had or will have. */
  get id(): number {
    return this.#id;
  }

  /** The name given to `compile`, or else `object#` and the id. */
  get name(): string {
    return this.#name ?? `object#${this.#id}`;
  }

  get state(): CodeObjectState {
    return this.#state;
  }

  /** What may move, as given to `compile`. */
  get moves(): 'code' | 'all' {
    return this.#modes.moves;
  }

  /** What is kept for moving, as given to `compile`. */
  get retain(): 'relocations' | 'none' {
    return this.#modes.retain;
  }

  /** Bytes of each segment, 0 where there is none. */
  get sizes(): PerSegment<number> {
    return perSegment((name) => this.#bytesOf(name));
  }

  /** Bytes of which each segment's address must be a multiple. Throws StateError once freed. */
  get alignments(): PerSegment<number> {
    const { alignments } = this.#describe('alignments');
    return perSegment((_, index) => alignments[index] ?? 1);
  }

  /** How many relocations are kept for moving. Throws StateError once freed. */
  get relocationCount(): number {
    return this.#describe('relocationCount').relocationCount;
  }

  /** Bytes of the relocations that are kept for moving. Throws StateError once freed. */
  get relocationBytes(): number {
    return this.#describe('relocationBytes').relocationBytes;
  }

  /**
   * Where it is now, or undefined unless it is placed. Offsets count from the bases of the space that has its code; constants and data that
   * stayed behind in another space are left out.
   */
  get placement(): Placement | undefined {
    if (this.#state !== 'placed') return undefined;
    const { offsets, sizes } = this.#core.native.describe(this.#handle);
    const first = Math.max(
      sizes.findIndex((bytes) => bytes > 0),
      0,
    );
    const found = this.#core.spaceAt(segmentNames[first] ?? 'code', offsets[first] ?? 0);
    if (found === undefined) return undefined;
    const [code, constants, data] = segmentNames.map((name, i) => relative(found.ranges[name], offsets[i] ?? -1));
    return makePlacement(found.space, code ?? 0, constants, data);
  }

  /** Exported functions by name. Throws StateError once freed. */
  get functions(): ReadonlyMap<string, FunctionType> {
    const { functions } = this.#exports('functions');
    const { native } = this.#core;
    const entries = [...functions].map(
      ([name, { signature, parameterNames }]) => [name, functionType(native.signature(signature), parameterNames)] as const,
    );
    return new Map(entries);
  }

  /** Exported global variables by name. Throws StateError once freed. */
  get globals(): ReadonlyMap<string, GlobalType> {
    return new Map([...this.#exports('globals').globals].map(([name, global]) => [name, globalType(global)] as const));
  }

  /** The code objects that its code refers to; they stay alive as long as it does. Empty once freed. */
  get references(): readonly CodeObject[] {
    return Object.freeze(this.#references.filter((entry) => entry instanceof CodeObject));
  }

  /**
   * Gives it its first addresses, and runs its constructors; every segment that it has needs an offset. Throws PlacementError, or StateError if
   * it is placed already or freed; then nothing has changed. What constructors throw is thrown too; it is placed then.
   */
  place(at: Placement): this {
    this.#requireAlive('place');
    if (this.#state === 'placed') throw new StateError(`place: code object '${this.name}' is already placed (use relocate)`);
    const ranges = this.#core.rangesFor(at);
    for (const name of segmentNames) this.#requireOffset(name, at);
    this.#move(at, ranges);
    return this;
  }

  /**
   * Moves it. Segments without an offset stay where they are; with `moves: 'code'` new offsets for constants and data are the caller's
   * promise that nobody has stored their addresses. Throws PlacementError, PinnedError, or StateError if it is not placed, freed or was
   * compiled with `retain: 'none'`; then nothing has changed.
   */
  relocate(to: Placement): this {
    this.#requireAlive('relocate');
    this.#requireMovable();
    this.#move(to, this.#core.rangesFor(to));
    return this;
  }

  /** Frees it and all that it has reserved in spaces. Throws StateError if live code refers to it, if it is running, or freed already. */
  free(): void {
    this.#requireAlive('free');
    try {
      this.#core.free(this.#handle);
    } finally {
      if (!this.#core.objects.has(this.#handle)) markFreed(this);
    }
  }

  /** As `free`, but does nothing if it is freed already. */
  [Symbol.dispose](): void {
    if (this.#state !== 'freed') this.free();
  }

  /**
   * The function `name` as a JS function; each call makes a new one. It may be had before the code object is placed, and called afterwards. Throws
   * UnresolvedSymbolError if there is none, SignatureError if JS can't call it, StateError once freed.
   */
  get<F extends AnyFunction = AnyFunction>(name: string): Callable<F> {
    const { functions } = this.#exports('get');
    const found = functions.get(name);
    if (found === undefined) throw notExported(this.name, 'function', name, functions.keys());
    const { signature } = callKind(this.#core, found.signature);
    if (signature.refusal !== undefined)
      throw new SignatureError(`JS can't call '${name}' of type ${signature.text}: ${signature.refusal}`);
    const entry = this.#core.native.entry(this.#handle, name);
    return makeCallable(this.#core, this, name, found.signature, entry) as Callable<F>;
  }

  /** The value of a global, by its IR type, at its present address. Throws UnresolvedSymbolError, SignatureError, StateError. */
  readGlobal(name: string): number | bigint | boolean {
    this.#requirePlaced('readGlobal');
    const global = readable(this.name, this.#exports('readGlobal').globals, name);
    return this.#core.native.readGlobal(this.#handle, global.name);
  }

  /** Sets a global that is no constant. Integers wrap. Throws UnresolvedSymbolError, SignatureError, TypeError, StateError. */
  writeGlobal(name: string, value: number | bigint | boolean | null | Callable): void {
    this.#requirePlaced('writeGlobal');
    const global = writable(this.name, this.#exports('writeGlobal').globals, name);
    this.#core.native.writeGlobal(this.#handle, global.name, globalValue(global, value));
  }

  /** The present address of a function or global; another after the next move. Throws UnresolvedSymbolError, StateError. */
  addressOf(symbol: string): bigint {
    this.#requirePlaced('addressOf');
    if (typeof (symbol as unknown) !== 'string') throw notExported(this.name, 'symbol', symbol, []);
    return this.#core.native.addressOf(this.#handle, symbol);
  }

  static #handleIn(core: JitCore, object: CodeObject, what: string): Handle {
    if (!isObject(object) || !(#core in object)) throw new TypeError(`${what}: not a CodeObject`);
    if (object.#core !== core) throw new PlacementError(`${what}: code object '${object.name}' belongs to another Jit`);
    if (object.#state === 'freed') object.#requireAlive(what);
    return object.#handle;
  }

  /** Throws what `relocate` throws for a code object that can't move now. */
  static #refuseMove(core: JitCore, object: CodeObject): void {
    CodeObject.#handleIn(core, object, 'relocate');
    object.#requireMovable();
  }

  #bytesOf(name: SegmentName): number {
    return name === 'code' ? this.#codeBytes : (this.#layout?.[name].bytes ?? 0);
  }

  #move(at: Placement, ranges: PerSegment<OffsetRange>): void {
    const { code, constants, data } = at;
    this.#moveTo(
      this.#offset('code', code, this.#codeBytes, ranges.code),
      constants === undefined ? -1 : this.#offset('constants', constants, this.#bytesOf('constants'), ranges.constants),
      data === undefined ? -1 : this.#offset('data', data, this.#bytesOf('data'), ranges.data),
    );
  }

  #moveTo(code: number, constants: number, data: number): void {
    try {
      this.#core.native.move(this.#handle, code, constants, data);
      this.#state = 'placed';
    } catch (error) {
      // It stays where it is if a constructor has thrown.
      if (this.#describe('place').offsets.some((offset) => offset >= 0)) this.#state = 'placed';
      throw error;
    }
  }

  /** An offset in a space's range as one in the arena's; -1 if there is no such segment. Throws PlacementError. */
  #offset(name: SegmentName, value: number, bytes: number, range: OffsetRange): number {
    if (bytes === 0) return -1;
    if (!Number.isInteger(value) || value < 0 || range.base + value + bytes > range.limit)
      throw this.#badOffset(name, value, bytes, range);
    return range.base + value;
  }

  #badOffset(name: SegmentName, value: unknown, bytes: number, { base, limit }: OffsetRange): PlacementError {
    const subject = `the ${name} offset for code object '${this.name}'`;
    if (!Number.isSafeInteger(value) || (value as number) < 0)
      return new PlacementError(`${subject} must be an integer from 0 on, not ${String(value)}`);
    const end = `${hex(value)} + ${hex(bytes)} bytes`;
    return new PlacementError(`${subject} is out of range: ${end} is more than the ${hex(limit - base)} bytes of the space`);
  }

  #requireOffset(name: SegmentName, at: Placement): void {
    if (this.#bytesOf(name) === 0 || at[name] !== undefined) return;
    throw new PlacementError(
      `place: code object '${this.name}' has ${this.#bytesOf(name)} bytes of ${name} and needs a ${name} offset`,
    );
  }

  #requireAlive(what: string): void {
    this.#core.requireLive(what);
    if (this.#state === 'freed') throw new StateError(`${what}: code object '${this.name}' is freed`);
  }

  #requirePlaced(what: string): void {
    this.#requireAlive(what);
    if (this.#state !== 'placed') throw new StateError(`${what}: code object '${this.name}' is not placed`);
  }

  #requireMovable(): void {
    if (this.#state !== 'placed') throw new StateError(`relocate: code object '${this.name}' is not placed (use place)`);
    if (this.#modes.retain === 'none')
      throw new StateError(`relocate: code object '${this.name}' was compiled with retain: 'none' and can't move`);
  }

  #describe(what: string): NativeDescription {
    this.#requireAlive(what);
    return this.#core.native.describe(this.#handle);
  }

  #exports(what: string): ReturnType<JitCore['exports']['of']> {
    this.#requireAlive(what);
    return this.#core.exports.of(this.#id, this.#handle);
  }
}

function isObject(value: unknown): value is object {
  return typeof value === 'object' && value !== null;
}

/** Most code objects have only code that any allocator aligns well enough: they need no layout. */
function layoutOf({ sizes, alignments }: NativeDescription): Layout | undefined {
  const isPlain = sizes[1] === 0 && sizes[2] === 0 && alignments[0] <= granuleBytes;
  return isPlain ? undefined : perSegment((_, i) => ({ bytes: sizes[i] ?? 0, alignment: alignments[i] ?? 1 }));
}

/** An arena offset as an offset in `range`, or undefined if it lies outside. */
function relative({ base, limit }: OffsetRange, offset: number): number | undefined {
  return offset >= base && offset < limit ? offset - base : undefined;
}
