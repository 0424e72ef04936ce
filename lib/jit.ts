/**
 * A Jit: an arena, and everything that is compiled into it.
 *
 * In: IR and options. Out: code objects, spaces, reports. Always true: a failed call has changed nothing; after `dispose` every
 * method throws StateError, and every code object and callable of the Jit is freed.
 */
import { enteredAddress, enteredObject, enteredSymbol, isCallable, type AnyFunction, type Callable } from './callable';
import { constructorKey, nonEmptyString, optionsObject, ownBytes, show } from './check';
import { createCodeObject, freeTogether, handleIn, setReferences, type CodeObject } from './code-object';
import { isZealous } from './collector/zeal';
import { JitCore, setCore } from './core';
import { makeError, StateError, UnsupportedError } from './errors';
import { MoveBatch, type Move, type MoveReport } from './move-batch';
import { factsOf, hostFunction, type HostFunction } from './host-function';
import { HostEntry } from './host-table';
import { callWithTimeout } from './interrupt';
import { loadAddon, type CompileUrgency, type ErrorFactory, type Handle } from './native';
import { nextId, type Entry } from './object-table';
import { PendingCompiles, type Expected } from './pending-compiles';
import { placeAll, placeAt, reserveAll } from './place-all';
import {
  compileRequest,
  entryOf,
  halfOfArena,
  jitSettings,
  modesOf,
  nativeImport,
  spaceSettings,
  isByFunction,
  type CompileOptions,
  type CompileRequest,
  type DeserializeOptions,
  type Importable,
  type JitOptions,
  type OptLevel,
  type PartsOptions,
  type SpaceOptions,
} from './options';
import { referencesOf, refreshReferences } from './references';
import { statsOf, type JitStats } from './jit-stats';
import { createSpace, type CodeSpace } from './space/space';
import { CompileResult, partsOf } from './compile-result';
import { ZealousSpaces } from './space/zealous-spaces';
import { pinsOf, stackRoots, type StackRoots } from './stack-roots';

/** As `jit.compileAsync`, but the process does not wait for it, and names stand for what they do in `alike`. */
export let compileInBackground: (
  jit: Jit,
  source: string | Uint8Array,
  options: CompileOptions,
  alike: Handle,
) => Promise<CodeObject>;

/** As `jit.compile`, whatever users have made of that. */
export let compileIn: (
  jit: Jit,
  source: string | Uint8Array,
  options: CompileOptions | PartsOptions | undefined,
) => CodeObject | CompileResult;

/** Compiles LLVM IR to code objects in an arena of its own. Belongs to the thread that made it. */
export class Jit {
  /** Names this Jit to `interrupt`, in all threads of the process: a number that may be posted to a worker. */
  readonly id: number;
  readonly #core: JitCore;
  readonly #batch: MoveBatch;
  readonly #optLevel: OptLevel;
  /** Keeps alive what later compiles may link to. */
  readonly #defined = new Map<string, readonly Entry[]>();
  readonly #pending = new PendingCompiles();
  /** Names that are only declared. */
  readonly #declared = new Map<string, HostEntry>();
  #defaultSpace: CodeSpace | undefined;
  readonly #listeners = new Set<() => void>();
  #safepoint: HostFunction | undefined;

  static {
    compileIn = (jit, source, options) => jit.#compile(source, options);
    compileInBackground = async (jit, source, options, alike) => jit.#compileAsync(source, options, 'background', alike);
  }

  /** Throws TypeError or RangeError for bad options, ArenaError if the system refuses the address space. */
  constructor(options?: JitOptions) {
    const { optLevel, tier, confinement, ...settings } = jitSettings(options);
    const self = new WeakRef(this); // native code holds the factory
    const factory: ErrorFactory = (code, message, details) => {
      const jit = self.deref();
      return makeError(code, message, jit === undefined ? details : jit.#withRoots(details));
    };
    this.#core = new JitCore(loadAddon().createJit(settings, factory));
    this.#core.confinement = confinement;
    this.#core.tiering = { optLevel, compileThreads: settings.compileThreads, policy: tier };
    Jit.#follow(this);
    this.id = this.#core.native.id;
    setCore(this, this.#core);
    this.#batch = new MoveBatch(this.#core);
    this.#optLevel = optLevel;
    if (isZealous()) new ZealousSpaces(this.#core, this.#batch);
  }

  /** Version of the LLVM inside, such as '22.1.8'. */
  static get llvmVersion(): string {
    return loadAddon().llvmVersion;
  }

  /**
   * Compiles and links IR text or bitcode. Throws IRParseError, IRVerifyError, CodegenError, LinkError, UnresolvedSymbolError,
   * UnsupportedError, StateError, and TypeError or RangeError for bad options.
   */
  compile(source: string | Uint8Array, options: PartsOptions): CompileResult;
  compile(source: string | Uint8Array, options?: CompileOptions): CodeObject;
  compile(source: string | Uint8Array, options?: CompileOptions | PartsOptions): CodeObject | CompileResult {
    return this.#compile(source, options);
  }

  #compile(source: string | Uint8Array, options: CompileOptions | PartsOptions | undefined): CodeObject | CompileResult {
    const core = this.#core;
    core.requireLive('compile');
    const isParts = isByFunction(options);
    const request = compileRequest(core, source, options, this.#optLevel);
    return core.ledger.change(() => {
      if (isParts) return this.#compileParts(request);
      const handle = core.native.compile(request.source, request.native);
      core.fresh = [handle];
      return this.#adoptFresh(handle, request);
    });
  }

  /**
   * As `compile`, on the Jit's compile threads: the promise rejects with what `compile` throws. The source is copied at once. Results are linked,
   * and their promises settled, in the order of the calls; only bad options reject without waiting for their turn.
   */
  async compileAsync(source: string | Uint8Array, options?: CompileOptions): Promise<CodeObject> {
    if (isByFunction(options)) throw new UnsupportedError(`compileAsync: granularity 'function' is for compile`);
    return this.#compileAsync(source, options, 'awaited');
  }

  /** Compiles, and places in a space of the Jit's own, which takes half of what the arena has left. Throws as `compile`, and SpaceFullError. */
  load(source: string | Uint8Array, options: PartsOptions): CompileResult;
  load(source: string | Uint8Array, options?: CompileOptions): CodeObject;
  load(source: string | Uint8Array, options?: CompileOptions | PartsOptions): CodeObject | CompileResult {
    this.#core.requireLive('load');
    const compiled = this.#compile(source, options);
    const parts = compiled instanceof CompileResult ? partsOf(compiled) : [compiled];
    try {
      const places = this.#core.withRoom(() => reserveAll(this.#core, parts, this.#ensureDefaultSpace()));
      placeAt(this.#core, places);
      return compiled;
    } catch (error) {
      freeTogether(this.#core, parts);
      throw error;
    }
  }

  /** A user may have disposed it, since placements name it. */
  #ensureDefaultSpace(): CodeSpace {
    if (this.#defaultSpace === undefined || this.#defaultSpace.isDisposed)
      this.#defaultSpace = createSpace(this.#core, halfOfArena(this.#core), 'free-list');
    return this.#defaultSpace;
  }

  /**
   * A code object that `serialize` has written, in this process or another on the same kind of machine: unplaced, as `compile` returns them.
   * Nothing is compiled, and LLVM links nothing. Names are looked up again: in `imports`, then what is `define`d, then the process. It is
   * machine code: load only what you would run. Throws LinkError for bytes that are damaged, UnsupportedError if another version, or LLVM, or
   * another CPU's has made them, another linker with `retain: 'object'`, or if its calls can't reach what a name stands for here;
   * UnresolvedSymbolError, SignatureError, SpaceFullError, StateError, TypeError, RangeError.
   */
  deserialize(buffer: Uint8Array, options?: DeserializeOptions): CodeObject {
    const core = this.#core;
    core.requireLive('deserialize');
    const { name, imports } = optionsObject('options', options);
    const request = compileRequest(core, '', { name, imports }, this.#optLevel);
    const own = ownBytes('buffer', buffer); // what has been checked must not change
    return core.ledger.change(() => {
      const made = core.native.deserialize(own, request.native);
      core.fresh = [made];
      const [handle, moves, retain] = made;
      return this.#adoptFresh(handle, { ...request, modes: modesOf({ moves, retain }) });
    });
  }

  /** Makes a space. Throws SpaceFullError if the arena has no room for it, TypeError, RangeError, StateError. */
  createSpace(options?: SpaceOptions): CodeSpace {
    this.#core.requireLive('createSpace');
    const { sizes, policy } = spaceSettings(this.#core, options);
    return this.#core.withRoom(() => (this.#core.requireLive('createSpace'), createSpace(this.#core, sizes, policy)));
  }

  /** Relocates many code objects in one native call: all, or none if it throws. Throws what `CodeObject.relocate` throws, and TypeError. */
  relocate(moves: Iterable<Move>): MoveReport {
    this.#core.requireLive('relocate');
    return this.#batch.relocate(moves);
  }

  /** A symbol for all later compiles, in place of an earlier one of that name. Keeps a callable's code object alive. Throws TypeError, StateError. */
  define<F extends AnyFunction>(name: string, value: Callable<F> | HostFunction | bigint): void {
    this.#core.requireLive('define');
    const definition = nativeImport(this.#core, 'definition', nonEmptyString('name', name), value);
    const entry = entryOf(this.#core, value);
    this.#settleDeclaration(name, value, entry);
    const before = this.#defined.get(name) ?? [];
    const after = entry === undefined ? [] : [entry];
    this.#defined.set(name, [...before, ...after]); // if this goes no further, both live
    this.#core.native.define(definition);
    this.#defined.set(name, after);
  }

  /**
   * A name for all later compiles whose function comes later: until `define` gives it one, calls of it throw StateError. Then all code that has
   * been linked to it calls that function. Throws SignatureError, TypeError, StateError.
   */
  declare(name: string, type: string): void {
    this.#core.requireLive('declare');
    const missing = (): never => {
      throw new StateError(`'${name}' is called, but only declared: jit.define gives it a function`);
    };
    const host = hostFunction(type, missing);
    this.define(name, host);
    this.#declared.set(name, this.#core.hosts.entry(host));
  }

  /**
   * Whoever calls `from` calls `to` from now on: code that was or will be linked to it, the callable itself, and whoever has its address. It
   * may be redirected again; `redirect(from, from)` takes it back. Calls inside the code object of `from`, and of `to`, stay what they are, so
   * that `to` may call `from`. Code to which nothing but redirected calls led can be freed. Throws SignatureError for different types,
   * StateError (freed, not placed, or `to` has been redirected itself), PlacementError (of another Jit), TypeError; then nothing has changed.
   */
  redirect<F extends AnyFunction, G extends AnyFunction>(from: Callable<F>, to: Callable<G>): void {
    this.#core.requireLive('redirect');
    const [source, target] = [from, to].map((callable) => {
      if (!isCallable(callable)) throw new TypeError(`redirect: not a Callable but ${show(callable)}`);
      return [handleIn(this.#core, enteredObject(callable), 'redirect'), enteredSymbol(callable)] as const;
    });
    if (source !== undefined && target !== undefined) this.#redirect(source, target);
  }

  /** A host function of type `void ()` that runs the safepoint listeners: for code that wants to be moved there. */
  get safepoint(): HostFunction {
    return (this.#safepoint ??= hostFunction('void ()', () => this.#reachSafepoint()));
  }

  /** Runs `listener` at every call of `safepoint`, while all code of the calling thread waits. Returns a function that ends that. */
  onSafepoint(listener: () => void): () => void {
    if (typeof (listener as unknown) !== 'function') throw new TypeError(`a listener must be a function, not ${show(listener)}`);
    const own = (): void => listener();
    this.#listeners.add(own);
    return () => void this.#listeners.delete(own);
  }

  /**
   * Calls `run`; code that then runs after `milliseconds`, until `run` returns, ends in a TrapError (`kind` is 'interrupt'): code that is entered
   * later too, but not JS, nor what an async `run` awaits. May nest. Throws what `run` throws, TypeError, RangeError, StateError.
   */
  withTimeout<T>(milliseconds: number, run: () => T): T {
    return callWithTimeout(this.#core, milliseconds, run);
  }

  /** What the stack has of code objects now: nothing unless called from a host function. Throws StateError. */
  stackRoots(): StackRoots {
    this.#core.requireLive('stackRoots');
    return stackRoots(this.#core);
  }

  /** What the Jit holds now. Throws StateError. */
  stats(): JitStats {
    this.#core.requireLive('stats');
    return statsOf(this.#core);
  }

  /** Gives memory that no code object occupies back to the system; returns bytes. Throws StateError. */
  trim(): number {
    this.#core.requireLive('trim');
    return this.#core.native.trim();
  }

  /**
   * Runs destructors and frees everything. Does nothing the second time. Throws StateError while its code is running; what a destructor
   * throws is thrown too, when everything is freed.
   */
  dispose(): void {
    this.#core.dispose();
  }

  /** As `dispose`. */
  [Symbol.dispose](): void {
    this.dispose();
  }

  /** Leads those who have been linked to a declared name to what it is now. */
  #settleDeclaration(name: string, value: Importable, entry: Entry | undefined): void {
    const declared = this.#declared.get(name);
    if (declared === undefined) return;
    if (typeof value === 'bigint') this.#core.native.redirectHost(declared.handle, value);
    else if (entry instanceof HostEntry) this.#redirect(ends(declared), ends(entry));
    else if (isCallable(value) && entry !== undefined) {
      this.#redirect(ends(declared), [handleIn(this.#core, enteredObject(value), 'define'), enteredSymbol(value)]);
      this.#core.native.redirectHost(declared.handle, enteredAddress(value)); // redirecting leaves calls inside its own code object alone
    }
    this.#declared.delete(name);
  }

  #redirect([from, symbol]: readonly [Handle, string], [to, toSymbol]: readonly [Handle, string]): void {
    const { native, objects } = this.#core;
    // What is redirected may be running, and then lives until nothing runs: with what it calls, of which nobody else may know now.
    const outdated = native.isRunning() ? objects.get(from) : undefined;
    if (outdated !== undefined) queueMicrotask(() => outdated);
    this.#core.ledger.change(() => refreshReferences(this.#core, native.redirect(from, symbol, to, toSymbol)));
  }

  /** Not in the constructor, where it would share what the ErrorFactory holds: native code keeps that. */
  static #follow(jit: Jit): void {
    jit.#core.onDisposed.add(() => jit.#forgetAll());
  }

  #forgetAll(): void {
    this.#defined.clear();
    this.#pending.rejectAll(new StateError('compileAsync: the Jit is disposed'));
  }

  #reachSafepoint(): void {
    for (const listener of [...this.#listeners]) if (this.#listeners.has(listener)) listener();
  }

  /** A native error's details, with the roots of the code object that it names. */
  #withRoots({ object, ...details }: Record<string, unknown>): Record<string, unknown> {
    return typeof object === 'number' ? { ...details, roots: pinsOf(this.#core, object) } : details;
  }

  /** What parts refer to are other parts: all exist before their references are noted. */
  #compileParts(request: CompileRequest): CompileResult {
    const { native } = this.#core;
    const owners = new Map<string, CodeObject>();
    const made = (this.#core.fresh = native.compileParts(request.source, request.native));
    const parts = made.map(([handle, name, exported], i) => {
      const id = i === 0 ? request.id : nextId();
      const object = createCodeObject({ core: this.#core, handle, id, name, modes: request.modes, references: [] });
      for (const symbol of exported) owners.set(symbol, object);
      return [handle, object] as const;
    });
    for (const [handle, object] of parts) {
      const references = referencesOf(this.#core, handle);
      if (references.length > 0) setReferences(object, references);
      this.#holdHosts(handle, references);
    }
    const place = (list: readonly CodeObject[], space: CodeSpace): void => placeAll(this.#core, list, space);
    const objects = parts.map(([, object]) => object) as [CodeObject, ...CodeObject[]]; // the rest of the module is always there
    this.#core.fresh = [];
    return new CompileResult(constructorKey, request.native.name, objects, owners, place);
  }

  /** Code with destructors calls host functions last. */
  #holdHosts(handle: Handle, references: readonly Entry[]): void {
    const hosts = references.filter((entry) => entry instanceof HostEntry);
    if (hosts.length > 0 && this.#core.native.hasEnding(handle)) this.#core.hosts.hold(handle, hosts);
  }

  /** The source waits in native code, once: nothing that lives as long as the promise may hold `request`. */
  #compileAsync(
    source: string | Uint8Array,
    options: CompileOptions | undefined,
    urgency: CompileUrgency,
    alike?: Handle,
  ): Promise<CodeObject> {
    this.#core.requireLive('compileAsync');
    const request = compileRequest(this.#core, source, options, this.#optLevel, alike);
    const { promise, done } = this.#expectHandle(request);
    this.#core.native.compileAsync(request.source, request.native, urgency, done);
    return promise;
  }

  #expectHandle({ id, name, modes, imported }: Identity & Pick<CompileRequest, 'imported'>): Expected<CodeObject> {
    return this.#pending.expect(imported, (handle) => {
      this.#core.dropStale(handle);
      this.#core.settle();
      return this.#adopt(handle, { id, name, modes });
    });
  }

  /** Makes the code object of the one fresh handle. */
  #adoptFresh(handle: Handle, identity: Identity): CodeObject {
    const object = this.#adopt(handle, identity);
    this.#core.fresh = [];
    return object;
  }

  /** Makes the code object of a handle. */
  #adopt(handle: Handle, { id, name, modes }: Identity): CodeObject {
    const references = referencesOf(this.#core, handle);
    this.#holdHosts(handle, references);
    return createCodeObject({ core: this.#core, handle, id, name, modes, references });
  }
}

/** A host function as what calls lead from, or to. */
function ends({ handle, host }: HostEntry): readonly [Handle, string] {
  return [handle, factsOf(host).name];
}

type Identity = Pick<CompileRequest, 'id' | 'name' | 'modes'>;
