/**
 * What the classes of one Jit share, and users never see.
 *
 * In: the native half. Out: its tables. Always true: a code object whose native half is freed has no reservation, and is in no table.
 */
import { show } from './check';
import { CodeObject, markEnding, markFreed, settleObject } from './code-object';
import { PlacementError, SpaceFullError, StateError } from './errors';
import { ExportCache } from './function-type';
import { Held } from './call/held';
import { collectJsGarbage, type GarbageScope } from './garbage';
import { HostTable } from './host-table';
import type { Jit } from './jit';
import { Ledger } from './ledger';
import { Outdated } from './outdated';
import type { TierPolicy } from './collector/tier-policy';
import type { CallCounter, CallKind } from './call/kind';
import type { Confinement, OptLevel } from './options';
import type { Handle, NativeJit } from './native';
import { ObjectTable } from './object-table';
import { refreshReferences } from './references';
import { perSegment, type OffsetRange, type PerSegment, type SegmentName } from './segments';
import { FreeListAllocator } from './space/free-list';
import { Reservations } from './space/reservations';
import { disposeSpace, isCodeSpace, isOwned, numbersOf, type CodeSpace } from './space/space';

const cores = new WeakMap<Jit, JitCore>();

/** Lets other classes than Jit find its core. */
export function setCore(jit: Jit, core: JitCore): void {
  cores.set(jit, core);
}

/** The core of a Jit, or undefined for something else. */
export function coreOf(jit: Jit): JitCore | undefined {
  return cores.get(jit);
}

/** One Jit's shared state. */
export class JitCore {
  readonly native: NativeJit;
  readonly ledger: Ledger;
  readonly held: Held;
  readonly objects: ObjectTable;
  readonly hosts: HostTable;
  readonly reservations = new Reservations();
  readonly exports: ExportCache;
  /** How to call functions of each signature, by the signature's native index. */
  readonly callKinds: Array<CallKind | undefined> = [];
  /** The spaces that have not been disposed, with the ranges of the arena that they own. */
  readonly spaces = new Map<CodeSpace, PerSegment<OffsetRange>>();
  /** Which parts of the arena belong to spaces. */
  readonly arena: PerSegment<FreeListAllocator>;
  /** Who wants to know of every handle that is freed. */
  readonly onFreed = new Set<(handle: Handle) => void>();
  /** Who manages which code objects: each collector that is not disposed. */
  readonly managers = new Set<{ isManaged(handle: Handle): boolean }>();
  /** What mends tables of others when a change was left in the middle. */
  readonly onTorn = new Set<() => void>();
  /** What follows the end of the native half. */
  readonly onDisposed = new Set<() => void>();
  /** Spaces that a collector takes while it is made. */
  unfinished: CodeSpace[] = [];
  /** Handles that native code has just made, until JS has an object for each. */
  fresh: ReadonlyArray<Handle | readonly [Handle, ...unknown[]]> = [];
  /** Code objects that others have replaced. */
  readonly outdated = new Outdated(this);
  /** Of code objects whose calls by JS are counted; undefined while there has been none. */
  callCounters: WeakMap<CodeObject, CallCounter> | undefined;
  /** What the Jit's options say of recompiling. */
  tiering: { readonly optLevel: OptLevel; readonly compileThreads: number; readonly policy: TierPolicy | undefined } = {
    ...{ optLevel: 2, compileThreads: 1, policy: undefined },
  };
  /** Where code is generated, and within which limits, unless a compile says otherwise. */
  confinement: Confinement = { isolated: false, limitMilliseconds: 0, limitBytes: 0 };
  /** What runs before every host function, in zeal. */
  atHostCall: (() => void) | undefined;
  #isDisposed = false;

  constructor(native: NativeJit) {
    this.native = native;
    this.objects = new ObjectTable(native, (handles) => this.freeMany(handles));
    this.ledger = new Ledger(native.ledger);
    this.held = new Held(() => native.isWaiting());
    this.hosts = new HostTable(this);
    this.exports = new ExportCache(native);
    this.arena = perSegment((_, index) => new FreeListAllocator(native.rangeBytes[index] ?? 0));
  }

  get isDisposed(): boolean {
    return this.#isDisposed;
  }

  /** Every public operation begins with this: if one before it was left in the middle, all tables are made anew. */
  settle(): void {
    if (this.ledger.isTorn) this.#mend();
  }

  /** As `settle`. Throws StateError if the Jit is disposed; `what` was to be done. */
  requireLive(what: string): void {
    if (this.ledger.isTorn) this.#mend();
    if (this.#isDisposed) throw new StateError(`${what}: the Jit is disposed`);
  }

  /** The ranges of a space that a user names. Throws PlacementError (no space of this Jit) or StateError (disposed, or a collector's). */
  rangesFor(space: unknown): PerSegment<OffsetRange> {
    const ranges = this.spaces.get(space as CodeSpace);
    if (ranges === undefined) throw noSpace(space);
    if (isOwned(space as CodeSpace)) throw new StateError("placement: the space is a collector's own, which alone places there");
    return ranges;
  }

  /** The space that has `offset` of one of the arena's ranges. */
  spaceAt(name: SegmentName, offset: number): { space: CodeSpace; ranges: PerSegment<OffsetRange> } | undefined {
    for (const [space, ranges] of this.spaces) {
      if (offset >= ranges[name].base && offset < ranges[name].limit) return { space, ranges };
    }
    return undefined;
  }

  /** Native code has given `handle` to something new: what had it before is gone, if nobody has noted that. */
  dropStale(handle: Handle): void {
    if (!this.objects.has(handle)) return;
    this.reservations.forget(handle);
    this.#drop(handle);
  }

  /** Forgets what native code has freed. */
  noteFreed(handle: Handle): void {
    this.#forget(handle);
  }

  #forget(handle: Handle): void {
    this.reservations.releaseAll(handle);
    this.#drop(handle);
    for (const forget of this.onFreed) forget(handle);
  }

  #drop(handle: Handle): void {
    const entry = this.objects.get(handle);
    if (entry instanceof CodeObject) markFreed(entry);
    this.hosts.delete(handle);
    this.objects.delete(handle);
    this.outdated.noteFreed(handle);
  }

  /** Frees what is idle and what nobody else refers to; returns the rest. Destructors' exceptions are nobody's: they are dropped. */
  freeMany(handles: Int32Array): Handle[] {
    const outdated = this.outdated.endingWith(handles);
    const list = outdated.length === 0 ? handles.slice() : new Int32Array([...handles, ...outdated]);
    if (list.length === 0) return [];
    const all = list.slice();
    return this.ledger.change(() => {
      try {
        this.native.freeMany(list, list.length);
      } catch {
        if (this.#isDisposed) return [];
      }
      return this.#forgetFreed(all, list, handles.length);
    });
  }

  /** `left` is `all` with -1 for each that is gone; returns those of the first `count` that are not. By index: a collection frees thousands. */
  #forgetFreed(all: Int32Array, left: Int32Array, count: number): Handle[] {
    const kept: Handle[] = [];
    for (let i = 0; i < all.length; i++) {
      const handle = all[i] ?? 0;
      if (left[i] === -1) this.#forget(handle);
      else if (i < count) kept.push(handle);
    }
    return kept;
  }

  /**
   * Runs `take`. Where that finds no room, what JS has dropped is freed, as far as V8's young collection finds it, and if that is nothing, its full
   * one; then `take` is tried again. Not while a change is under way: destructors run, and may do anything.
   */
  withRoom<T>(take: () => T): T {
    try {
      return take();
    } catch (error) {
      if (!(error instanceof SpaceFullError) || !this.#freeGarbage('minor')) return this.#withMoreRoom(take, error);
    }
    try {
      return take();
    } catch (error) {
      return this.#withMoreRoom(take, error);
    }
  }

  #withMoreRoom<T>(take: () => T, error: unknown): T {
    if (!(error instanceof SpaceFullError) || !this.#freeGarbage('major')) throw error;
    return take();
  }

  /** Whether there was any. */
  #freeGarbage(scope: GarbageScope): boolean {
    collectJsGarbage(scope);
    this.objects.findDead();
    return this.objects.freeDead();
  }

  /** Frees everything natively. Throws StateError, with nothing changed, while code is running; what destructors throw comes when all is freed. */
  dispose(): void {
    this.settle();
    if (this.#isDisposed) return;
    if (this.native.isRunning()) this.native.dispose(); // says so
    this.ledger.change(() => {
      this.atHostCall = undefined; // destructors call host functions
      for (const object of this.#known()) markEnding(object);
      try {
        this.native.dispose();
      } finally {
        this.#noteDisposed();
      }
    });
  }

  #noteDisposed(): void {
    this.#isDisposed = true;
    for (const object of this.#known()) markFreed(object);
    this.objects.clear();
    this.spaces.clear();
    for (const follow of this.onDisposed) follow();
  }

  /** Those that JS has not forgotten. */
  #known(): CodeObject[] {
    return this.objects.known().filter((entry) => entry instanceof CodeObject);
  }

  /** Interrupted itself, it is run again. */
  #mend(): void {
    if (this.#isNativeLive()) this.#mendTables();
    else if (!this.#isDisposed || this.objects.known().length > 0) this.#noteDisposed();
    this.ledger.mend();
  }

  /** Native code knows what lives and where; the records of reservations, who has what in which space. All else follows from these. */
  #mendTables(): void {
    const { native, objects, spaces } = this;
    // No user has got these. They may refer to each other in circles.
    const fresh = Int32Array.from(this.fresh, (each) => (typeof each === 'number' ? each : each[0]));
    if (fresh.length > 0) native.freeMany(fresh, fresh.length);
    this.fresh = [];
    const listed = objects.handles();
    const live = listed.filter((handle) => native.isLive(handle));
    this.reservations.mend(
      [...spaces.keys()].flatMap((space) => numbersOf(space)),
      (handle) => native.isLive(handle),
    );
    for (const [name, allocator] of Object.entries(this.arena))
      allocator.mend([...spaces.values()].map((ranges) => ranges[name as SegmentName]).filter(({ base, limit }) => base < limit));
    for (const handle of live) {
      const object = objects.get(handle);
      if (object instanceof CodeObject) settleObject(object);
    }
    refreshReferences(this, live);
    for (const handle of listed) if (!native.isLive(handle)) this.#drop(handle);
    for (const space of this.unfinished.splice(0)) disposeSpace(space);
    for (const mend of this.onTorn) mend();
  }

  #isNativeLive(): boolean {
    try {
      this.native.isRunning();
      return true;
    } catch {
      return false;
    }
  }
}

function noSpace(space: unknown): Error {
  if (isCodeSpace(space) && space.isDisposed) return new StateError('placement: the space is disposed');
  return new PlacementError(`placement: \`space\` must be a CodeSpace of the same Jit, not ${show(space)}`);
}
