/**
 * All tables of a Jit, made anew.
 *
 * In: tables that an interrupted change has left in the middle. Out: the same tables, whole. Always true: native code knows what lives and where; the
 * records of reservations, which code object has what in which region. All else follows from these.
 */
import { settleObject } from '../code/life-cycle';
import { refreshReferences } from '../code/references';
import { CodeRecord } from '../record/code-record';
import { disposeRegion } from '../space/reserve';
import type { Endings, Tables } from './endings';

/** Interrupted itself, it may be run again. */
export function mendTables(tables: Tables, endings: Endings): void {
  const { native, objects, arena, hooks } = tables;
  freeFresh(tables);
  const isLive = (handle: number): boolean => native.isLive(handle);
  const listed = objects.handles();
  const live = listed.filter(isLive);
  arena.mend(isLive);
  for (const handle of live) {
    const object = objects.get(handle);
    if (CodeRecord.is(object)) settleObject(object);
  }
  refreshReferences(tables, live);
  endings.drop(Int32Array.from(listed.filter((handle) => !isLive(handle))));
  for (const region of arena.unfinished.splice(0)) disposeRegion(tables, region);
  for (const mend of hooks.onTorn) mend();
}

/** No user has got these. They may refer to each other in circles. */
function freeFresh(tables: Tables): void {
  const fresh = Int32Array.from(tables.fresh, (each) => (typeof each === 'number' ? each : each[0]));
  if (fresh.length > 0) tables.native.freeMany(fresh, fresh.length);
  tables.fresh = [];
}
