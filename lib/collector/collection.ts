/**
 * One collection, from its beginning to its end: find the dead and free them, ask what is pinned, flip, choose a place for each survivor, move
 * them all in one batch.
 *
 * In: a heap. Out: what was done. Always true: a batch that is refused is undone by a second flip, so everything is where it was.
 *
 * A copying collection after Cheney, C. J. (1970), "A nonrecursive list compacting algorithm", CACM 13(11), without its scan: code objects know
 * who refers to them, and the mover redirects those. What is pinned stays, as in Bartlett, J. F. (1988), "Compacting garbage collection with
 * ambiguous roots", DEC WRL 88/2.
 */
import type { Handle } from '../base/native';
import type { Evacuated } from './evacuation';
import type { GapMark } from './gap-allocator';
import { HandleList } from './handle-list';
import type { CodeHeap } from './heap';
import { generationOf } from './managed';
import type { CollectionKind } from './report';

/** What a collection did. */
export interface Collected extends Evacuated {
  pinned: number;
}

/**
 * Collects the nursery, or everything. `dead`: which of the dead a minor collection frees, all that are known or those of the nursery, whose
 * number is bounded. Throws what a batch of moves throws.
 */
export function collect(heap: CodeHeap, kind: CollectionKind, dead: 'all' | 'young' = 'all'): Collected {
  heap.admission.findDead(kind);
  freeDead(heap, kind, dead);
  const pins = askForPins(heap);
  const handles = inScope(heap, kind);
  flip(heap, kind, handles);
  const before = heap.old.mark();
  choosePlaces(heap, kind, handles, pins);
  return { ...moveOrFlipBack(heap, kind, handles, before), pinned: countPinned(heap, kind, pins) };
}

/** Code objects that must not move now. */
export function askForPins({ core }: CodeHeap): ReadonlySet<Handle> {
  return new Set(core.native.pins());
}

/** How many of `pins` a collection would have moved. */
export function countPinned({ admission }: CodeHeap, kind: CollectionKind, pins: ReadonlySet<Handle>): number {
  const { place, bytes } = admission.managed;
  const isInScope = (handle: Handle): boolean => kind === 'major' || generationOf(place[handle] ?? 0) === 0;
  return [...pins].filter((handle) => admission.isManaged(handle) && bytes[handle] !== 0 && isInScope(handle)).length;
}

/** Destructors run. */
function freeDead({ core, admission, old }: CodeHeap, kind: CollectionKind, dead: 'all' | 'young'): void {
  if (kind === 'major') old.prepareFlip();
  try {
    core.objects.freeClaimed(dead === 'all' ? admission.listDead() : admission.listYoungDead());
  } catch (error) {
    old.cancelFlip();
    throw error;
  }
}

/** Those that may be in a generation that is collected. */
interface InScope {
  readonly young: Int32Array;
  readonly all: Int32Array;
}

function inScope({ admission, managed }: CodeHeap, kind: CollectionKind): InScope {
  return { young: admission.listYoung(), all: HandleList.upTo(kind === 'major' ? managed.limit : 0) };
}

function flip({ nursery, old, managed }: CodeHeap, kind: CollectionKind, { young }: InScope): void {
  if (kind === 'major') old.flip(managed);
  nursery.flip(managed, young);
}

function choosePlaces(heap: CodeHeap, kind: CollectionKind, { young, all }: InScope, pins: ReadonlySet<Handle>): void {
  const { nursery, old, evacuation, admission, managed, promoteAfter } = heap;
  evacuation.begin(admission.count);
  if (kind === 'major') evacuation.plan(all, old, pins, () => old);
  evacuation.plan(young, nursery, pins, (handle) => ((managed.age[handle] ?? 0) + 1 >= promoteAfter ? old : nursery));
}

/** `before`: where the old generation was before places were chosen. */
function moveOrFlipBack(heap: CodeHeap, kind: CollectionKind, handles: InScope, before: GapMark): Evacuated {
  const { nursery, old, evacuation, managed } = heap;
  try {
    return evacuation.run();
  } catch (error) {
    // Where everything still is becomes active again.
    nursery.flip(managed, handles.young);
    if (kind === 'major') old.flipBack(managed, handles.all);
    else old.rewind(before); // it may be evacuated in steps
    evacuation.giveBack(old);
    throw error;
  } finally {
    if (kind === 'major') old.settle();
  }
}
