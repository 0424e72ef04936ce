/**
 * Freeing what JS has dropped when there is no room.
 */
import { SpaceFullError } from '../base/errors';
import { collectJsGarbage, type GarbageScope } from '../base/garbage';
import type { ObjectTable } from '../record/object-table';

/**
 * Runs `take`. Where that finds no room, what JS has dropped is freed, as far as V8's young collection finds it, and if that is nothing, its full
 * one; then `take` is tried again. Not while a change is under way: destructors run, and may do anything.
 */
export function withRoom<T>(objects: ObjectTable, take: () => T): T {
  try {
    return take();
  } catch (error) {
    if (!(error instanceof SpaceFullError)) throw error;
    if (!freeGarbage(objects, 'minor')) return withMoreRoom(objects, take, error);
  }
  try {
    return take();
  } catch (error) {
    return withMoreRoom(objects, take, error);
  }
}

function withMoreRoom<T>(objects: ObjectTable, take: () => T, error: unknown): T {
  if (!(error instanceof SpaceFullError) || !freeGarbage(objects, 'major')) throw error;
  return take();
}

/** Whether there was any. */
function freeGarbage(objects: ObjectTable, scope: GarbageScope): boolean {
  collectJsGarbage(scope);
  objects.findDead();
  return objects.freeDead();
}
