/**
 * What a collection did, and what a collector tells.
 */
import type { Tiered, TierFailure } from '../tier/report';

/** 'minor' looks at the nursery only, 'major' at everything. */
export type CollectionKind = 'minor' | 'major';

/** What a user asks of `collect`. */
export interface CollectOptions {
  /** Default 'major'. */
  readonly kind?: CollectionKind | undefined;
  /**
   * Whether V8 is to find first what JS has dropped: by its young collection (half a millisecond) for 'minor', by its full one for 'major'. Default
   * true, but false for a major collection in steps (`maxPause`): V8's would not be in steps. Without it, what V8 has found by itself is freed.
   */
  readonly findGarbage?: boolean | undefined;
  /** As the collector's option, for this collection. Infinity: it is complete when it returns. */
  readonly maxPause?: number | undefined;
}

/** The report of one collection, or of one step of it. Counts are of code objects. */
export interface Collection {
  readonly kind: CollectionKind;
  /** false: a step of a major collection that goes on (`maxPause`). */
  readonly isComplete: boolean;
  readonly moved: number;
  /** Of those moved, the ones that went from the nursery to the old generation. */
  readonly promoted: number;
  /** Freed since the last collection, by this one or by hand. */
  readonly freed: number;
  /** Left where they were: the stack forbids to move them. */
  readonly pinned: number;
  readonly movedBytes: number;
  readonly freedBytes: number;
  /** Relocations applied, those of dependents included. */
  readonly relocations: number;
  /** How long the caller waited: with what V8 took, and destructors. */
  readonly pauseMilliseconds: number;
  /** Of those, V8's share: its own collection, 0 without one. */
  readonly v8Milliseconds: number;
  /** What the collector manages afterwards, of both generations. */
  readonly liveObjects: number;
  readonly liveBytes: number;
  /** Of the old generation's free code space, the part outside of the largest block: 0 to 1. */
  readonly fragmentationBefore: number;
  readonly fragmentationAfter: number;
}

/** A collector's events. */
export interface CollectorEvents {
  collection: [Collection];
  /** A step that the collector took by itself has failed. What it would have moved stays where it is. */
  'collection-error': [unknown];
  tiered: [Tiered];
  'tier-error': [TierFailure];
}
