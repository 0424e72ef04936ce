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
import { integerBetween, oneOf, optionsObject, show } from '../check';
import {
  alignmentOf,
  bytesOf,
  freeObject,
  handleIn,
  moveTo,
  nameOf,
  placementOf,
  statusIn,
  type CodeObject,
} from '../code-object';
import { coreOf, type JitCore } from '../core';
import { StateError } from '../errors';
import { compileIn, type Jit } from '../jit';
import type { Handle } from '../native';
import type { CompileOptions, PartsOptions } from '../options';
import { CompileResult, partsOf } from '../compile-result';
import { placeTogether, type Offsets } from '../place-all';
import { Room } from './room';
import { pinsOf, type StackRoot } from '../stack-roots';
import { Evacuation } from './evacuation';
import type { FixedParts } from './fixed-parts';
import { collectJsGarbage } from './garbage';
import type { Generation } from './generation';
import { makeGenerations } from './generations';
import type { Placement } from '../segments';
import { isOwned, releaseIn } from '../space/space';
import { HandleList } from './handle-list';
import { generationOf, Managed, placeOf } from './managed';
import { dataOffsetOf, mendManaged } from './mend';
import { collectorSizes, type CollectorOptions } from './policy';
import type { Collection, CollectionKind, CollectorEvents } from './report';
import { tierPolicy, type TierPolicy } from './tier-policy';
import type { TierStats } from './tier-report';
import { Tiers } from './tiers';
import { isZealous, Zeal } from './zeal';

/** Collects the code objects that are compiled with it. */
export class CopyingCollector extends EventEmitter<CollectorEvents> {
  readonly #jit: Jit;
  readonly #core: JitCore;
  readonly #managed = new Managed();
  readonly #young = new HandleList();
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
  readonly #dead = new HandleList();
  #count = 0;
  #liveBytes = 0;
  #freed = 0;
  #freedBytes = 0;
  /** Of collections that no user has asked for, until listeners hear of them. */
  readonly #reports: Collection[] = [];
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
    const core = coreOf(jit);
    if (core === undefined) throw new TypeError(`a collector needs a Jit, not ${show(jit)}`);
    core.requireLive('CopyingCollector');
    const policy = tier === undefined ? core.tiering.policy : tierPolicy(tier);
    this.#promoteAfter = integerBetween('promoteAfter', promoteAfter, 0, 255);
    this.#jit = jit;
    this.#core = core;
    const generations = makeGenerations(core, collectorSizes(core, nurseryBytes, oldBytes));
    ({ nursery: this.#nursery, old: this.#old, parts: this.#parts } = generations);
    this.#room = new Room(core, generations, (kind) => this.#collectAlone(kind));
    this.#evacuation = new Evacuation(core, this.#managed, this.#parts);
    this.#tiers = policy === undefined ? undefined : this.#makeTiers(policy);
    this.#stop = this.#listen();
    this.#zeal = zeal ? new Zeal(core, () => this.#collectInZeal()) : undefined;
  }

  /**
   * Compiles, places in the nursery, and manages; function by function, each on its own. Throws what `jit.compile` throws, and SpaceFullError if
   * nothing more can be freed.
   */
  compile(source: string | Uint8Array, options: PartsOptions): CompileResult;
  compile(source: string | Uint8Array, options?: CompileOptions): CodeObject;
  compile(source: string | Uint8Array, options?: CompileOptions | PartsOptions): CodeObject | CompileResult {
    this.#requireLive('compile');
    const result = this.#inOne(() => {
      const compiled = this.#tiers?.compile(source, options) ?? compileIn(this.#jit, source, options);
      if (compiled instanceof CompileResult) return this.#adoptParts(compiled);
      return this.#adoptOrFree(compiled);
    });
    return result;
  }

  #adoptOrFree(object: CodeObject): CodeObject {
    try {
      return this.#adoptChecked(object);
    } catch (error) {
      freeObject(object);
      throw error;
    }
  }

  /**
   * Manages a code object from now on: places it in the nursery, or moves it there. Throws SpaceFullError, StateError (freed, or compiled with
   * `retain: 'none'`), PinnedError, PlacementError (another Jit's); then nothing has changed.
   */
  adopt(object: CodeObject): CodeObject {
    this.#requireLive('adopt');
    return this.#inOne(() => this.#adoptChecked(object));
  }

  #adoptChecked(object: CodeObject): CodeObject {
    const handle = handleIn(this.#core, object, 'adopt');
    if (statusIn(object).retain === 'none')
      throw new StateError(`adopt: code object '${nameOf(object)}' was compiled with retain: 'none' and can't move`);
    if (this.#isManaged(handle)) return object;
    return this.#adopt(object, handle, this.#nursery);
  }

  /** First room for it, which may take a collection; then nothing but native code runs, and through that its constructors. */
  #adopt(object: CodeObject, handle: Handle, into: Generation): CodeObject {
    const before = statusIn(object).state === 'placed' ? placementOf(object) : undefined;
    if (before === undefined) this.#room.makeForParts(object);
    const bytes = bytesOf(object, 'code');
    if (bytes > 0) this.#room.makeFor(object, bytes, alignmentOf(object, 'code'), into);
    this.#core.ledger.change(() => this.#admitAndMove(object, handle, into, before));
    return object;
  }

  #admitAndMove(object: CodeObject, handle: Handle, into: Generation, before: Placement | undefined): void {
    const parts = before === undefined ? this.#parts.add(handle, object) : undefined;
    try {
      this.#admit(object, handle, into);
      moveTo(object, this.#managed.offset[handle] ?? -1, parts?.constants ?? -1, parts?.data ?? -1);
    } catch (error) {
      // Where a constructor throws, it is placed.
      if (statusIn(object).state !== 'placed' || before !== undefined) this.#expel(handle);
      throw error;
    }
    if (before !== undefined && !isOwned(before.space))
      releaseIn(before.space, { space: before.space, code: before.code }, object);
  }

  /** They may refer to each other in circles, so they are placed together; where one has no room, once more after a collection. */
  #adoptParts(result: CompileResult): CompileResult {
    const objects = partsOf(result);
    const admitAll = (): Offsets[] =>
      objects.map((object) => {
        const handle = handleIn(this.#core, object, 'adopt');
        const parts = this.#parts.add(handle, object);
        this.#admit(object, handle, this.#nursery);
        return [this.#managed.offset[handle] ?? -1, parts?.constants ?? -1, parts?.data ?? -1];
      });
    const expelAll = (): void => objects.forEach((object) => this.#expel(handleIn(this.#core, object, 'adopt')));
    this.#room.makeTogether(admitAll, expelAll);
    this.#core.ledger.change(() => placeTogether(this.#core, objects, admitAll(), expelAll));
    return result;
  }

  /** Keeps a code object alive, as a reference from JS does. */
  addRoot(object: CodeObject): void {
    this.#requireLive('addRoot');
    handleIn(this.#core, object, 'addRoot');
    this.#roots.add(object);
  }

  /** Ends `addRoot`. */
  removeRoot(object: CodeObject): void {
    this.#roots.delete(object);
  }

  /**
   * Frees what V8 has found unreachable, and moves what is live: of the nursery, or of everything ('major', the default). Throws StateError
   * while a collection is under way.
   */
  collect(kind: CollectionKind = 'major'): Collection {
    this.#requireLive('collect');
    oneOf('kind', kind, ['minor', 'major']);
    if (this.#isCollecting) throw new StateError('collect: a collection is under way');
    const report = this.#collectOnce(kind);
    this.emit('collection', report);
    return report;
  }

  /** Runs an operation that may collect. Listeners hear of that when it is complete, and what they throw is not its error but the process's. */
  #inOne<T>(run: () => T): T {
    try {
      return run();
    } finally {
      this.#tellReports();
    }
  }

  #tellReports(): void {
    for (const report of this.#reports.splice(0)) {
      try {
        this.emit('collection', report);
      } catch (error) {
        queueMicrotask(() => {
          throw error;
        });
      }
    }
  }

  /** What on the stack forbids `object` to move now. */
  explainPin(object: CodeObject): StackRoot[] {
    return pinsOf(this.#core, handleIn(this.#core, object, 'explainPin'));
  }

  /**
   * Recompiles it now at the upper level, whatever the policy says; false if that can't be done, has been, or if nobody keeps it alive. It
   * is a 'tiered' or a 'tier-error' event too. Throws TypeError, PlacementError (another Jit's), StateError (freed).
   */
  tierUp(object: CodeObject): Promise<boolean> {
    this.#requireLive('tierUp');
    handleIn(this.#core, object, 'tierUp');
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
    if (this.#isDisposed) return;
    this.#isDisposed = true;
    this.#zeal?.stop();
    this.#tiers?.stop();
    this.#roots.clear();
    for (const stop of this.#stop.splice(0)) stop();
    if (this.#core.isDisposed) return;
    this.#core.objects.forgetDead([...this.#listDead()]);
    this.#disposeSpaces();
  }

  /** As `dispose`. */
  [Symbol.dispose](): void {
    this.dispose();
  }

  #makeTiers(policy: TierPolicy): Tiers {
    return new Tiers(this.#jit, this.#core, policy, {
      isOld: (handle) => this.#isManaged(handle) && generationOf(this.#managed.place[handle] ?? 0) === 1,
      placeOld: (object) => void this.#adopt(object, handleIn(this.#core, object, 'tier'), this.#old),
      tiered: (event) => this.emit('tiered', event),
      failed: (event) => this.emit('tier-error', event),
    });
  }

  #requireLive(what: string): void {
    this.#core.requireLive(what);
    if (this.#isDisposed) throw new StateError(`${what}: the collector is disposed`);
  }

  #listen(): Array<() => void> {
    const { objects, onFreed } = this.#core;
    onFreed.add(this.#onFreed);
    this.#core.onTorn.add(this.#mend);
    return [
      objects.onDead((handle) => {
        if (!this.#isManaged(handle)) return false;
        this.#noteDead(handle);
        return true;
      }),
    ];
  }

  /** Once nothing is in them. */
  #disposeSpaces(): void {
    if (this.#count > 0) return;
    this.#core.onFreed.delete(this.#onFreed);
    this.#core.onTorn.delete(this.#mend);
    for (const part of [this.#nursery, this.#old, this.#parts]) part.dispose();
  }

  #isManaged(handle: Handle): boolean {
    return (this.#managed.place[handle] ?? 0) !== 0;
  }

  get #isCollecting(): boolean {
    return this.#collectingAt !== 0;
  }

  /** Takes room for it, of which there is enough. From now on collections move it, which is before its constructors run. */
  #admit(object: CodeObject, handle: Handle, into: Generation): void {
    const bytes = bytesOf(object, 'code');
    const alignment = alignmentOf(object, 'code');
    const [generation, offset] = bytes === 0 ? [this.#old, -1] : this.#room.take(object, bytes, alignment, into);
    const managed = this.#managed;
    managed.admit(handle);
    managed.offset[handle] = offset;
    managed.bytes[handle] = bytes;
    managed.alignment[handle] = alignment;
    managed.age[handle] = 0;
    managed.isDead[handle] = 0;
    managed.hasParts[handle] = this.#parts.get(handle) === undefined ? 0 : 1;
    managed.place[handle] = generation.activePlace;
    if (generation === this.#nursery) this.#young.add(handle);
    this.#count++;
    this.#liveBytes += bytes;
  }

  /** Undoes what `adopt` has done so far. */
  #expel(handle: Handle): void {
    this.#parts.delete(handle);
    this.#forget(handle);
  }

  /** Gives back all that a managed code object has here; returns its bytes, or undefined if it is not managed. */
  #forget(handle: Handle): number | undefined {
    const managed = this.#managed;
    const place = managed.place[handle] ?? 0;
    if (place === 0) return undefined;
    const bytes = managed.bytes[handle] ?? 0;
    if (place === this.#old.activePlace && bytes > 0) this.#old.release(managed.offset[handle] ?? 0, bytes);
    if (managed.hasParts[handle] === 1) this.#parts.delete(handle);
    managed.place[handle] = 0;
    managed.isDead[handle] = 0;
    this.#count--;
    this.#liveBytes -= bytes;
    return bytes;
  }

  #noteFreed(handle: Handle): void {
    this.#tiers?.forget(handle);
    const bytes = this.#forget(handle);
    if (bytes === undefined) return;
    this.#freed++;
    this.#freedBytes += bytes;
    if (this.#isDisposed) this.#disposeSpaces();
  }

  /** Collects on its own, with what V8 can know now; false while a collection is under way. */
  #collectAlone(kind: CollectionKind): boolean {
    if (this.#isCollecting) return false;
    collectJsGarbage();
    const { objects } = this.#core;
    const scope = kind === 'minor' ? this.#listYoung() : HandleList.upTo(this.#managed.limit);
    for (const handle of scope) if (this.#isManaged(handle) && objects.isDead(handle)) this.#noteDead(handle);
    this.#reports.push(this.#collectOnce(kind));
    return true;
  }

  #noteDead(handle: Handle): void {
    this.#managed.isDead[handle] = 1;
    this.#dead.add(handle);
  }

  /** Others were freed, and their handles may have new owners. Valid until the next call. */
  #listDead(): Int32Array {
    return this.#dead.keep(this.#managed.isDead, 1, 1);
  }

  #collectOnce(kind: CollectionKind): Collection {
    const { ledger } = this.#core;
    const report = ledger.change(() => {
      this.#collectingAt = ledger.covered + 1;
      try {
        return this.#collect(kind);
      } finally {
        this.#collectingAt = 0;
      }
    });
    this.#tiers?.afterCollection();
    return report;
  }

  #collect(kind: CollectionKind): Collection {
    const start = performance.now();
    const fragmentationBefore = this.#old.fragmentation;
    if (kind === 'major') this.#old.prepareFlip();
    this.#core.objects.freeClaimed(this.#listDead());
    const pins = new Set(this.#core.native.pins());
    const { moved, promoted, bytes, relocations } = this.#evacuate(kind, pins);
    const pinned = this.#countPinned(kind, pins);
    const report: Collection = {
      ...{ kind, moved, promoted, freed: this.#freed, pinned, movedBytes: bytes, freedBytes: this.#freedBytes, relocations },
      pauseMilliseconds: performance.now() - start,
      ...{ liveObjects: this.#count, liveBytes: this.#liveBytes, fragmentationBefore },
      fragmentationAfter: this.#old.fragmentation,
    };
    this.#freed = 0;
    this.#freedBytes = 0;
    return report;
  }

  /** A change was left in the middle: native code knows where everything is. */
  #mendTables(): void {
    if (this.#collectingAt > this.#core.ledger.covered) this.#collectingAt = 0;
    mendManaged(this.#core, this.#managed, [this.#nursery, this.#old], (handle) => this.#tiers?.forget(handle));
    const { place, bytes, isDead, limit } = this.#managed;
    const all = HandleList.upTo(limit);
    const managed = Array.from(all.filter((handle) => this.#isManaged(handle)));
    this.#parts.mend((handle) => (this.#isManaged(handle) ? dataOffsetOf(this.#core, handle) : undefined));
    for (const handle of managed) this.#managed.hasParts[handle] = this.#parts.get(handle) === undefined ? 0 : 1;
    for (const generation of [this.#nursery, this.#old]) generation.mend(this.#managed, all);
    this.#young.reset(managed.filter((handle) => generationOf(place[handle] ?? 0) === 0));
    this.#dead.reset(managed.filter((handle) => isDead[handle] === 1));
    this.#count = managed.length;
    this.#liveBytes = managed.reduce((sum, handle) => sum + (bytes[handle] ?? 0), 0);
    if (this.#isDisposed) this.#disposeSpaces();
  }

  #countPinned(kind: CollectionKind, pins: ReadonlySet<Handle>): number {
    const { place, bytes } = this.#managed;
    const isInScope = (handle: Handle): boolean => kind === 'major' || generationOf(place[handle] ?? 0) === 0;
    return [...pins].filter((handle) => this.#isManaged(handle) && bytes[handle] !== 0 && isInScope(handle)).length;
  }

  /** Valid until the next call. */
  #listYoung(): Int32Array {
    return this.#young.keep(this.#managed.place, placeOf(0, 0), placeOf(0, 1));
  }

  #evacuate(kind: CollectionKind, pins: ReadonlySet<Handle>): ReturnType<Evacuation['run']> {
    const managed = this.#managed;
    const nursery = this.#nursery;
    const old = this.#old;
    const young = this.#listYoung();
    this.#evacuation.begin(this.#count);
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
    this.#reports.push(this.#collectOnce('major'));
    this.#tellReports();
    const { native } = this.#core;
    for (const { base, limit } of [this.#nursery.inactive, this.#old.inactive]) native.poison(base, limit);
    native.verify();
  }
}
