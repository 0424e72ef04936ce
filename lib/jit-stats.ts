/**
 * What `jit.stats()` tells.
 */
import type { PerSegment } from './segments';

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
