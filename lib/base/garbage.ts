/**
 * V8's garbage: asking for it, and hearing of it.
 *
 * V8 collects when its own heap grows, which says little about code: a space can be full of code objects that JS has dropped long ago.
 *
 * A young collection of V8's looks at what has been made lately and takes half a millisecond, however large the heap is; a full one takes as long
 * as all that is alive. Node-API references (not WeakRefs) to what either has found are empty at once.
 */
import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';

/** V8's young generation, or its whole heap. */
export type GarbageScope = 'minor' | 'major';

type Gc = (options?: { type: GarbageScope }) => void;

let gc: Gc | undefined;

/** Runs a collection of V8's. */
export function collectJsGarbage(scope: GarbageScope): void {
  gc ??= nodesGc() ?? exposeGc();
  gc(scope === 'minor' ? { type: 'minor' } : undefined);
}

/** With --expose-gc every new context has it. The present one's may be anybody's. */
function nodesGc(): Gc | undefined {
  return runInNewContext('globalThis.gc') as Gc | undefined;
}

/** With the flag set, a new context has `gc`: take it from there, then clear the flag. */
function exposeGc(): Gc {
  setFlagsFromString('--expose-gc');
  const found = runInNewContext('gc') as Gc;
  setFlagsFromString('--no-expose-gc');
  return found;
}

/** Something that wants to know when V8 may have found garbage. */
export interface GarbageListener {
  noteJsCollection(): void;
}

/** The listeners of one realm, however often the package is loaded there: V8 serves one registry in a turn of the event loop. */
interface Watch {
  readonly listeners: Set<WeakRef<GarbageListener>>;
  readonly sentinels: FinalizationRegistry<undefined>;
}

const watchKey = Symbol.for('nomad-jit.garbage');

/** Tells `listener` after each full collection of V8's, in a job of its own. Does not keep it alive. */
export function onJsCollection(listener: GarbageListener): void {
  const shared = globalThis as { [watchKey]?: Watch };
  if (shared[watchKey] === undefined) Object.defineProperty(shared, watchKey, { value: makeWatch(), configurable: true });
  shared[watchKey]?.listeners.add(new WeakRef(listener));
}

/** A sentinel is garbage at once, so that the next full collection finds it. */
function makeWatch(): Watch {
  const listeners = new Set<WeakRef<GarbageListener>>();
  const sentinels = new FinalizationRegistry<undefined>(() => {
    sentinels.register({}, undefined);
    tellAll(listeners);
  });
  sentinels.register({}, undefined);
  return { listeners, sentinels };
}

function tellAll(listeners: Set<WeakRef<GarbageListener>>): void {
  for (const reference of listeners) {
    const listener = reference.deref();
    if (listener === undefined) listeners.delete(reference);
    else listener.noteJsCollection();
  }
}
