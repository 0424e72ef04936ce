/**
 * What `jit.stats()` tells.
 */
import { perSegment, type PerSegment } from '../base/segments';
import type { JitCore } from './core';

/** What a Jit holds. All sizes in bytes. */
export interface JitStats {
  /** Code objects that are not freed, and how many of them are placed. */
  readonly objects: { readonly live: number; readonly placed: number };
  /** Segments of placed code objects. */
  readonly liveBytes: PerSegment<number>;
  /** The arena's ranges: address space, not memory. */
  readonly reservedBytes: PerSegment<number>;
  readonly entryStubs: number;
  /** Relocations kept for moving. */
  readonly relocationBytes: number;
  /** Records about code objects, native ones and reservations. */
  readonly bookkeepingBytes: number;
  /** Kernel mappings of the arena. */
  readonly mappings: number;
  /** Compiles that the cache has answered, and those that have generated code. undefined without a cache. */
  readonly cache: { readonly hits: number; readonly misses: number } | undefined;
}

export function statsOf({ native, arena }: JitCore): JitStats {
  const { objects, liveBytes, reservedBytes, entryStubs, relocationBytes, bookkeepingBytes, mappings, cache } = native.stats();
  return {
    ...{ objects, entryStubs, relocationBytes, mappings, cache },
    liveBytes: perSegment((_, index) => liveBytes[index] ?? 0),
    reservedBytes: perSegment((_, index) => reservedBytes[index] ?? 0),
    bookkeepingBytes: bookkeepingBytes + arena.reservations.bookkeepingBytes,
  };
}
