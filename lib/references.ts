/**
 * What code objects refer to, as JS sees it.
 *
 * In: handles. Out: code objects and host functions. Always true: what native code says; whatever is freed, or JS has forgotten, is left out.
 */
import { CodeObject, setReferences } from './code-object';
import type { JitCore } from './core';
import type { Handle } from './native';
import type { Entry } from './object-table';

/** What the code of `handle` refers to. */
export function referencesOf({ native, objects }: JitCore, handle: Handle): Entry[] {
  return native
    .references(handle)
    .map((each) => objects.get(each))
    .filter((each) => each !== undefined);
}

/** Notes what these refer to now. */
export function refreshReferences(core: JitCore, handles: readonly Handle[]): void {
  for (const handle of handles) {
    const changed = core.objects.get(handle);
    if (changed instanceof CodeObject) setReferences(changed, referencesOf(core, handle));
    else if (changed !== undefined) changed.references = referencesOf(core, handle);
  }
}
