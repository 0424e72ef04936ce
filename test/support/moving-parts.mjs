/**
 * A program that was compiled function by function, and moves a few functions at each of its safepoints.
 *
 * In: one IR text. Out: placed code objects; counts of moves and pins. Always true: each function gets its turn.
 */
import { PinnedError } from 'nomad-jit';

/** Compiles and places it; options as in `loadModules`. */
export function loadParts(jit, space, [text], options) {
  return [...jit.compile(text, { ...options, granularity: 'function' }).place(space)];
}

const movesAtOnce = 25;

export class MovingParts {
  counts = { moves: 0, patched: 0, pinned: 0, causes: {} };
  #space;
  #objects;
  #next = 0;

  constructor(_jit, space, objects) {
    this.#space = space;
    this.#objects = objects.filter(({ sizes }) => sizes.code > 0);
  }

  move() {
    for (let i = 0; i < Math.min(movesAtOnce, this.#objects.length); i++)
      this.#moveOne(this.#objects[this.#next++ % this.#objects.length]);
  }

  #moveOne(object) {
    const before = object.placement;
    const { code } = this.#space.allocate(object);
    try {
      object.relocate({ space: this.#space, code });
      this.#space.release({ space: this.#space, code: before.code }, object);
      this.counts.moves++;
    } catch (error) {
      if (!(error instanceof PinnedError)) throw error;
      this.#space.release({ space: this.#space, code }, object);
      this.counts.pinned++;
    }
  }
}
