/**
 * What code objects share, so that each of 100,000 has only a few fields of its own.
 *
 * In: modes, states, native descriptions. Out: frozen records, the same one for the same facts where that is likely.
 */
import type { Handle, NativeJit } from '../base/native';
import { granuleBytes, perSegment, type PerSegment } from '../base/segments';
import type { Entry } from './object-table';

/** Not yet placed, placed, or freed for good. */
export type CodeObjectState = 'unplaced' | 'placed' | 'freed';

/** How a code object was compiled to move; few different ones exist, and code objects share them. */
export interface MoveModes {
  readonly moves: 'code' | 'all';
  readonly retain: 'relocations' | 'object' | 'none';
}

/** Sizes and alignments of a code object that has more than code of ordinary alignment. */
export type Layout = PerSegment<{ readonly bytes: number; readonly alignment: number }>;

/**
 * Modes and state in one. `isEnding`: native code has been asked to free it, and runs its destructors or has done so; `isPlaced` is false then, so
 * that its callables look twice. Few different ones exist, and code objects share them. */
export interface Status extends MoveModes {
  readonly state: CodeObjectState;
  readonly isPlaced: boolean;
  readonly isFrozen: boolean;
  readonly isEnding: boolean;
  readonly isMovable: boolean;
}

/** Rare facts: most code objects share one empty record. */
export interface Details {
  readonly name: string | undefined;
  readonly layout: Layout | undefined;
  readonly references: readonly Entry[];
}

export const noReferences: readonly Entry[] = Object.freeze([]);
export const noDetails: Details = Object.freeze({ name: undefined, layout: undefined, references: noReferences });
const statuses: Status[] = [];

/** The shared Status of these modes and this state. */
export function statusOf(
  { moves, retain }: MoveModes,
  state: CodeObjectState,
  { isFrozen = false, isEnding = false }: { isFrozen?: boolean; isEnding?: boolean } = {},
): Status {
  const found = statuses.find(
    (each) =>
      each.state === state &&
      each.moves === moves &&
      each.retain === retain &&
      each.isFrozen === isFrozen &&
      each.isEnding === isEnding,
  );
  if (found !== undefined) return found;
  const isPlaced = state === 'placed' && !isEnding;
  const isMovable = state === 'placed' && retain !== 'none' && !isFrozen;
  const status: Status = Object.freeze({ moves, retain, state, isPlaced, isFrozen, isEnding, isMovable });
  statuses.push(status);
  return status;
}

/** As `status`, but ending or not. */
export function endingOf(status: Status, isEnding: boolean): Status {
  return status.isEnding === isEnding ? status : statusOf(status, status.state, { isFrozen: status.isFrozen, isEnding });
}

/** Most code objects have only code that any allocator aligns well enough: bytes of it are all there is to know. */
export function shapeOf(native: NativeJit, handle: Handle): number | Layout {
  const codeBytes = native.plainCodeBytes(handle, granuleBytes);
  if (codeBytes >= 0) return codeBytes;
  const { sizes, alignments } = native.describe(handle);
  return perSegment((_, i) => ({ bytes: sizes[i] ?? 0, alignment: alignments[i] ?? 1 }));
}

/** What a code object has besides code, its name and what it refers to. */
export function detailsOf(shape: number | Layout, name: string | undefined, references: readonly Entry[]): Details {
  const layout = typeof shape === 'number' ? undefined : shape;
  const isPlain = name === undefined && layout === undefined && references.length === 0;
  return isPlain ? noDetails : { name, layout, references: Object.freeze(references) };
}
