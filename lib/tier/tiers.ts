/**
 * Tiers: code that is compiled fast at first, and once more, in the background, when it lives on or is called often.
 *
 * In: sources, and what a collector and callables see of their code objects. Out: the same code objects with faster code. Always true:
 *
 *   - a code object's JS half stays the same one, and so do its callables and entry stubs; native code exchanges the code that they lead to, when the
 *     event loop turns. Frames of the old code return into the old code, which is freed when none is left
 *   - what can't be exchanged without a difference (data of its own, constructors, addresses of its own functions or of constants that are not
 *     `unnamed_addr`, functions that the upper level may drop) is compiled at the upper level at once: it would stay slow for good otherwise, and
 *     one compile more is all that it costs
 *   - constants of the old code, whose addresses may be stored, live as long as the new code
 *   - nothing here keeps a code object, or what it was linked to, alive; a source is dropped when its second compile begins
 *
 * Hot is what JS calls often, counted by callables of such code objects alone, or what waits on the stack at collections. Calls of code by code
 * are not counted: each callee would have to do that. But what they keep alive is promoted.
 */
import { UnresolvedSymbolError } from '../base/errors';
import type { Handle } from '../base/native';
import type { CallCounter } from '../call/types';
import { enteredObject, isCallable } from '../code/callable';
import { CodeObject } from '../code/code-object';
import type { CompileResult } from '../code/compile-result';
import { freeObject } from '../code/life-cycle';
import { readOptions, type CompileOptions, type OptLevel, type PartsOptions } from '../jit/compile-options';
import type { Compiler } from '../jit/compiler';
import type { JitCore } from '../jit/core';
import type { JitParts } from '../jit/parts';
import type { TierPolicy } from '../jit/tier-options';
import { CodeRecord } from '../record/code-record';
import { outdatedOf } from './outdated';
import type { Tiered, TierFailure, TierStats } from './report';
import { pack, unpack, type PackedSource } from './source';
import { isReplaceable, replaceObject } from './take-over';

/** What tiers need of a collector. */
export interface TierHost {
  /** Whether a code object is in the old generation. */
  isOld(handle: Handle): boolean;
  /** Places a fresh code object there. Throws SpaceFullError. */
  placeOld(object: CodeObject): void;
  tiered(event: Tiered): void;
  failed(event: TierFailure): void;
}

/** A code object at the lower level. Held strongly, so it has nothing that could refer to code objects. */
interface Candidate {
  readonly handle: Handle;
  readonly id: number;
  /** undefined: its second compile has begun, or will never. */
  source: PackedSource | undefined;
  isQueued: boolean;
  samples: number;
  /** The promises that wait for the end. */
  readonly waiting: Array<(isDone: boolean) => void>;
}

const lower: OptLevel = 0;
/** Longer than any process; Node would not take more. */
const longestMilliseconds = 2 ** 31 - 1;

/** The tiers of one collector. */
export class Tiers {
  readonly #core: JitCore;
  readonly #compiler: Compiler;
  readonly #host: TierHost;
  readonly #policy: TierPolicy;
  readonly #upper: OptLevel;
  readonly #candidates = new Map<Handle, Candidate>();
  /** With what they were compiled: as long as they live, and no longer. */
  #options = new WeakMap<CodeObject, CompileOptions>();
  #queue: Candidate[] = [];
  readonly #compiling = new Set<Candidate>();
  #tiered = 0;
  #failed = 0;
  #isStopped = false;

  constructor({ core, compiler }: JitParts, policy: TierPolicy, host: TierHost) {
    this.#core = core;
    this.#compiler = compiler;
    this.#policy = policy;
    this.#host = host;
    this.#upper = policy.optLevel ?? (core.settings.optLevel === lower ? 2 : core.settings.optLevel);
  }

  get stats(): TierStats {
    let sourceBytes = 0;
    for (const { source } of this.#candidates.values()) sourceBytes += source?.bytes.length ?? 0;
    const { count: outdated } = outdatedOf(this.#core);
    const { size: compiling } = this.#compiling;
    return { candidates: this.#candidates.size, compiling, tiered: this.#tiered, failed: this.#failed, sourceBytes, outdated };
  }

  /** As `jit.compile`, at the lower level if it can be exchanged later. A level that the user asks for is respected, and parts are not exchanged. */
  compile(source: string | Uint8Array, options: CompileOptions | PartsOptions | undefined): CodeObject | CompileResult {
    const read = readOptions(options);
    if (read.granularity === 'function')
      return this.#compiler.compile(source, { ...read, optLevel: read.optLevel ?? this.#upper });
    const given = read;
    if (given.optLevel !== undefined) return this.#compiler.compile(source, given);
    const object = this.#compileLow(source, given);
    if (object !== undefined && CodeRecord.bytesOf(object, 'code') === 0) return object; // nothing that could be faster
    if (object !== undefined && isReplaceable(this.#core, object)) {
      this.#watch(CodeRecord.handleIn(this.#core, object, 'compile'), object, pack(source), given);
      return object;
    }
    if (object !== undefined) freeObject(object);
    return this.#compiler.compile(source, { ...given, optLevel: this.#upper });
  }

  /** undefined: it refers to an undefined name, perhaps in code that never runs, as the upper level may find out. */
  #compileLow(source: string | Uint8Array, options: CompileOptions): CodeObject | undefined {
    try {
      return this.#compiler.compile(source, { ...options, optLevel: lower }) as CodeObject;
    } catch (error) {
      if (error instanceof UnresolvedSymbolError) return undefined;
      throw error;
    }
  }

  /** Recompiles it now; whether that was done. The process waits for it. */
  tierUp(object: CodeObject): Promise<boolean> {
    const candidate = this.#find(object);
    if (candidate === undefined) return Promise.resolve(false);
    this.#enqueue(candidate);
    return endOf(candidate);
  }

  /** A collection has moved what it has moved. */
  afterCollection(): void {
    if (this.#candidates.size === 0) return;
    for (const candidate of this.#candidates.values())
      if (!candidate.isQueued && this.#host.isOld(candidate.handle)) this.#enqueue(candidate);
    if (this.#core.native.isRunning()) this.#sample();
  }

  /** It is freed, and its handle may be reused. */
  forget(handle: Handle): void {
    const candidate = this.#candidates.get(handle);
    if (candidate !== undefined) this.#end(candidate, false);
  }

  /** Nothing is recompiled any more. */
  stop(): void {
    this.#isStopped = true;
    this.#queue = [];
    this.#options = new WeakMap();
    for (const candidate of this.#candidates.values()) this.#end(candidate, false);
  }

  #watch(handle: Handle, object: CodeObject, source: PackedSource, { imports, ...options }: CompileOptions): void {
    const candidate = { handle, id: CodeRecord.idOf(object), source, isQueued: false, samples: 0, waiting: [] };
    this.#candidates.set(handle, candidate);
    const used = new Set(this.#core.native.keepNames(handle));
    const unused = Object.entries(imports ?? {}).filter(([name]) => !used.has(name)); // perhaps the optimiser's
    this.#options.set(object, { ...options, name: CodeRecord.nameOf(object), imports: Object.fromEntries(unused) });
    const counter: CallCounter = { left: this.#policy.hotCalls, reached: () => this.#enqueue(candidate) };
    (this.#core.hooks.callCounters ??= new WeakMap()).set(object, counter);
  }

  #find(object: CodeObject): Candidate | undefined {
    const handle = CodeRecord.handleIn(this.#core, object, 'tierUp');
    const all = [this.#candidates.get(handle), ...this.#compiling];
    return all.find((each) => each?.handle === handle && each.id === CodeRecord.idOf(object));
  }

  /** Its code object, unless JS has forgotten it; not by a WeakRef, which V8's young collections don't see through. */
  #objectOf({ handle, id }: Candidate): CodeObject | undefined {
    const found = this.#core.objects.get(handle);
    return found instanceof CodeObject && CodeRecord.idOf(found) === id ? found : undefined;
  }

  #sample(): void {
    const [exact] = this.#core.native.stackRoots(false);
    const found = new Set(exact.filter((_, i) => i % 5 === 1));
    for (const candidate of this.#candidates.values())
      if (found.has(candidate.handle) && ++candidate.samples === this.#policy.hotSamples) this.#enqueue(candidate);
  }

  /** In a job of its own: the call or collection that found it hot should not wait. */
  #enqueue(candidate: Candidate): void {
    if (candidate.isQueued || this.#isStopped || candidate.source === undefined) return;
    candidate.isQueued = true;
    this.#queue.push(candidate);
    queueMicrotask(() => this.#startSome());
  }

  /** As many as there are threads: the rest waits compressed, and lets the user's own compiles pass. */
  #startSome(): void {
    if (this.#core.isDisposed) this.stop();
    while (this.#compiling.size < this.#core.settings.compileThreads) {
      const candidate = this.#queue.shift();
      if (candidate === undefined) return;
      this.#start(candidate);
    }
  }

  #start(candidate: Candidate): void {
    const { source } = candidate;
    const object = this.#objectOf(candidate);
    const options = object === undefined ? undefined : this.#options.get(object);
    if (!isPlacedNow(object) || source === undefined || options === undefined) {
      this.#end(candidate, false);
      return;
    }
    this.#dropSource(candidate);
    this.#compiling.add(candidate);
    const start = performance.now();
    const again = { ...options, imports: withoutFreed(options.imports), optLevel: this.#upper };
    // Not awaited where the source is: it would be kept meanwhile.
    void this.#await(candidate, this.#compiler.compileInBackground(unpack(source), again, candidate.handle), start);
  }

  async #await(candidate: Candidate, compiled: Promise<CodeObject>, start: number): Promise<void> {
    let isDone = false;
    try {
      isDone = this.#takeOver(candidate, await compiled, start);
    } catch (error) {
      this.#report(candidate, error);
    } finally {
      this.#compiling.delete(candidate);
      this.#end(candidate, isDone);
      this.#startSome();
    }
  }

  /** False if it is no longer wanted. Throws SpaceFullError, StateError; then the code object goes on as it is. */
  #takeOver(candidate: Candidate, faster: CodeObject, start: number): boolean {
    const isWanted = (): boolean => {
      const object = this.#objectOf(candidate);
      return !this.#isStopped && isPlacedNow(object) && isReplaceable(this.#core, object);
    };
    const object = isWanted() ? this.#objectOf(candidate) : undefined;
    try {
      if (object === undefined) return false;
      this.#host.placeOld(faster); // which may collect, and that may run anything
      if (!isWanted()) return false;
      replaceObject(this.#core, object, faster);
    } finally {
      if (CodeRecord.statusOf(faster).state !== 'freed' && !this.#core.isDisposed) freeObject(faster);
    }
    this.#tiered++;
    const event: Tiered = { object, from: lower, to: this.#upper, milliseconds: performance.now() - start };
    // Of its own, so that what a listener throws is the listener's.
    queueMicrotask(() => this.#host.tiered(event));
    return true;
  }

  #report(candidate: Candidate, error: unknown): void {
    const object = this.#objectOf(candidate);
    if (this.#isStopped || this.#core.isDisposed || !isPlacedNow(object)) return;
    this.#failed++;
    if (error instanceof Error) queueMicrotask(() => this.#host.failed({ object, error }));
  }

  #dropSource(candidate: Candidate): void {
    const object = this.#objectOf(candidate);
    candidate.source = undefined;
    this.#candidates.delete(candidate.handle);
    if (object === undefined) return;
    this.#options.delete(object);
    this.#core.hooks.callCounters?.delete(object);
  }

  #end(candidate: Candidate, isDone: boolean): void {
    if (candidate.source !== undefined) this.#dropSource(candidate);
    for (const settle of candidate.waiting.splice(0)) settle(isDone);
  }
}

/** Keeps the process alive, but not the code object. */
function endOf(candidate: Candidate): Promise<boolean> {
  const alarm = setInterval(() => undefined, longestMilliseconds);
  const promise = new Promise<boolean>((resolve) => candidate.waiting.push(resolve));
  return promise.finally(() => clearInterval(alarm));
}

/** What was imported and not used may have been freed since. */
function withoutFreed(imports: CompileOptions['imports']): CompileOptions['imports'] {
  const entries = Object.entries(imports ?? {});
  return Object.fromEntries(
    entries.filter(([, value]) => !isCallable(value) || CodeRecord.statusOf(enteredObject(value)).state !== 'freed'),
  );
}

function isPlacedNow(object: CodeObject | undefined): object is CodeObject {
  return object !== undefined && CodeRecord.statusOf(object).state === 'placed';
}
