/**
 * What code objects refer to, as JS sees it.
 *
 * In: handles. Out: code objects and host functions. Always true: what native code says; whatever is freed, or JS has forgotten, is left out.
 */
import type { Handle } from '../base/native';
import { CodeRecord } from '../record/code-record';
import type { Entry } from '../record/object-table';
import type { Owner } from '../record/owner';
import { HostEntry } from './host-table';

/** What the code of `handle` refers to. */
export function referencesOf({ native, objects }: Owner, handle: Handle): Entry[] {
  return native
    .references(handle)
    .map((each) => objects.get(each))
    .filter((each) => each !== undefined);
}

/** Notes what these refer to now. */
export function refreshReferences(owner: Owner, handles: readonly Handle[]): void {
  for (const handle of handles) {
    const changed = owner.objects.get(handle);
    if (CodeRecord.is(changed)) CodeRecord.setReferences(changed, referencesOf(owner, handle));
    else if (changed instanceof HostEntry) changed.references = referencesOf(owner, handle);
  }
}
