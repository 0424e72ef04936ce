/**
 * One code object's code in place of another's.
 *
 * In: a code object, and a fresh one compiled from the same source. Out: the first one with the native half of the second. Always true: after an
 * error both are what they were.
 */
import type { CodeObject } from '../code/code-object';
import { referencesOf, refreshReferences } from '../code/references';
import type { JitCore } from '../jit/core';
import { CodeRecord } from '../record/code-record';
import { outdatedOf } from './outdated';

/** Whether native code can exchange it without losing state. */
export function isReplaceable(core: JitCore, object: CodeObject): boolean {
  return !CodeRecord.statusOf(object).isFrozen && core.native.obstacle(CodeRecord.handleIn(core, object, 'tier')) === undefined;
}

/** `faster` is freed to all appearances; what it was is `object` now. Throws StateError. */
export function replaceObject(core: JitCore, object: CodeObject, faster: CodeObject): void {
  const { native, objects } = core;
  const [from, to] = [CodeRecord.handleIn(core, object, 'tier'), CodeRecord.handleIn(core, faster, 'tier')];
  const outdated = referencesOf(core, from);
  const changed = native.replace(from, to);
  // Its callees must live until its frames are gone, and nothing else may keep them now.
  if (native.isRunning()) queueMicrotask(() => outdated);
  objects.delete(Int32Array.of(from));
  objects.add(to, object);
  CodeRecord.replaceHandle(object, to, referencesOf(core, to));
  CodeRecord.markFreed(faster);
  refreshReferences(core, changed);
  outdatedOf(core).add(from, to);
}
