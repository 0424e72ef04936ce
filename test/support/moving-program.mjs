/**
 * A program that moves at each of its safepoints.
 *
 * In: its placed code objects. Out: counts of moves, patched return addresses and pins by cause. Always true: a place that was left is
 * filled with traps, and nothing is placed there again before a whole round of places.
 */
import { coreOf } from '../../dist/jit/parts.js';
import { CodeRecord } from '../../dist/record/code-record.js';
import { Jit, PinnedError } from 'nomad-jit';
import { CodeImage } from './code-image.mjs';

const firstPlace = 64 << 20; // behind what is placed first
const roundBytes = 64 << 20;
const maxAlignment = 1 << 12;
const wordLength = 5; // of a root: kind, handle, address, value, symbol

const copyText = `declare ptr @memcpy(ptr, ptr, i64)
define void @copy(ptr %to, ptr %from, i64 %bytes) {
  call ptr @memcpy(ptr %to, ptr %from, i64 %bytes)
  ret void
}`;

/** One code object and the places that it goes round. */
class Traveller {
  moves = 0;
  #object;
  #space;
  #base;
  #stride;
  #places;
  #next = 1;

  constructor(object, space, base, bytes) {
    this.#object = object;
    this.#space = space;
    this.#base = base;
    const alignment = object.alignments.code;
    this.#stride = Math.ceil(object.sizes.code / alignment + 1) * alignment; // seldom a multiple of a page
    this.#places = Math.floor(bytes / this.#stride);
  }

  get object() {
    return this.#object;
  }

  /** Where it goes next; far from where it is. */
  get nextPlace() {
    const step = this.#next % this.#places;
    const half = Math.floor(this.#places / 2);
    const place = step % 2 === 0 ? step / 2 : half + (step + 1) / 2;
    return this.#base + (place % this.#places) * this.#stride;
  }

  move() {
    this.#object.relocate({ space: this.#space, code: this.nextPlace });
    this.#next++;
    this.moves++;
  }
}

export class MovingProgram {
  counts = { moves: 0, patched: 0, pinned: 0, causes: {} };
  #core;
  #travellers;
  #images = new Map();

  constructor(jit, space, objects) {
    this.#core = coreOf(jit);
    const bytes = Math.floor(roundBytes / objects.length / maxAlignment) * maxAlignment;
    this.#travellers = objects
      .filter((object) => object.sizes.code > 0)
      .map((object, i) => new Traveller(object, space, firstPlace + i * bytes, bytes));
  }

  /** Moves each code object; those that are pinned stay. */
  move() {
    for (const traveller of this.#travellers) this.#moveOne(traveller);
  }

  #moveOne(traveller) {
    const { native } = this.#core;
    const { object } = traveller;
    const handle = CodeRecord.handleIn(this.#core, object, 'move');
    const [exact] = native.stackRoots(false);
    const { offsets, sizes } = native.describe(handle);
    try {
      traveller.move();
    } catch (error) {
      if (!(error instanceof PinnedError)) throw error;
      this.#countPin(object, handle, error.roots, exact.length);
      return;
    }
    native.poison(offsets[0], offsets[0] + sizes[0]);
    this.counts.moves++;
    for (let i = 1; i < exact.length; i += wordLength) if (exact[i] === handle) this.counts.patched++;
  }

  #countPin(object, handle, roots) {
    this.counts.pinned++;
    const causes = new Set(roots.map((root) => this.#causeOf(object, handle, root)));
    const cause = causes.size === 0 ? 'setjmp' : [...causes].sort().join(' + ');
    this.counts.causes[cause] = (this.counts.causes[cause] ?? 0) + 1;
  }

  #causeOf(object, handle, { kind, value }) {
    const { offsets } = this.#core.native.describe(handle);
    const base = this.#core.native.rangeBases[0] + BigInt(offsets[0]);
    return `${this.#imageOf(object, base).whatIsAt(Number(value - base))} in ${kind}`;
  }

  #imageOf(object, base) {
    let image = this.#images.get(object);
    if (image === undefined) {
      const bytes = Buffer.alloc(object.sizes.code);
      const reader = new Jit();
      reader.load(copyText).get('copy')(bytes, base, bytes.length);
      reader.dispose();
      image = new CodeImage(bytes);
      this.#images.set(object, image);
    }
    return image;
  }
}
