/**
 * Moves code objects to distant and awkward places.
 *
 * In: code objects. Out: reports. Always true: vacated code becomes traps, so a call of the old place is
 * caught; and the choice of places depends on the seed alone.
 */
import type { CodeObject, CodeSpace, Jit, MoveReport, Placement, SegmentName } from 'nomad-jit';

type Random = () => number;
type Moving = Exclude<SegmentName, 'constants'>;

/** Moves between two calls, of the same code objects. */
export interface Batch {
  readonly objects: readonly CodeObject[];
  /** Where the first code object was and is. */
  readonly from: bigint;
  readonly to: bigint;
  readonly moved: number;
  readonly bytes: number;
  readonly relocations: number;
  readonly nanoseconds: number;
}

/** One range of a space: what lies where, and which places are worth trying. */
class Lane {
  readonly #limit: number;
  readonly #places: number[];
  readonly #random: Random;
  readonly #taken = new Map<CodeObject, { base: number; limit: number }>();
  readonly #left = new Map<CodeObject, number>();

  constructor(limitBytes: number, random: Random) {
    this.#limit = limitBytes;
    this.#random = random;
    const page = 4096;
    const somewhere = Array.from(
      { length: 9 },
      () => Math.floor(random() * (limitBytes / 2 ** 16)) * 2 ** 16 + Math.floor(random() * page),
    );
    // The first byte, the last one, and across the border of a page.
    this.#places = [0, limitBytes, limitBytes / 2 + page - 64, ...somewhere];
  }

  /** From here on it does not come back to where it is now. */
  leave(object: CodeObject): void {
    this.#left.set(object, this.baseOf(object));
  }

  baseOf(object: CodeObject): number {
    return this.#taken.get(object)!.base;
  }

  take(object: CodeObject, base: number, bytes: number): void {
    this.#taken.set(object, { base, limit: base + bytes });
  }

  /** A place for `bytes` that nothing else has, itself excepted if it is to slide. */
  choose(object: CodeObject, bytes: number, alignment: number, how: 'slide' | 'jump'): number {
    const aligned = (offset: number): number => Math.floor(Math.min(offset, this.#limit - bytes) / alignment) * alignment;
    if (how === 'slide') {
      const base = this.baseOf(object);
      const near = [base + alignment, base - alignment].find((offset) => offset >= 0 && aligned(offset) === offset);
      if (near !== undefined && near !== this.#left.get(object) && this.isFree(near, bytes, object)) return near;
    }
    for (;;) {
      const place = this.#places[Math.floor(this.#random() * this.#places.length)]!;
      const base = aligned(place);
      if (base !== this.#left.get(object) && this.isFree(base, bytes)) return base;
    }
  }

  /** Whether nothing but `except` is there. */
  isFree(base: number, bytes: number, except?: CodeObject): boolean {
    return [...this.#taken].every(([owner, other]) => owner === except || other.limit <= base || base + bytes <= other.base);
  }
}

/** Places code objects in a space of its own, and moves them about. */
export class Mover {
  readonly #jit: Jit;
  readonly #space: CodeSpace;
  readonly #lanes: Record<Moving, Lane>;
  readonly #traps = new Map<CodeObject, CodeObject>();
  #moves = 0;

  constructor(jit: Jit, space: CodeSpace, seed: number) {
    const random = randomFrom(seed);
    this.#jit = jit;
    this.#space = space;
    this.#lanes = { code: new Lane(space.sizes.code, random), data: new Lane(space.sizes.data, random) };
  }

  /** First places. Constants that don't move are put one after the other. */
  place(objects: readonly CodeObject[]): void {
    let constants = 0;
    for (const object of objects) {
      const { sizes, alignments } = object;
      constants = Math.ceil(constants / alignments.constants) * alignments.constants;
      object.place({ ...this.#choose(object, 'jump'), constants });
      constants += sizes.constants;
      this.#traps.set(object, this.#jit.compile(trapsLike(object), { name: `traps for ${object.name}`, moves: object.moves }));
    }
  }

  /** Moves all of `objects` `times` times. */
  move(objects: readonly CodeObject[], times: number): Batch {
    const total = { moved: 0, bytes: 0, relocations: 0, nanoseconds: 0 };
    const from = addressOf(objects[0]!);
    for (const object of objects) this.#lanes.code.leave(object);
    for (let i = 0; i < times; i++) {
      const report = this.#hop(objects, ++this.#moves % 4 === 0 ? 'slide' : 'jump');
      for (const key of Object.keys(total) as Array<keyof MoveReport>) total[key] += report[key];
    }
    return { objects, from, to: addressOf(objects[0]!), ...total };
  }

  #hop(objects: readonly CodeObject[], how: 'slide' | 'jump'): MoveReport {
    const before = objects.map((object) => this.#offsets(object));
    const moves = objects.map((object) => [object, this.#choose(object, how)] as const);
    const report = this.#jit.relocate(moves);
    if (how === 'jump') objects.forEach((object, i) => this.#leaveTraps(object, before[i]!));
    return report;
  }

  /** Chooses a place for each segment that moves, and takes it. */
  #choose(object: CodeObject, how: 'slide' | 'jump'): Placement {
    const { sizes, alignments, moves, state } = object;
    const code = this.#lanes.code.choose(object, sizes.code, alignments.code, how);
    this.#lanes.code.take(object, code, sizes.code);
    if (sizes.data === 0 || (state === 'placed' && moves === 'code')) return { space: this.#space, code };
    const data = this.#lanes.data.choose(object, sizes.data, alignments.data, how);
    this.#lanes.data.take(object, data, sizes.data);
    return { space: this.#space, code, data };
  }

  #offsets(object: CodeObject): Placement {
    const code = this.#lanes.code.baseOf(object);
    const movesData = object.moves === 'all' && object.sizes.data > 0;
    return { space: this.#space, code, data: movesData ? this.#lanes.data.baseOf(object) : undefined };
  }

  #leaveTraps(object: CodeObject, at: Placement): void {
    const traps = this.#traps.get(object)!;
    // Another code object may have moved in.
    if (!this.#lanes.code.isFree(at.code, traps.sizes.code, traps)) return;
    if (at.data !== undefined && !this.#lanes.data.isFree(at.data, traps.sizes.data, traps)) return;
    if (traps.state === 'placed') traps.relocate(at);
    else traps.place(at);
    this.#lanes.code.take(traps, at.code, traps.sizes.code);
    if (at.data !== undefined) this.#lanes.data.take(traps, at.data, traps.sizes.data);
  }
}

/** Breakpoint instructions instead of code, and the same bytes instead of data that moves. */
function trapsLike({ sizes, alignments, moves }: CodeObject): string {
  const data = moves === 'all' && sizes.data > 0 ? `[${sizes.data} x i8]` : undefined;
  return [
    `define void @traps() naked nounwind {`,
    `  call void asm sideeffect ".fill ${sizes.code}, 1, 0xcc", ""()`,
    '  unreachable',
    '}',
    data
      ? `@spoilt = global ${data} [${Array(sizes.data).fill('i8 -52').join(', ')}], align ${Math.min(16, alignments.data)}`
      : '',
  ].join('\n');
}

/** Address of its first exported function. */
function addressOf(object: CodeObject): bigint {
  const [symbol] = object.functions.keys();
  return object.addressOf(symbol!);
}

/** Mulberry32. */
function randomFrom(seed: number): Random {
  let state = seed;
  return () => {
    state = (state + 0x6d2b79f5) | 0;
    let mixed = Math.imul(state ^ (state >>> 15), 1 | state);
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed;
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32;
  };
}
