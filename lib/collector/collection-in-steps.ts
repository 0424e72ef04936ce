/**
 * A major collection that lets the program go on in between.
 *
 * In: a heap; deadlines. Out: what each step did. Always true:
 *
 *   - between two steps everything is whole: a code object is in one half of the old generation or in the other, and both are used
 *   - new code objects go to the half that is filled, so that the end comes
 *   - a step does pieces of work of bounded size, one at least. It ends before its deadline if the next piece is no longer than the longest
 *
 * Not bounded is the end of dead code objects that refer to each other in a circle: they are freed together, with all the dead that live ones
 * keep.
 *
 * Once it has begun, it is as incremental copying after Baker, H. G. (1978), "List processing in real time on a serial computer", CACM 21(4),
 * but without a read barrier: a move redirects all references to what has moved.
 */
import type { Handle } from '../base/native';
import { askForPins, countPinned, collect, type Collected } from './collection';
import { noneEvacuated, sumOf } from './evacuation';
import { HandleList } from './handle-list';
import type { CodeHeap } from './heap';

/** Code objects of a piece: about a tenth of a millisecond. */
const pieceLength = 512;

/** One, from its beginning to its end. */
export class CollectionInSteps {
  readonly #heap: CodeHeap;
  readonly #pieces: Generator<void, void>;
  #collected: Collected = { ...noneEvacuated, pinned: 0 };
  /** Of this step: nothing runs in between that could change the stack. */
  #pins: ReadonlySet<Handle> | undefined;
  #isComplete = false;

  constructor(heap: CodeHeap) {
    this.#heap = heap;
    this.#pieces = this.#run();
  }

  get isComplete(): boolean {
    return this.#isComplete;
  }

  /** Does at least a piece, and more until `deadline`, as `performance.now()` has it. Throws what a batch of moves throws, and is over then. */
  step(deadline: number): Collected {
    this.#pins = undefined;
    this.#collected = { ...noneEvacuated, pinned: 0 };
    try {
      this.#doPieces(deadline);
    } catch (error) {
      this.#abandon();
      throw error;
    }
    return this.#collected;
  }

  /** As long as there is time for one that takes as long as the longest so far. */
  #doPieces(deadline: number): void {
    let now = performance.now();
    for (let longest = 0; !this.#isComplete && (longest === 0 || now + longest <= deadline);) {
      this.#isComplete = this.#pieces.next().done === true;
      const before = now;
      now = performance.now();
      longest = Math.max(longest, now - before, Number.MIN_VALUE);
    }
  }

  *#run(): Generator<void, void> {
    const { admission, old, managed } = this.#heap;
    this.#add(collect(this.#heap, 'minor', 'young'));
    yield;
    for (const handles of piecesUpTo(managed.limit)) {
      admission.findDeadAmong(handles);
      yield;
    }
    old.prepareFlip();
    yield* this.#freeDead();
    old.flip(managed);
    for (const handles of piecesUpTo(managed.limit)) {
      this.#evacuate(handles);
      yield;
    }
    old.settle();
  }

  /** The last first: what refers to others is mostly newer than they are. Those in circles are left, and freed together. */
  *#freeDead(): Generator<void, void> {
    const { core, admission } = this.#heap;
    const dead = admission.listDead().slice();
    for (let end = dead.length; end > 0; end -= pieceLength) {
      const isStillDead = (handle: Handle): boolean => this.#heap.managed.isDead[handle] === 1;
      core.objects.freeClaimed(dead.subarray(Math.max(0, end - pieceLength), end).filter(isStillDead));
      yield;
    }
    if (dead.length > pieceLength && admission.listDead().length > 0) core.objects.freeClaimed(admission.listDead());
  }

  #evacuate(handles: Int32Array): void {
    const { evacuation, old } = this.#heap;
    this.#pins ??= this.#askForPins();
    const mark = old.mark();
    evacuation.begin(handles.length);
    evacuation.plan(handles, old, this.#pins, () => old);
    try {
      this.#add(evacuation.run());
    } catch (error) {
      evacuation.giveBack(old);
      old.rewind(mark);
      throw error;
    }
  }

  #askForPins(): ReadonlySet<Handle> {
    const pins = askForPins(this.#heap);
    this.#collected.pinned = countPinned(this.#heap, 'major', pins);
    return pins;
  }

  #add(done: Parameters<typeof sumOf>[1]): void {
    this.#collected = { ...sumOf(this.#collected, done), pinned: this.#collected.pinned };
  }

  /** What has moved has moved; the rest stays where it is until the next collection. */
  #abandon(): void {
    const { old, managed } = this.#heap;
    this.#isComplete = true;
    old.abandon(managed, HandleList.upTo(managed.limit));
  }
}

function* piecesUpTo(limit: number): Generator<Int32Array, void> {
  for (let base = 0; base < limit; base += pieceLength)
    yield Int32Array.from({ length: Math.min(pieceLength, limit - base) }, (_, i) => base + i);
}
