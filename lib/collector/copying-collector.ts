/**
 * A generational copying collector of code, over placing, relocating and freeing.
 *
 * In: code objects. Out: collections. Always true:
 *
 *   - live are code objects that JS can reach, roots, what the stack refers to, and what live ones refer to
 *   - what is live and not pinned moves in one batch: out of the nursery's active half, and in a major collection out of the old
 *     generation's
 *   - a pinned one stays where it is, and what is around it is used again
 *
 * A nursery and an old generation, two halves each. A code object is promoted when it has survived `promoteAfter` collections.
 */
import { EventEmitter } from 'node:events';
import { integerBetween, optionsObject, show } from '../check';
import { alignmentOf, bytesOf, handleIn, moveTo, type CodeObject } from '../code-object';
import { coreOf, type JitCore } from '../core';
import { SpaceFullError, StateError } from '../errors';
import type { Jit } from '../jit';
import type { Handle } from '../native';
import type { CompileOptions } from '../options';
import { pinsOf, type StackRoot } from '../stack-roots';
import { Evacuation } from './evacuation';
import { FixedParts } from './fixed-parts';
import { collectJsGarbage } from './garbage';
import { Generation } from './generation';
import { HandleList } from './handle-list';
import { generationOf, Managed } from './managed';
import { collectorSizes } from './policy';
import type { Collection, CollectionKind } from './report';
import { isZealous, Zeal } from './zeal';

/** Options of `new CopyingCollector`. Sizes are of one half, in bytes. */
export interface CollectorOptions {
  /** Default 256 KiB, or less in a small arena. */
  nurseryBytes?: number | undefined;
  /** Default 16 MiB, or less in a small arena. */
  oldBytes?: number | undefined;
  /** Collections that a code object survives in the nursery. Default 2. */
  promoteAfter?: number | undefined;
  /** Move everything that may move at every host function call, and check everything. Default: whether NOMAD_ZEAL is 1. */
  zeal?: boolean | undefined;
}

/** Collects the code objects that are compiled with it. */
export class CopyingCollector extends EventEmitter<{ collection: [Collection] }> {
  readonly #jit: Jit;
  readonly #core: JitCore;
  readonly #managed = new Managed();
  readonly #young = new HandleList();
  readonly #nursery: Generation;
  readonly #old: Generation;
  readonly #parts: FixedParts;
  readonly #evacuation: Evacuation;
  readonly #roots = new Set<CodeObject>();
  readonly #promoteAfter: number;
  readonly #zeal: Zeal | undefined;
  readonly #stop: Array<() => void>;
  #dead: Handle[] = [];
  #count = 0;
  #liveBytes = 0;
  #freed = 0;
  #freedBytes = 0;
  #isCollecting = false;

  /** Takes its spaces out of the arena. Throws TypeError, RangeError, SpaceFullError, StateError. */
  constructor(jit: Jit, options?: CollectorOptions) {
    super();
    const { nurseryBytes, oldBytes, promoteAfter = 2, zeal = isZealous() } = optionsObject('options', options);
    const core = coreOf(jit);
    if (core === undefined) throw new TypeError(`a collector needs a Jit, not ${show(jit)}`);
    core.requireLive('CopyingCollector');
    const sizes = collectorSizes(core, nurseryBytes, oldBytes);
    this.#jit = jit;
    this.#core = core;
    this.#promoteAfter = integerBetween('promoteAfter', promoteAfter, 0, 255);
    this.#nursery = new Generation(core, 0, sizes.nurseryBytes);
    this.#old = new Generation(core, 1, sizes.oldBytes);
    this.#parts = new FixedParts(core, sizes.fixed);
    this.#evacuation = new Evacuation(core, this.#managed, this.#parts);
    this.#stop = this.#listen();
    this.#zeal = zeal ? new Zeal(core, () => this.#collectInZeal()) : undefined;
  }

  /** Compiles, places in the nursery, and manages. Throws what `jit.compile` throws, and SpaceFullError if nothing more can be freed. */
  compile(source: string | Uint8Array, options?: CompileOptions): CodeObject {
    return this.adopt(this.#jit.compile(source, options));
  }

  /**
   * Manages a code object from now on: places it in the nursery, or moves it there. Throws SpaceFullError, StateError (freed, or compiled with
   * `retain: 'none'`), PinnedError, PlacementError (another Jit's); then nothing has changed.
   */
  adopt(object: CodeObject): CodeObject {
    const handle = handleIn(this.#core, object, 'adopt');
    if (object.retain === 'none')
      throw new StateError(`adopt: code object '${object.name}' was compiled with retain: 'none' and can't move`);
    if (this.#isManaged(handle)) return object;
    const bytes = bytesOf(object, 'code');
    const alignment = alignmentOf(object, 'code');
    const before = object.state === 'placed' ? object.placement : undefined;
    const parts = before === undefined ? this.#parts.add(handle, object) : undefined;
    const [generation, code] = bytes === 0 ? [this.#nursery, -1] : this.#roomFor(object, handle, bytes, alignment);
    this.#admit(handle, generation, code, bytes, alignment, parts !== undefined);
    try {
      moveTo(object, code, parts?.constants ?? -1, parts?.data ?? -1);
    } catch (error) {
      if (object.state !== 'placed' || before !== undefined) this.#forget(handle);
      throw error;
    }
    if (before !== undefined) before.space.release({ space: before.space, code: before.code }, object);
    return object;
  }

  /** Keeps a code object alive, as a reference from JS does. */
  addRoot(object: CodeObject): void {
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
    this.#core.requireLive('collect');
    if (this.#isCollecting) throw new StateError('collect: a collection is under way');
    this.#isCollecting = true;
    try {
      return this.#collect(kind);
    } finally {
      this.#isCollecting = false;
    }
  }

  /** What on the stack forbids `object` to move now. */
  explainPin(object: CodeObject): StackRoot[] {
    return pinsOf(this.#core, handleIn(this.#core, object, 'explainPin'));
  }

  /** Manages nothing any more; what it managed stays where it is until it is freed. */
  dispose(): void {
    for (const stop of this.#stop.splice(0)) stop();
    this.#zeal?.stop();
  }

  #listen(): Array<() => void> {
    const { objects, onFreed } = this.#core;
    const forget = (handle: Handle): void => this.#forget(handle);
    onFreed.add(forget);
    const unclaim = objects.onDead((handle) => {
      if (!this.#isManaged(handle)) return false;
      this.#dead.push(handle);
      return true;
    });
    return [unclaim, () => onFreed.delete(forget)];
  }

  #isManaged(handle: Handle): boolean {
    return (this.#managed.place[handle] ?? 0) !== 0;
  }

  #admit(handle: Handle, generation: Generation, code: number, bytes: number, alignment: number, hasParts: boolean): void {
    const managed = this.#managed;
    managed.admit(handle);
    managed.offset[handle] = code;
    managed.bytes[handle] = bytes;
    managed.alignment[handle] = alignment;
    managed.age[handle] = 0;
    managed.hasParts[handle] = hasParts ? 1 : 0;
    managed.place[handle] = generation.activePlace;
    if (generation === this.#nursery) this.#young.add(handle);
    this.#count++;
    this.#liveBytes += bytes;
  }

  /** Of a handle that has been freed. */
  #forget(handle: Handle): void {
    const managed = this.#managed;
    const place = managed.place[handle] ?? 0;
    if (place === 0) return;
    const bytes = managed.bytes[handle] ?? 0;
    if (place === this.#old.activePlace && bytes > 0) this.#old.release(managed.offset[handle] ?? 0, bytes);
    if (managed.hasParts[handle] === 1) this.#parts.delete(handle);
    managed.place[handle] = 0;
    this.#count--;
    this.#liveBytes -= bytes;
    this.#freed++;
    this.#freedBytes += bytes;
  }

  /** Room for new code: in the nursery; else after a minor collection; else in the old generation; else after major ones. */
  #roomFor(object: CodeObject, handle: Handle, bytes: number, alignment: number): [Generation, number] {
    const nursery = this.#nursery;
    const old = this.#old;
    const isSmall = bytes <= nursery.bytes / 2;
    let offset = nursery.allocate(bytes, alignment);
    if (offset !== undefined) return [nursery, offset];
    if (isSmall && this.#collectAlone('minor')) offset = nursery.allocate(bytes, alignment);
    if (offset !== undefined) return [nursery, offset];
    offset = old.allocate(bytes, alignment);
    if (offset === undefined && this.#collectAlone('major')) offset = old.allocate(bytes, alignment);
    if (offset !== undefined) return [old, offset];
    this.#parts.delete(handle);
    const { largestFreeBytes } = old.free;
    throw new SpaceFullError(
      `the collector has no room for code object '${object.name}': ${bytes} bytes requested, the largest free block has ${largestFreeBytes}`,
      { requestedBytes: bytes, largestFreeBytes },
    );
  }

  /** Collects on its own, with what V8 can know now; false while a collection is under way. */
  #collectAlone(kind: CollectionKind): boolean {
    if (this.#isCollecting) return false;
    collectJsGarbage();
    const { limit, place } = this.#managed;
    const { objects } = this.#core;
    this.#dead = [];
    for (let handle = 0; handle < limit; handle++) if (place[handle] !== 0 && objects.isDead(handle)) this.#dead.push(handle);
    this.collect(kind);
    return true;
  }

  #collect(kind: CollectionKind): Collection {
    const start = performance.now();
    const fragmentationBefore = fragmentationOf(this.#old);
    const dead = this.#dead.filter((handle) => this.#core.objects.isDead(handle));
    this.#dead = dead.length === 0 ? [] : this.#core.freeMany(dead).filter((handle) => this.#isManaged(handle));
    const pins = new Set(this.#core.native.pins());
    const { moved, promoted, pinned, bytes, relocations } = this.#evacuate(kind, pins);
    const report: Collection = {
      ...{ kind, moved, promoted, freed: this.#freed, pinned, movedBytes: bytes, freedBytes: this.#freedBytes, relocations },
      pauseMilliseconds: performance.now() - start,
      ...{ liveObjects: this.#count, liveBytes: this.#liveBytes, fragmentationBefore },
      fragmentationAfter: fragmentationOf(this.#old),
    };
    this.#freed = 0;
    this.#freedBytes = 0;
    this.emit('collection', report);
    return report;
  }

  #evacuate(kind: CollectionKind, pins: ReadonlySet<Handle>): ReturnType<Evacuation['run']> {
    const managed = this.#managed;
    const nursery = this.#nursery;
    const old = this.#old;
    const young = this.#young.keep((handle) => generationOf(managed.place[handle] ?? 0) === 0 && this.#isManaged(handle));
    this.#evacuation.begin(this.#count);
    if (kind === 'major') {
      const all = HandleList.upTo(managed.limit);
      old.flip(managed, all);
      this.#evacuation.plan(all, old.otherPlace, pins, () => old);
    }
    nursery.flip(managed, young);
    this.#evacuation.plan(young, nursery.otherPlace, pins, (handle) =>
      (managed.age[handle] ?? 0) + 1 >= this.#promoteAfter ? old : nursery,
    );
    try {
      return this.#evacuation.run();
    } catch (error) {
      // Where everything still is becomes active again.
      nursery.flip(managed, young);
      if (kind === 'major') old.flip(managed, HandleList.upTo(managed.limit));
      else this.#evacuation.giveBack(old);
      throw error;
    } finally {
      if (kind === 'major') old.settle();
    }
  }

  #collectInZeal(): void {
    if (this.#isCollecting) return;
    this.collect('major');
    const { native } = this.#core;
    for (const { base, limit } of [this.#nursery.inactive, this.#old.inactive]) native.poison(base, limit);
    native.verify();
  }
}

function fragmentationOf(generation: Generation): number {
  const { freeBytes, largestFreeBytes } = generation.free;
  return freeBytes === 0 ? 0 : 1 - largestFreeBytes / freeBytes;
}
