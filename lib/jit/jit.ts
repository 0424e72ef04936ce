/**
 * A Jit: an arena, and everything that is compiled into it.
 *
 * In: IR and options. Out: code objects, spaces, reports. Always true: a failed call has changed nothing; after `dispose` every
 * method throws StateError, and every code object and callable of the Jit is freed.
 */
import { UnsupportedError } from '../base/errors';
import { loadAddon } from '../base/native';
import type { HostFunction } from '../call/host-function';
import type { AnyFunction } from '../call/types';
import type { Callable, CodeObject, CodeSpace } from '../code/code-object';
import { CompileResult, partsOf } from '../code/compile-result';
import { placeReserved, reserveAll } from '../code/place-together';
import { stackRoots, type StackRoots } from '../code/stack-roots';
import type { Region } from '../space/arena';
import { makeRegion } from '../space/code-space';
import { isByFunction, type CompileOptions, type DeserializeOptions, type PartsOptions } from './compile-options';
import { Compiler } from './compiler';
import { JitCore } from './core';
import { Errors } from './error-factory';
import { callWithTimeout } from './interrupt';
import { jitSettings, type JitOptions } from './jit-options';
import { statsOf, type JitStats } from './jit-stats';
import { MoveBatch, type Move, type MoveReport } from './move-batch';
import { Names } from './names';
import { setParts } from './parts';
import { Safepoints } from './safepoints';
import { halfOfArena, spaceSettings, type SpaceOptions } from './space-options';

/** Compiles LLVM IR to code objects in an arena of its own. Belongs to the thread that made it. */
export class Jit {
  /** Names this Jit to `interrupt`, in all threads of the process: a number that may be posted to a worker. */
  readonly id: number;
  readonly #core: JitCore;
  readonly #compiler: Compiler;
  readonly #names: Names;
  readonly #batch: MoveBatch;
  readonly #safepoints = new Safepoints();
  #defaultRegion: Region | undefined;

  /** Throws TypeError or RangeError for bad options, ArenaError if the system refuses the address space. */
  constructor(options?: JitOptions) {
    const settings = jitSettings(options);
    const errors = new Errors();
    const core = new JitCore(loadAddon().createJit(settings, errors.factory), settings);
    errors.follow(core);
    this.#core = core;
    this.#compiler = new Compiler(core);
    this.#names = new Names(core);
    this.#batch = new MoveBatch(core);
    this.id = core.native.id;
    setParts(this, { core, compiler: this.#compiler });
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
    return this.#compiler.compile(source, options);
  }

  /**
   * As `compile`, on the Jit's compile threads: the promise rejects with what `compile` throws. The source is copied at once. Results are linked,
   * and their promises settled, in the order of the calls; only bad options reject without waiting for their turn.
   */
  async compileAsync(source: string | Uint8Array, options?: CompileOptions): Promise<CodeObject> {
    if (isByFunction(options)) throw new UnsupportedError(`compileAsync: granularity 'function' is for compile`);
    return this.#compiler.compileAsync(source, options);
  }

  /** Compiles, and places in a space of the Jit's own, which takes half of what the arena has left. Throws as `compile`, and SpaceFullError. */
  load(source: string | Uint8Array, options: PartsOptions): CompileResult;
  load(source: string | Uint8Array, options?: CompileOptions): CodeObject;
  load(source: string | Uint8Array, options?: CompileOptions | PartsOptions): CodeObject | CompileResult {
    this.#core.requireLive('load');
    const compiled = this.#compiler.compile(source, options);
    const parts = compiled instanceof CompileResult ? partsOf(compiled) : [compiled];
    try {
      const reserved = this.#core.withRoom(() => reserveAll(this.#core, parts, this.#ensureDefaultRegion()));
      placeReserved(this.#core, reserved);
      return compiled;
    } catch (error) {
      this.#core.freeTogether(parts);
      throw error;
    }
  }

  /** A user may have disposed its space, since placements name it. */
  #ensureDefaultRegion(): Region {
    this.#core.settle();
    if (this.#defaultRegion === undefined || this.#defaultRegion.isDisposed)
      this.#defaultRegion = makeRegion(this.#core, halfOfArena(this.#core), 'free-list');
    return this.#defaultRegion;
  }

  /**
   * A code object that `serialize` has written, in this process or another on the same kind of machine: unplaced, as `compile` returns them.
   * Nothing is compiled, and LLVM links nothing. Names are looked up again: in `imports`, then what is `define`d, then the process. It is
   * machine code: load only what you would run. Throws LinkError for bytes that are damaged, UnsupportedError if another version, or LLVM, or
   * another CPU's has made them, another linker with `retain: 'object'`, or if its calls can't reach what a name stands for here;
   * UnresolvedSymbolError, SignatureError, SpaceFullError, StateError, TypeError, RangeError.
   */
  deserialize(buffer: Uint8Array, options?: DeserializeOptions): CodeObject {
    return this.#compiler.deserialize(buffer, options);
  }

  /** Makes a space. Throws SpaceFullError if the arena has no room for it, TypeError, RangeError, StateError. */
  createSpace(options?: SpaceOptions): CodeSpace {
    this.#core.requireLive('createSpace');
    const { sizes, policy } = spaceSettings(this.#core, options);
    const region = this.#core.withRoom(() => {
      this.#core.requireLive('createSpace');
      return makeRegion(this.#core, sizes, policy);
    });
    return region.space as CodeSpace;
  }

  /** Relocates many code objects in one native call: all, or none if it throws. Throws what `CodeObject.relocate` throws, and TypeError. */
  relocate(moves: Iterable<Move>): MoveReport {
    this.#core.requireLive('relocate');
    return this.#batch.relocate(moves);
  }

  /** A symbol for all later compiles, in place of an earlier one of that name. Keeps a callable's code object alive. Throws TypeError, StateError. */
  define<F extends AnyFunction>(name: string, value: Callable<F> | HostFunction | bigint): void {
    this.#names.define(name, value);
  }

  /**
   * A name for all later compiles whose function comes later: until `define` gives it one, calls of it throw StateError. Then all code that has
   * been linked to it calls that function. Throws SignatureError, TypeError, StateError.
   */
  declare(name: string, type: string): void {
    this.#names.declare(name, type);
  }

  /**
   * Callers of `from` call `to` from now on: code that was or will be linked to it, the callable itself, and code that has its address. It
   * may be redirected again; `redirect(from, from)` takes it back. Calls inside the code object of `from`, and of `to`, stay what they are, so
   * that `to` may call `from`. Code to which nothing but redirected calls led can be freed. Throws SignatureError for different types,
   * StateError (freed, not placed, or `to` has been redirected itself), PlacementError (of another Jit), TypeError; then nothing has changed.
   */
  redirect<F extends AnyFunction, G extends AnyFunction>(from: Callable<F>, to: Callable<G>): void {
    this.#names.redirect(from, to);
  }

  /** A host function of type `void ()` that runs the safepoint listeners: for code that wants to be moved there. */
  get safepoint(): HostFunction {
    return this.#safepoints.host;
  }

  /** Runs `listener` at every call of `safepoint`, while all code of the calling thread waits. Returns a function that ends that. */
  onSafepoint(listener: () => void): () => void {
    return this.#safepoints.listen(listener);
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
}
