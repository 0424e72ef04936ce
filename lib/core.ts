/**
 * What the classes of one Jit share, and users never see.
 *
 * In: the native half. Out: its tables. Always true: a code object whose native half is freed has no reservation, and is in no table.
 */
import { show } from './check';
import type { CodeObject } from './code-object';
import { PlacementError, StateError } from './errors';
import { ExportCache } from './function-type';
import { HostTable } from './host-table';
import type { Jit } from './jit';
import { Outdated } from './outdated';
import type { TierPolicy } from './collector/tier-policy';
import type { CallCounter, CallKind } from './call/kind';
import type { Confinement, OptLevel } from './options';
import type { Handle, NativeJit } from './native';
import { ObjectTable } from './object-table';
import { perSegment, type OffsetRange, type PerSegment, type Placement, type SegmentName } from './segments';
import { FreeListAllocator } from './space/free-list';
import { Reservations } from './space/reservations';
import type { CodeSpace } from './space/space';

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
  readonly objects = new ObjectTable((handles) => this.freeMany(handles));
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
    this.hosts = new HostTable(this);
    this.exports = new ExportCache(native);
    this.arena = perSegment((_, index) => new FreeListAllocator(native.rangeBytes[index] ?? 0));
  }

  get isDisposed(): boolean {
    return this.#isDisposed;
  }

  /** Throws StateError if the Jit is disposed; `what` was to be done. */
  requireLive(what: string): void {
    if (this.#isDisposed) throw new StateError(`${what}: the Jit is disposed`);
  }

  /** The ranges of the space that `at` names. Throws TypeError, PlacementError (no space of this Jit) or StateError (disposed). */
  rangesFor(at: Placement): PerSegment<OffsetRange> {
    if (typeof at !== 'object' || (at as unknown) === null) throw new TypeError(`a placement must be an object, not ${show(at)}`);
    const ranges = this.spaces.get(at.space);
    if (ranges !== undefined) return ranges;
    const space = at.space as CodeSpace | undefined;
    if (space?.isDisposed === true) throw new StateError('placement: the space is disposed');
    throw new PlacementError(`placement: \`space\` must be a CodeSpace of the same Jit, not ${show(space)}`);
  }

  /** The space that has `offset` of one of the arena's ranges. */
  spaceAt(name: SegmentName, offset: number): { space: CodeSpace; ranges: PerSegment<OffsetRange> } | undefined {
    for (const [space, ranges] of this.spaces) {
      if (offset >= ranges[name].base && offset < ranges[name].limit) return { space, ranges };
    }
    return undefined;
  }

  /** Frees a code object natively, with all that it has reserved. Throws StateError with nothing changed, or what its destructors throw. */
  free(handle: Handle): void {
    try {
      this.native.free(handle);
    } finally {
      if (!this.native.isLive(handle)) this.#forget(handle);
    }
  }

  #forget(handle: Handle): void {
    this.reservations.releaseAll(handle);
    this.hosts.delete(handle);
    this.objects.delete(handle);
    this.outdated.noteFreed(handle);
    for (const forget of this.onFreed) forget(handle);
  }

  /** Frees what is idle and what nobody else refers to; returns the rest. Destructors' exceptions are nobody's: they are dropped. */
  freeMany(handles: Int32Array): Handle[] {
    const outdated = this.outdated.endingWith(handles);
    const list = outdated.length === 0 ? handles.slice() : new Int32Array([...handles, ...outdated]);
    if (list.length === 0) return [];
    const all = list.slice();
    try {
      this.native.freeMany(list, list.length);
    } catch {
      if (this.#isDisposed) return [];
    }
    return this.#forgetFreed(all, list, handles.length);
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

  /** Frees everything natively. Throws StateError, with nothing changed, while code is running; what destructors throw comes when all is freed. */
  dispose(): void {
    if (this.#isDisposed) return;
    const { atHostCall } = this;
    this.atHostCall = undefined; // destructors call host functions
    try {
      this.native.dispose();
    } finally {
      this.#isDisposed = !this.#isNativeLive();
      if (this.#isDisposed) this.spaces.clear();
      else this.atHostCall = atHostCall;
    }
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
