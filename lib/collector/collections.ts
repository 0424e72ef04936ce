/**
 * When collections run, and how long they take.
 *
 * In: requests of users, of allocation, of a timer. Out: a report for each. Always true: one at a time; a collection that there must be room after
 * is complete when it returns, whatever `maxPause` says.
 */
import { collectJsGarbage } from '../base/garbage';
import { StateError } from '../base/errors';
import { collect, type Collected } from './collection';
import { CollectionInSteps } from './collection-in-steps';
import { sumOf } from './evacuation';
import type { CodeHeap } from './heap';
import type { Collection, CollectionKind } from './report';
import type { Reports } from './reports';

/** What collections tell their collector. */
export interface CollectionListener {
  /** Of collections that no user has asked for, until listeners hear of them. */
  readonly reports: Reports;
  /** A collection is complete. */
  readonly completed: () => void;
  /** A collection that no caller waits for has failed. */
  readonly failed: (error: unknown) => void;
}

/** A request of a user. */
export interface CollectionRequest {
  readonly kind: CollectionKind;
  readonly findGarbage: boolean;
  /** Milliseconds; Infinity: all at once. */
  readonly maxPause: number;
}

/** Of a pause, for moving: the rest is for what comes before and after, and for a piece that takes longer than those before it. */
const share = 0.9;

/** The collections of one heap. */
export class Collections {
  readonly #heap: CodeHeap;
  readonly #maxPause: number;
  readonly #listener: CollectionListener;
  /** 0: none is under way; else how many changes had begun then. One that has been interrupted is over, as soon as that is noticed. */
  #collectingAt = 0;
  #inSteps: CollectionInSteps | undefined;
  #lastStep = 0;
  #timer: NodeJS.Timeout | undefined;

  /** `maxPause` in milliseconds bounds what one step moves; Infinity: there are no steps. */
  constructor(heap: CodeHeap, maxPause: number, listener: CollectionListener) {
    this.#heap = heap;
    this.#maxPause = maxPause;
    this.#listener = listener;
  }

  get isUnderWay(): boolean {
    return this.#collectingAt !== 0;
  }

  /** Throws StateError while one is under way. */
  request({ kind, findGarbage, maxPause }: CollectionRequest): Collection {
    if (this.isUnderWay) throw new StateError('collect: a collection is under way');
    const garbage = findGarbage ? 'ask' : 'poll';
    return kind === 'minor' || maxPause === Infinity ? this.#whole(kind, garbage) : this.#step(maxPause, garbage);
  }

  /** For room: with what V8 can know now; false while one is under way. */
  forRoom(kind: CollectionKind): boolean {
    if (this.isUnderWay) return false;
    this.#listener.reports.add(this.#whole(kind, kind === 'minor' || !this.#paysWithoutV8() ? 'ask' : 'poll'));
    return true;
  }

  /** There may be more code than before: begins a collection in steps in time, or goes on with it, for half of the time at most. */
  keepUp(): void {
    if (this.#maxPause === Infinity || this.isUnderWay) return;
    const isDue = this.#inSteps === undefined ? this.#heap.old.isFilling : performance.now() - this.#lastStep >= this.#maxPause;
    if (isDue) this.#stepAlone();
  }

  /** For zeal: everything that may move moves. */
  everything(): Collection {
    return this.#whole('major', 'poll');
  }

  /** A change was left in the middle; the heap is made anew. */
  mend(): void {
    if (this.#collectingAt > this.#heap.core.ledger.covered) this.#collectingAt = 0;
    this.stop();
  }

  /** Ends one in steps where it is. */
  stop(): void {
    clearTimeout(this.#timer);
    this.#timer = undefined;
    this.#inSteps = undefined;
  }

  /** Whether so much is known to be dead that V8's full collection, which may take a hundred times as long as ours, can wait. */
  #paysWithoutV8(): boolean {
    const { admission } = this.#heap;
    admission.findDead('major');
    return admission.deadBytes >= admission.liveBytes / 4;
  }

  #whole(kind: CollectionKind, garbage: 'ask' | 'poll'): Collection {
    return this.#report(kind, garbage, () => {
      if (kind === 'minor') return collect(this.#heap, kind, this.#maxPause === Infinity ? 'all' : 'young');
      if (this.#inSteps === undefined) return collect(this.#heap, kind);
      const before = this.#stepUntil(Infinity);
      const { pinned, ...rest } = collect(this.#heap, kind);
      return { ...sumOf(before, rest), pinned };
    });
  }

  #step(maxPause: number, garbage: 'ask' | 'poll'): Collection {
    const report = this.#report('major', garbage, () => this.#stepUntil(performance.now() + maxPause * share));
    this.#lastStep = performance.now();
    if (!report.isComplete) this.#wake(maxPause);
    return report;
  }

  #stepUntil(deadline: number): Collected {
    const collection = (this.#inSteps ??= new CollectionInSteps(this.#heap));
    try {
      return collection.step(deadline);
    } finally {
      if (collection.isComplete) this.stop();
    }
  }

  /** The rest goes on when the event loop turns; it does not keep the process. */
  #wake(maxPause: number): void {
    clearTimeout(this.#timer);
    this.#timer = setTimeout(() => this.#goOn(maxPause), Math.ceil(maxPause));
    this.#timer.unref();
  }

  #goOn(maxPause: number): void {
    const { core } = this.#heap;
    core.settle();
    if (core.isDisposed || this.#inSteps === undefined) return;
    if (this.isUnderWay) this.#wake(maxPause);
    else this.#stepAlone(maxPause);
    this.#listener.reports.tell();
  }

  #stepAlone(maxPause = this.#maxPause): void {
    try {
      this.#listener.reports.add(this.#step(maxPause, 'poll'));
    } catch (error) {
      this.#listener.failed(error);
    }
  }

  #report(kind: CollectionKind, garbage: 'ask' | 'poll', run: () => Collected): Collection {
    const { core, old, admission } = this.#heap;
    const start = performance.now();
    if (garbage === 'ask') collectJsGarbage(kind);
    const v8Milliseconds = garbage === 'ask' ? performance.now() - start : 0;
    const fragmentationBefore = old.fragmentation;
    const { bytes: movedBytes, ...collected } = core.ledger.change(() => this.#alone(run));
    const isComplete = kind === 'minor' || this.#inSteps === undefined;
    if (isComplete) this.#listener.completed();
    return {
      ...{ kind, ...collected, movedBytes, ...this.#heap.takeFreed(), isComplete },
      ...{ liveObjects: admission.count, liveBytes: admission.liveBytes },
      ...{ fragmentationBefore, fragmentationAfter: old.fragmentation },
      ...{ pauseMilliseconds: performance.now() - start, v8Milliseconds },
    };
  }

  #alone<T>(run: () => T): T {
    this.#collectingAt = this.#heap.core.ledger.covered + 1;
    try {
      return run();
    } finally {
      this.#collectingAt = 0;
    }
  }
}
