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
import type { CodeObject } from '../code/code-object';
import { collectJsGarbage } from '../base/garbage';
import type { JitCore } from '../jit/core';
import { StateError } from '../base/errors';
import type { Compiler } from '../jit/compiler';
import type { Jit } from '../jit/jit';
import { partsOf as partsOfJit } from '../jit/parts';
import { CodeRecord } from '../record/code-record';
import type { Handle } from '../base/native';
import type { CompileOptions, PartsOptions } from '../jit/compile-options';
import { CompileResult, partsOf } from '../code/compile-result';
import { Room } from './room';
import { pinsOf, type StackRoot } from '../code/stack-roots';
import { Admission } from './admission';
import { Evacuation } from './evacuation';
import type { FixedParts } from './fixed-parts';
import type { Generation } from './generation';
import { makeGenerations } from './generations';
import { HandleList } from './handle-list';
import { generationOf } from './managed';
import { collectorSizes, type CollectorOptions } from './policy';
import type { Collection, CollectionKind, CollectOptions, CollectorEvents } from './report';
import { Reports } from './reports';
import { tierPolicy, type TierPolicy } from '../jit/tier-options';
import type { TierStats } from '../tier/report';
import { Tiers } from '../tier/tiers';
import { isZealous, Zeal } from '../zeal/zeal';

/** Collects the code objects that are compiled with it. */
export class CopyingCollector extends EventEmitter<CollectorEvents> {
  readonly #core: JitCore;
  readonly #compiler: Compiler;
  readonly #admission: Admission;
  readonly #nursery: Generation;
  readonly #old: Generation;
  readonly #parts: FixedParts;
  readonly #room: Room;
  readonly #evacuation: Evacuation;
  readonly #roots = new Set<CodeObject>();
  readonly #promoteAfter: number;
  readonly #zeal: Zeal | undefined;
  readonly #tiers: Tiers | undefined;
  readonly #stop: Array<() => void>;
  #freed = 0;
  #freedBytes = 0;
  /** Of collections that no user has asked for, until listeners hear of them. */
  readonly #reports = new Reports((report) => this.emit('collection', report));
  /** 0: none is under way; else how many changes had begun then. One that has been interrupted is over, as soon as that is noticed. */
  #collectingAt = 0;
  #isDisposed = false;
  readonly #onFreed = (handle: Handle): void => this.#noteFreed(handle);
  readonly #mend = (): void => this.#mendTables();

  /** Takes its spaces out of the arena. Throws TypeError, RangeError, SpaceFullError, StateError. */
  constructor(jit: Jit, options?: CollectorOptions) {
    super();
    const { nurseryBytes, oldBytes, promoteAfter = 2, zeal = isZealous(), tier } = optionsObject('options', options);
    if (typeof zeal !== 'boolean') throw new TypeError(`zeal must be a boolean, not ${show(zeal)}`);
    const parts = partsOfJit(jit);
    if (parts === undefined) throw new TypeError(`a collector needs a Jit, not ${show(jit)}`);
    const { core, compiler } = parts;
    const policy = tier === undefined ? core.settings.tier : tierPolicy(tier);
    core.requireLive('CopyingCollector');
    this.#promoteAfter = integerBetween('promoteAfter', promoteAfter, 0, 255);
    this.#core = core;
    this.#compiler = compiler;
    const sizes = collectorSizes(core, nurseryBytes, oldBytes);
    const open = core.ledger.begin();
    const generations = makeGenerations(core, sizes);
    ({ nursery: this.#nursery, old: this.#old, parts: this.#parts } = generations);
    this.#room = new Room(core, generations, (kind) => this.#collectAlone(kind));
    this.#admission = new Admission(core, generations, this.#room);
    this.#evacuation = new Evacuation(core, this.#admission.managed, this.#parts);
    this.#tiers = policy === undefined ? undefined : this.#makeTiers(policy);
    this.#stop = this.#listen();
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
    try {
      if (compiled instanceof CompileResult) this.#admission.adoptTogether(partsOf(compiled), this.#firstGeneration);
      else this.#adoptChecked(compiled);
      return compiled;
    } catch (error) {
      this.#core.freeTogether(compiled instanceof CompileResult ? partsOf(compiled) : [compiled]);
      throw error;
    }
  }

  /** What is promoted at once never is in the nursery. */
  get #firstGeneration(): Generation {
    return this.#promoteAfter === 0 ? this.#old : this.#nursery;
  }

  /**
   * Manages a code object from now on: places it in the nursery, or moves it there. Throws SpaceFullError, StateError (freed, another collector's, or compiled
   * with `retain: 'none'`), PinnedError, PlacementError (another Jit's); then nothing has changed.
   */
  adopt(object: CodeObject): CodeObject {
    this.#requireLive('adopt');
    return this.#reports.after(() => this.#adoptChecked(object));
  }

  #adoptChecked(object: CodeObject): CodeObject {
    const handle = CodeRecord.handleIn(this.#core, object, 'adopt');
    if (CodeRecord.statusOf(object).retain === 'none')
      throw new StateError(`adopt: code object '${CodeRecord.nameOf(object)}' was compiled with retain: 'none' and can't move`);
    for (const other of this.#core.hooks.managers)
      if (other !== this.#admission && other.isManaged(handle))
        throw new StateError(`adopt: another collector manages code object '${CodeRecord.nameOf(object)}'`);
    if (!this.#admission.isManaged(handle)) this.#admission.adopt(object, handle, this.#firstGeneration);
    return object;
  }

  /** Keeps a code object alive, as a reference from JS does. */
  addRoot(object: CodeObject): void {
    this.#requireLive('addRoot');
    CodeRecord.handleIn(this.#core, object, 'addRoot');
    this.#roots.add(object);
  }

  /** Ends `addRoot`. */
  removeRoot(object: CodeObject): void {
    this.#roots.delete(object);
  }

  /**
   * Frees what JS has dropped, and moves what is live: of the nursery, or of everything ('major', the default). Throws StateError while a
   * collection is under way, TypeError, RangeError.
   */
  collect(options: CollectionKind | CollectOptions = 'major'): Collection {
    this.#requireLive('collect');
    const { kind = 'major', findGarbage = true } =
      typeof options === 'string' ? { kind: options } : optionsObject('options', options);
    oneOf('kind', kind, ['minor', 'major']);
    flag('findGarbage', findGarbage);
    this.#requireLive('collect'); // getters may have done anything
    if (this.#isCollecting) throw new StateError('collect: a collection is under way');
    const report = this.#collectOnce(kind, findGarbage ? 'ask' : 'poll');
    this.emit('collection', report);
    return report;
  }

  /** What on the stack forbids `object` to move now. */
  explainPin(object: CodeObject): StackRoot[] {
    return pinsOf(this.#core, CodeRecord.handleIn(this.#core, object, 'explainPin'));
  }

  /**
   * Recompiles it now at the upper level, whatever the policy says; false if that can't be done, has been, or if nobody keeps it alive. It
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

  #makeTiers(policy: TierPolicy): Tiers {
    return new Tiers({ core: this.#core, compiler: this.#compiler }, policy, {
      isOld: (handle) => this.#admission.isOld(handle),
      placeOld: (object) => this.#admission.adopt(object, CodeRecord.handleIn(this.#core, object, 'tier'), this.#old),
      tiered: (event) => this.emit('tiered', event),
      failed: (event) => this.emit('tier-error', event),
    });
  }

  #requireLive(what: string): void {
    this.#core.requireLive(what);
    if (this.#isDisposed) throw new StateError(`${what}: the collector is disposed`);
  }

  #listen(): Array<() => void> {
    const { objects, hooks } = this.#core;
    hooks.onFreed.add(this.#onFreed);
    this.#core.hooks.onTorn.add(this.#mend);
    this.#core.hooks.managers.add(this.#admission);
    return [
      objects.onDead((handle) => {
        if (!this.#admission.isManaged(handle)) return false;
        this.#admission.noteDead(handle);
        return true;
      }),
    ];
  }

  /** May be done again. */
  #end(): void {
    this.#isDisposed = true;
    this.#zeal?.stop();
    this.#tiers?.stop();
    this.#roots.clear();
    this.#core.hooks.managers.delete(this.#admission);
    for (const stop of this.#stop) stop();
    this.#core.objects.forgetDead([...this.#admission.listDead()]);
    this.#disposeSpaces();
  }

  /** Once nothing is in them. */
  #disposeSpaces(): void {
    if (this.#admission.count > 0) return;
    for (const part of [this.#nursery, this.#old, this.#parts]) part.dispose();
    this.#core.hooks.onFreed.delete(this.#onFreed);
    this.#core.hooks.onTorn.delete(this.#mend);
  }

  /** A change was left in the middle. */
  #mendTables(): void {
    if (this.#collectingAt > this.#core.ledger.covered) this.#collectingAt = 0;
    this.#admission.mend((handle) => this.#tiers?.forget(handle));
    if (this.#isDisposed) this.#end();
  }

  get #isCollecting(): boolean {
    return this.#collectingAt !== 0;
  }

  #noteFreed(handle: Handle): void {
    this.#tiers?.forget(handle);
    const bytes = this.#admission.forget(handle);
    if (bytes === undefined) return;
    this.#freed++;
    this.#freedBytes += bytes;
    if (this.#isDisposed) this.#disposeSpaces();
  }

  /** Collects on its own, with what V8 can know now; false while a collection is under way. */
  #collectAlone(kind: CollectionKind): boolean {
    if (this.#isCollecting) return false;
    this.#reports.add(this.#collectOnce(kind, kind === 'minor' || !this.#paysWithoutV8() ? 'ask' : 'poll'));
    return true;
  }

  /** Whether so much is known to be dead that V8's full collection, which may take a hundred times as long as ours, can wait. */
  #paysWithoutV8(): boolean {
    this.#admission.findDead('major');
    return this.#admission.deadBytes >= this.#admission.liveBytes / 4;
  }

  #collectOnce(kind: CollectionKind, garbage: 'ask' | 'poll'): Collection {
    const { ledger } = this.#core;
    const start = performance.now();
    if (garbage === 'ask') collectJsGarbage(kind);
    const v8Milliseconds = garbage === 'ask' ? performance.now() - start : 0;
    const report = ledger.change(() => {
      this.#collectingAt = ledger.covered + 1;
      try {
        return this.#collect(kind);
      } finally {
        this.#collectingAt = 0;
      }
    });
    this.#tiers?.afterCollection();
    return { ...report, pauseMilliseconds: performance.now() - start, v8Milliseconds };
  }

  #collect(kind: CollectionKind): Omit<Collection, 'pauseMilliseconds' | 'v8Milliseconds'> {
    const fragmentationBefore = this.#old.fragmentation;
    this.#admission.findDead(kind);
    if (kind === 'major') this.#old.prepareFlip();
    this.#core.objects.freeClaimed(this.#admission.listDead());
    const pins = new Set(this.#core.native.pins());
    const { moved, promoted, bytes, relocations } = this.#evacuate(kind, pins);
    const pinned = this.#countPinned(kind, pins);
    const report = {
      ...{ kind, moved, promoted, freed: this.#freed, pinned, movedBytes: bytes, freedBytes: this.#freedBytes, relocations },
      ...{ liveObjects: this.#admission.count, liveBytes: this.#admission.liveBytes, fragmentationBefore },
      fragmentationAfter: this.#old.fragmentation,
    };
    this.#freed = 0;
    this.#freedBytes = 0;
    return report;
  }

  #countPinned(kind: CollectionKind, pins: ReadonlySet<Handle>): number {
    const { place, bytes } = this.#admission.managed;
    const isInScope = (handle: Handle): boolean => kind === 'major' || generationOf(place[handle] ?? 0) === 0;
    return [...pins].filter((handle) => this.#admission.isManaged(handle) && bytes[handle] !== 0 && isInScope(handle)).length;
  }

  #evacuate(kind: CollectionKind, pins: ReadonlySet<Handle>): ReturnType<Evacuation['run']> {
    const managed = this.#admission.managed;
    const nursery = this.#nursery;
    const old = this.#old;
    const young = this.#admission.listYoung();
    this.#evacuation.begin(this.#admission.count);
    if (kind === 'major') {
      const all = HandleList.upTo(managed.limit);
      old.flip(managed, all);
      this.#evacuation.plan(all, old, pins, () => old);
    }
    nursery.flip(managed, young);
    this.#evacuation.plan(young, nursery, pins, (handle) =>
      (managed.age[handle] ?? 0) + 1 >= this.#promoteAfter ? old : nursery,
    );
    try {
      return this.#evacuation.run();
    } catch (error) {
      // Where everything still is becomes active again.
      nursery.flip(managed, young);
      if (kind === 'major') old.flip(managed, HandleList.upTo(managed.limit));
      this.#evacuation.giveBack(old);
      throw error;
    } finally {
      if (kind === 'major') old.settle();
    }
  }

  #collectInZeal(): void {
    this.#core.settle();
    if (this.#isCollecting || this.#core.isDisposed) return;
    this.#reports.add(this.#collectOnce('major', 'poll'));
    this.#reports.tell();
    const { native } = this.#core;
    for (const { base, limit } of [this.#nursery.inactive, this.#old.inactive]) native.poison(base, limit);
    native.verify();
  }
}
