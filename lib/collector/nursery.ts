/**
 * Where code objects are young.
 *
 * In: sizes. Out: offsets. Always true: it is filled in ascending order, and what dies in it is free after the next collection, not before.
 */
import type { JitCore } from '../jit/core';
import type { Managed } from './managed';
import { SemiSpace } from './semi-space';

/** The young generation. */
export class Nursery extends SemiSpace {
  /** Throws SpaceFullError if the arena has no room for it. */
  constructor(core: JitCore, bytes: number) {
    super(core, 0, bytes);
  }

  /** Makes the other half active; `young` are all that are in either. A second flip undoes the first, if nothing has moved. */
  flip(managed: Managed, young: Int32Array): void {
    this.activateOther(managed, young);
  }

  leave(): void {
    // The next flip looks at all that is young.
  }
}
