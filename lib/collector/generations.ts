/**
 * A collector's part of the arena.
 *
 * In: sizes. Out: a nursery, an old generation, and room for what does not move. Always true: all of them are there, or none is.
 */
import type { JitCore } from '../jit/core';
import { FixedParts } from './fixed-parts';
import { Nursery } from './nursery';
import { OldGeneration } from './old-generation';
import type { CollectorSizes } from './policy';

/** Where managed code objects are. */
export interface Generations {
  readonly nursery: Nursery;
  readonly old: OldGeneration;
  readonly parts: FixedParts;
}

/** Takes them out of the arena. Throws SpaceFullError. */
export function makeGenerations(core: JitCore, sizes: CollectorSizes): Generations {
  const made: Array<{ dispose(): void }> = [];
  const noted = <T extends { dispose(): void }>(part: T): T => (made.push(part), part);
  try {
    return {
      nursery: noted(new Nursery(core, sizes.nurseryBytes)),
      old: noted(new OldGeneration(core, sizes.oldBytes)),
      parts: noted(new FixedParts(core, sizes.fixed)),
    };
  } catch (error) {
    for (const part of made) part.dispose();
    throw error;
  }
}
