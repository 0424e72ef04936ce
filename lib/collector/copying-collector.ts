/**
 * A generational copying collector of code, over placing, relocating and freeing.
 *
 * In: code objects. Out: collections. Always true:
 *
 *   - live are code objects that JS can reach, roots, what the stack refers to, and what live ones refer to
 *   - what is live and not pinned moves in one batch: out of the nursery's active half, and in a major collection out of the old
 *     generation's
 *   - a pinned one stays where it is, and what is around it is used again; the collection after that goes around it, the next one moves it
 *
 * A nursery and an old generation, two halves each. A code object is promoted when it has survived `promoteAfter` collections.
 */
import { EventEmitter } from 'node:events';
import { flag, integerBetween, oneOf, optionsObject, show } from '../base/check';
import { StateError } from '../base/errors';
import type { Handle } from '../base/native';
import type { CodeObject } from '../code/code-object';
import { CompileResult, partsOf } from '../code/compile-result';
import { pinsOf, type StackRoot } from '../code/stack-roots';
import type { CompileOptions, PartsOptions } from '../jit/compile-options';
import type { Compiler } from '../jit/compiler';
import type { JitCore } from '../jit/core';
import type { Jit } from '../jit/jit';
import { partsOf as partsOfJit } from '../jit/parts';
import { tierPolicy, type TierPolicy } from '../jit/tier-options';
import { CodeRecord } from '../record/code-record';
import type { TierStats } from '../tier/report';
import { Tiers } from '../tier/tiers';
import { isZealous, Zeal } from '../zeal/zeal';
import { Collections } from './collections';
import { CodeHeap } from './heap';
import { collectorSizes, pauseOf, type CollectorOptions, type CollectorSizes } from './policy';
import type { Collection, CollectionKind, CollectOptions, CollectorEvents } from './report';
import { Reports } from './reports';

/** Collects the code objects that are compiled with it. */
export class CopyingCollector extends EventEmitter<CollectorEvents> {
  readonly #core: JitCore;
  readonly #compiler: Compiler;
  readonly #heap: CodeHeap;
  readonly #collections: Collections;
  readonly #maxPause: number;
  readonly #roots = new Set<CodeObject | CompileResult>();
  readonly #zeal: Zeal | undefined;
  readonly #tiers: Tiers | undefined;
  readonly #reports = new Reports((report) => this.emit('collection', report));
  #isDisposed = false;

  /** Takes its spaces out of the arena. Throws TypeError, RangeError, SpaceFullError, StateError. */
  constructor(jit: Jit, options?: CollectorOptions) {
    super();
    const { nurseryBytes, oldBytes, promoteAfter = 2, maxPause, zeal = isZealous(), tier } = optionsObject('options', options);
    if (typeof zeal !== 'boolean') throw new TypeError(`zeal must be a boolean, not ${show(zeal)}`);
    const parts = partsOfJit(jit);
    if (parts === undefined) throw new TypeError(`a collector needs a Jit, not ${show(jit)}`);
    const { core, compiler } = parts;
    const policy = tier === undefined ? core.settings.tier : tierPolicy(tier);
    core.requireLive('CopyingCollector');
    integerBetween('promoteAfter', promoteAfter, 0, 255);
    this.#maxPause = pauseOf(maxPause, Infinity);
    this.#core = core;
    this.#compiler = compiler;
    const sizes = collectorSizes(core, nurseryBytes, oldBytes);
    const open = core.ledger.begin();
    this.#heap = this.#makeHeap(sizes, promoteAfter);
    this.#collections = this.#makeCollections();
    this.#tiers = policy === undefined ? undefined : this.#makeTiers(policy);
    this.#zeal = zeal ? new Zeal(core, () => this.#collectInZeal()) : undefined;
    core.arena.unfinished = [];
    core.ledger.end(open);
  }

  /**
   * Compiles, places in the nursery, and manages; function by function, each on its own. Throws what `jit.compile` throws, and SpaceFullError if
   * nothing more can be freed.
   */
  compile(source: string | Uint8Array, options: PartsOptions): CompileResult;
  compile(source: string | Uint8Array, options?: CompileOptions): CodeObject;
  compile(source: string | Uint8Array, options?: CompileOptions | PartsOptions): CodeObject | CompileResult {
    this.#requireLive('compile');
    const result = this.#reports.after(() => {
      const compiled = this.#tiers?.compile(source, options) ?? this.#compiler.compile(source, options);
      return this.#adoptOrFree(compiled);
    });
    return result;
  }

  #adoptOrFree<T extends CodeObject | CompileResult>(compiled: T): T {
    const { admission, firstGeneration } = this.#heap;
    try {
      if (compiled instanceof CompileResult) admission.adoptTogether(partsOf(compiled), firstGeneration);
      else this.#adoptChecked(compiled);
    } catch (error) {
      this.#core.freeTogether(compiled instanceof CompileResult ? partsOf(compiled) : [compiled]);
      throw error;
    }
    this.#collections.keepUp();
    return compiled;
  }

  /**
   * Manages a code object from now on, or all of a module: places it in the nursery, or moves it there. Throws SpaceFullError, StateError (freed, another
   * collector's, or compiled with `retain: 'none'`), PinnedError, PlacementError (another Jit's); then nothing has changed, but that of a module
   * what was placed before may have moved here.
   */
  adopt<T extends CodeObject | CompileResult>(code: T): T {
    this.#requireLive('adopt');
    return this.#reports.after(() => {
      if (code instanceof CompileResult) this.#adoptResult(code);
      else this.#adoptChecked(code);
      this.#collections.keepUp();
      return code;
    });
  }

  #adoptChecked(object: CodeObject): void {
    const handle = this.#requireAdoptable(object);
    const { admission, firstGeneration } = this.#heap;
    if (!admission.isManaged(handle)) admission.adopt(object, handle, firstGeneration);
  }

  /** Those that are not placed yet may refer to each other in circles. */
  #adoptResult(result: CompileResult): void {
    const { admission, firstGeneration } = this.#heap;
    const all = partsOf(result).filter((object) => CodeRecord.statusOf(object).state !== 'freed');
    const strangers = all.filter((object) => !admission.isManaged(this.#requireAdoptable(object)));
    const isPlaced = (object: CodeObject): boolean => CodeRecord.statusOf(object).state === 'placed';
    const unplaced = strangers.filter((object) => !isPlaced(object));
    if (unplaced.length > 0) admission.adoptTogether(unplaced, firstGeneration);
    for (const object of strangers) if (!unplaced.includes(object)) this.#adoptChecked(object);
  }

  #requireAdoptable(object: CodeObject): Handle {
    const handle = CodeRecord.handleIn(this.#core, object, 'adopt');
    if (CodeRecord.statusOf(object).retain === 'none')
      throw new StateError(`adopt: code object '${CodeRecord.nameOf(object)}' was compiled with retain: 'none' and can't move`);
    for (const other of this.#core.hooks.managers)
      if (other !== this.#heap.admission && other.isManaged(handle))
        throw new StateError(`adopt: another collector manages code object '${CodeRecord.nameOf(object)}'`);
    return handle;
  }

  /** Keeps a code object alive, or all of a module, as a reference from JS does. Throws StateError, PlacementError, TypeError. */
  addRoot(code: CodeObject | CompileResult): void {
    this.#requireLive('addRoot');
    for (const object of code instanceof CompileResult ? partsOf(code) : [code])
      CodeRecord.handleIn(this.#core, object, 'addRoot');
    this.#roots.add(code);
  }

  /** Ends `addRoot`. */
  removeRoot(code: CodeObject | CompileResult): void {
    this.#roots.delete(code);
  }

  /**
   * Frees what JS has dropped, and moves what is live: of the nursery, or of everything ('major', the default). With `maxPause` that is a step of a
   * major collection, which goes on by itself until a report says that it is complete. Throws StateError while a collection is under way, TypeError,
   * RangeError.
   */
  collect(options: CollectionKind | CollectOptions = 'major'): Collection {
    this.#requireLive('collect');
    const asked = typeof options === 'string' ? { kind: options } : optionsObject('options', options);
    const { kind = 'major', maxPause: givenPause, findGarbage: givenFind } = asked;
    oneOf('kind', kind, ['minor', 'major']);
    const maxPause = pauseOf(givenPause, this.#maxPause);
    const findGarbage = flag('findGarbage', givenFind ?? (kind === 'minor' || maxPause === Infinity));
    this.#requireLive('collect'); // getters may have done anything
    const report = this.#collections.request({ kind, findGarbage, maxPause });
    this.emit('collection', report);
    return report;
  }

  /** What on the stack forbids `object` to move now. */
  explainPin(object: CodeObject): StackRoot[] {
    return pinsOf(this.#core, CodeRecord.handleIn(this.#core, object, 'explainPin'));
  }

  /**
   * Recompiles it now at the upper level, whatever the policy says; false if that can't be done, has been done, or if the object is dead. It
   * is a 'tiered' or a 'tier-error' event too. Throws TypeError, PlacementError (another Jit's), StateError (freed).
   */
  tierUp(object: CodeObject): Promise<boolean> {
    this.#requireLive('tierUp');
    CodeRecord.handleIn(this.#core, object, 'tierUp');
    return this.#tiers?.tierUp(object) ?? Promise.resolve(false);
  }

  /** What its tiers have and have done; undefined without tiers. */
  get tierStats(): TierStats | undefined {
    return this.#tiers?.stats;
  }

  /**
   * Collects nothing any more, and has no roots; what it managed stays where it is until it is freed, and then its spaces go back to the arena.
   * Does nothing the second time.
   */
  dispose(): void {
    this.#core.settle();
    if (this.#isDisposed) return;
    if (this.#core.isDisposed) this.#isDisposed = true;
    else this.#core.ledger.change(() => this.#end());
  }

  /** As `dispose`. */
  [Symbol.dispose](): void {
    this.dispose();
  }

  #makeHeap(sizes: CollectorSizes, promoteAfter: number): CodeHeap {
    return new CodeHeap(this.#core, sizes, promoteAfter, {
      collect: (kind) => this.#collections.forRoom(kind),
      forget: (handle) => this.#tiers?.forget(handle),
      torn: () => this.#collections.mend(),
      mended: () => (this.#isDisposed ? this.#end() : undefined),
    });
  }

  #makeCollections(): Collections {
    return new Collections(this.#heap, this.#maxPause, {
      reports: this.#reports,
      completed: () => this.#tiers?.afterCollection(),
      failed: (error) => this.emit('collection-error', error),
    });
  }

  #makeTiers(policy: TierPolicy): Tiers {
    const { admission, old } = this.#heap;
    return new Tiers({ core: this.#core, compiler: this.#compiler }, policy, {
      isOld: (handle) => admission.isOld(handle),
      placeOld: (object) => admission.adopt(object, CodeRecord.handleIn(this.#core, object, 'tier'), old),
      tiered: (event) => this.emit('tiered', event),
      failed: (event) => this.emit('tier-error', event),
    });
  }

  #requireLive(what: string): void {
    this.#core.requireLive(what);
    if (this.#isDisposed) throw new StateError(`${what}: the collector is disposed`);
  }

  /** May be done again. */
  #end(): void {
    this.#isDisposed = true;
    this.#zeal?.stop();
    this.#tiers?.stop();
    this.#collections.stop();
    this.#roots.clear();
    this.#heap.end();
  }

  #collectInZeal(): void {
    const { native } = this.#core;
    this.#core.settle();
    if (this.#collections.isUnderWay || this.#core.isDisposed) return;
    this.#reports.add(this.#collections.everything());
    this.#reports.tell();
    for (const { base, limit } of [this.#heap.nursery.inactive, this.#heap.old.inactive]) native.poison(base, limit);
    native.verify();
  }
}
