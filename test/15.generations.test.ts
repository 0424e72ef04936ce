/**
 * The halves of a collector's generations against a model: what lives where, granule by granule. Nothing is compiled, and nothing really moves.
 */
import { GapAllocator } from '../lib/collector/gap-allocator';
import { HandleList } from '../lib/collector/handle-list';
import { generationOf, Managed, placeOf } from '../lib/collector/managed';
import { Nursery } from '../lib/collector/nursery';
import { OldGeneration } from '../lib/collector/old-generation';
import type { SemiSpace } from '../lib/collector/semi-space';
import { coreOf } from '../lib/jit/parts';
import { errorOf, makeJit } from './support/jits';
import { randomIntegers, seed } from './support/random';

const half = 4096;
const alignments = [1, 16, 16, 32, 256];

/** A generation, and the table of what lives in it. */
class Modelled<T extends SemiSpace> {
  readonly managed = new Managed();
  readonly generation: T;
  readonly #random: (limit: number) => number;
  /** By place. */
  readonly #bases: ReadonlyMap<number, number>;

  constructor(generation: T, random: (limit: number) => number) {
    this.generation = generation;
    this.#random = random;
    const pages = [...Array(1024).keys()].map((page) => page * 4096).reverse();
    this.#bases = new Map(pages.map((base) => [generation.placeAt(base) ?? 0, base]));
  }

  get all(): Int32Array {
    return HandleList.upTo(this.managed.limit);
  }

  /** Those of a half. */
  handlesIn(place: number): number[] {
    return [...this.all].filter((handle) => this.managed.place[handle] === place);
  }

  /** Where the half that is active begins. */
  get base(): number {
    return this.#bases.get(this.generation.activePlace)!;
  }

  /** Of the active half: which granules the model says are used. */
  get used(): boolean[] {
    const used = Array<boolean>(half / 16).fill(false);
    for (const handle of this.handlesIn(this.generation.activePlace)) {
      const from = (this.managed.offset[handle]! - this.base) / 16;
      used.fill(true, from, from + Math.ceil(this.managed.bytes[handle]! / 16));
    }
    return used;
  }

  /** The longest free run, and the sum of all, in bytes. */
  get free(): { freeBytes: number; largestFreeBytes: number } {
    const runs = this.used.map((each) => (each ? ' ' : '.')).join('').split(' ').map(({ length }) => length * 16); // prettier-ignore
    return { freeBytes: runs.reduce((a, b) => a + b, 0), largestFreeBytes: Math.max(...runs) };
  }

  /** Takes a place, which must be in the active half, free and aligned; what `fits` says must be so. */
  place(handle: number, bytes: number, alignment: number): boolean {
    const { generation, managed } = this;
    const fits = generation.fits(bytes, alignment);
    const offset = generation.allocate(bytes, alignment);
    expect(fits).toBe(offset !== undefined);
    if (offset === undefined) return false;
    expect([offset % alignment, generation.placeAt(offset)]).toEqual([0, generation.activePlace]);
    const from = (offset - this.base) / 16;
    expect(this.used.slice(from, from + Math.ceil(bytes / 16)).some(Boolean)).toBe(false);
    managed.admit(handle);
    managed.place[handle] = generation.activePlace;
    [managed.offset[handle], managed.bytes[handle], managed.alignment[handle]] = [offset, bytes, alignment];
    return true;
  }

  placeSome(count: number): void {
    for (let i = 0; i < count; i++) {
      const vacant = [...this.all].find((handle) => this.managed.place[handle] === 0) ?? this.managed.limit;
      this.place(vacant, 1 + this.#random(300), alignments[this.#random(alignments.length)]!);
    }
  }

  /** After a flip: some stay where they are. */
  evacuate(handles: readonly number[], isPinned: (handle: number) => boolean): void {
    for (const handle of handles) {
      const { bytes, alignment } = this.managed;
      if (isPinned(handle) || !this.place(handle, bytes[handle]!, alignment[handle]!)) this.generation.leave(handle);
    }
  }
}

function makeOld(random = randomIntegers()): Modelled<OldGeneration> {
  return new Modelled(new OldGeneration(coreOf(makeJit())!, half), random);
}

function kill({ managed, generation }: Modelled<OldGeneration>, handle: number): void {
  if (managed.place[handle] === generation.activePlace) generation.release(managed.offset[handle]!, managed.bytes[handle]!);
  managed.place[handle] = 0;
}

/** Exactly what the model says is free can be had. */
function expectFree(modelled: Modelled<OldGeneration>): void {
  const { freeBytes, largestFreeBytes } = modelled.free;
  expect({ ...modelled.free, ...pick(modelled.generation.free) }).toEqual({ freeBytes, largestFreeBytes });
  expect(modelled.generation.fragmentation).toBeCloseTo(freeBytes === 0 ? 0 : 1 - largestFreeBytes / freeBytes, 10);
  expect(modelled.generation.fits(largestFreeBytes + 1, 16)).toBe(false);
  expect(modelled.generation.fits(largestFreeBytes, 16)).toBe(largestFreeBytes > 0);
}

function pick({ freeBytes, largestFreeBytes }: OldGeneration['free']): OldGeneration['free'] {
  return { freeBytes, largestFreeBytes };
}

describe(`the old generation (SEED=${seed})`, () => {
  test('is as full as what lives in its active half, whatever dies, moves or stays', () => {
    const random = randomIntegers();
    const old = makeOld(random);
    for (let round = 0; round < 60; round++) {
      old.placeSome(random(30));
      for (const handle of old.all) if (random(4) === 0) kill(old, handle);
      expectFree(old);
      old.generation.prepareFlip();
      for (const handle of old.all) if (random(4) === 0) kill(old, handle);
      old.generation.flip(old.managed);
      old.evacuate(old.handlesIn(old.generation.otherPlace), () => random(5) === 0);
      expect(old.generation.free.freeBytes).toBe(old.free.freeBytes);
      old.generation.settle();
      expectFree(old);
    }
  });

  test('evacuated in steps, with new ones and deaths in between, and steps that are given back', () => {
    const random = randomIntegers();
    const old = makeOld(random);
    for (let round = 0; round < 30; round++) {
      old.placeSome(random(20));
      old.generation.prepareFlip();
      old.generation.flip(old.managed);
      for (let left = old.handlesIn(old.generation.otherPlace); left.length > 0;) {
        const piece = left.splice(0, 3).filter((handle) => old.managed.place[handle] === old.generation.otherPlace);
        const mark = old.generation.mark();
        for (const each of piece) old.generation.allocate(old.managed.bytes[each]!, 16);
        old.generation.rewind(mark);
        old.evacuate(piece, () => random(5) === 0);
        old.placeSome(random(2));
        if (random(3) === 0) kill(old, random(old.managed.limit)); // free after the next evacuation
      }
      old.generation.settle();
      expect(old.generation.free.freeBytes).toBeLessThanOrEqual(old.free.freeBytes);
    }
    old.generation.flip(old.managed);
    old.evacuate(old.handlesIn(old.generation.otherPlace), () => false);
    old.generation.settle();
    expectFree(old);
  });

  test.each(['before the flip', 'after the flip'])('an evacuation that ends %s leaves all where it is', (when) => {
    const random = randomIntegers();
    const old = makeOld(random);
    for (let round = 0; round < 30; round++) {
      old.placeSome(random(20));
      old.generation.prepareFlip();
      if (when === 'after the flip') {
        old.generation.flip(old.managed);
        old.evacuate(old.handlesIn(old.generation.otherPlace).slice(random(5)), () => random(5) === 0);
      }
      old.generation.abandon(old.managed, old.all);
      expectFree(old);
      for (const handle of old.all) if (random(3) === 0) kill(old, handle);
      expectFree(old);
    }
  });

  test('a flip that is undone, and a table that is made anew', () => {
    const random = randomIntegers();
    const old = makeOld(random);
    for (let round = 0; round < 30; round++) {
      old.placeSome(random(20));
      const before = [old.generation.activePlace, ...old.managed.offset];
      old.generation.prepareFlip();
      old.generation.flip(old.managed);
      for (const handle of old.handlesIn(old.generation.otherPlace)) old.generation.allocate(old.managed.bytes[handle]!, 16);
      old.generation.flipBack(old.managed, old.all);
      old.generation.settle();
      expect([old.generation.activePlace, ...old.managed.offset]).toEqual(before);
      expectFree(old);
      for (const handle of old.all) if (random(4) === 0) old.managed.place[handle] = 0; // nobody gives it back
      old.generation.mend(old.managed, old.all);
      expectFree(old);
      old.generation.flip(old.managed);
      old.evacuate(old.handlesIn(old.generation.otherPlace), () => random(5) === 0);
      old.generation.settle();
      expectFree(old);
    }
  });

  test('what is released between prepareFlip and the flip is not handed out again; after cancelFlip it goes on', () => {
    const old = makeOld();
    for (let handle = 0; handle < 16; handle++) old.place(handle, 256, 16);
    old.generation.prepareFlip();
    kill(old, 3);
    expect(old.generation.free.freeBytes).toBe(0);
    old.generation.cancelFlip();
    kill(old, 4);
    expect(old.generation.free.freeBytes).toBe(256);
    expect(old.generation.allocate(256, 16)).toBe(old.base + 4 * 256);
  });

  test('is filling when more than half is used of what was free after the last evacuation', () => {
    const old = makeOld();
    const filling = [old.generation.isFilling];
    for (let handle = 0; handle < 16; handle++) {
      old.place(handle, 256, 16);
      filling.push(old.generation.isFilling);
    }
    expect(filling.indexOf(true)).toBe(9);
    for (let handle = 8; handle < 16; handle++) kill(old, handle);
    expect(old.generation.isFilling).toBe(false);
    old.generation.flip(old.managed);
    expect(old.generation.isFilling).toBe(false);
    old.evacuate(old.handlesIn(old.generation.otherPlace), () => false);
    old.generation.settle();
    const after = [0, 1, 2, 3, 4, 5].map((i) => {
      old.place(20 + i, 256, 16);
      return old.generation.isFilling;
    });
    expect(after).toEqual([false, false, false, false, true, true]);
  });

  test('releases nothing that is not in its active half', () => {
    const old = makeOld();
    for (let handle = 0; handle < 16; handle++) old.place(handle, 256, 16);
    const { inactive } = old.generation;
    for (const offset of [inactive.base, inactive.limit - 256, old.base - 256, old.base + half])
      old.generation.release(offset, 256);
    expect(old.generation.free.freeBytes).toBe(0);
    old.generation.release(old.base, 256);
    old.generation.release(old.base + half - 256, 256);
    expect(old.generation.free.freeBytes).toBe(512);
  });
});

test(`a nursery is filled around what stays, and is empty when all has moved (SEED=${seed})`, () => {
  const random = randomIntegers();
  const nursery = new Modelled(new Nursery(coreOf(makeJit())!, half), random);
  for (let round = 0; round < 60; round++) {
    nursery.placeSome(random(30));
    for (const handle of nursery.all) if (random(3) === 0) nursery.managed.place[handle] = 0;
    const active = nursery.generation.activePlace;
    nursery.generation.flip(nursery.managed, nursery.all);
    expect([nursery.generation.otherPlace, nursery.generation.activePlace]).toEqual([active, active === 1 ? 2 : 1]);
    nursery.evacuate(nursery.handlesIn(active), () => random(6) === 0);
  }
  for (const place of [1, 2]) for (const handle of nursery.handlesIn(place)) nursery.managed.place[handle] = 0;
  nursery.generation.mend(nursery.managed, nursery.all);
  expect(nursery.generation.fits(half, 16)).toBe(true);
});

test('a generation that finds no room for its second half takes none for its first', () => {
  const core = coreOf(makeJit({ arenaBytes: 2 ** 20 }))!;
  const { arena } = core;
  const before = arena.largestFreeBytes('code');
  const error = errorOf(() => new Nursery(core, Math.ceil(before * 0.6)));
  expect([error.code, arena.largestFreeBytes('code')]).toEqual(['ERR_SPACE_FULL', before]);
  const nursery = new Nursery(core, 2 ** 16);
  expect(arena.largestFreeBytes('code')).toBeLessThan(before);
  nursery.dispose();
  expect(arena.largestFreeBytes('code')).toBe(before);
});

test('places tell the generation and the half', () => {
  const places = ([0, 1] as const).flatMap((generation) => [0, 1].map((each) => placeOf(generation, each)));
  expect([places, places.map(generationOf)]).toEqual([
    [1, 2, 3, 4],
    [0, 0, 1, 1],
  ]);
  const { generation } = makeOld();
  expect(generation.placeAt(generation.inactive.limit - 1)).toBe(generation.otherPlace);
  expect(new Set([-1, 2 ** 30].map((offset) => generation.placeAt(offset)))).toEqual(new Set([undefined]));
});

test(`a table of code objects keeps what is in it when it grows (SEED=${seed})`, () => {
  const random = randomIntegers();
  const managed = new Managed();
  const model = new Map<number, number>();
  for (let i = 0; i < 200; i++) {
    const handle = random(40 * (i + 1));
    managed.admit(handle);
    const value = 1 + random(200);
    for (const table of tablesOf(managed)) table[handle] = value;
    model.set(handle, value);
    expect(managed.limit).toBe(Math.max(...model.keys()) + 1);
  }
  for (const table of tablesOf(managed))
    expect(Array.from({ length: managed.limit }, (_, handle) => table[handle])).toEqual(
      Array.from({ length: managed.limit }, (_, handle) => model.get(handle) ?? 0),
    );
});

function tablesOf({ offset, bytes, alignment, place, age, hasParts, isDead }: Managed): Array<Int32Array | Uint8Array> {
  return [offset, bytes, alignment, place, age, hasParts, isDead];
}

test(`a list of handles has each once, in the order in which they came (SEED=${seed})`, () => {
  const random = randomIntegers();
  const list = new HandleList();
  let model: number[] = [];
  const table = Uint8Array.from({ length: 5000 }, () => random(5));
  for (let round = 0; round < 30; round++) {
    for (let i = random(400); i > 0; i--) {
      const handle = random(round < 3 ? 256 : 5000);
      list.add(handle);
      if (!model.includes(handle)) model.push(handle);
    }
    const least = random(3);
    const most = random(10) === 0 ? least : least + random(3);
    model = model.filter((handle) => table[handle]! >= least && table[handle]! <= most);
    expect([...list.keep(table, least, most)]).toEqual(model);
    for (let i = 0; i < 20; i++) table[random(5000)] = random(5);
    if (round % 10 === 9) {
      model = [4999, 3, 1000];
      list.reset([4999, 3, 1000, 3]);
    }
  }
  expect([...HandleList.upTo(4)]).toEqual([0, 1, 2, 3]);
});

test('free ranges around obstacles that touch', () => {
  const gaps = new GapAllocator(half);
  gaps.reset([
    { base: 16, limit: 32 },
    { base: 32, limit: 40 },
    { base: 48, limit: half },
  ]);
  expect(gaps.freeExtents()).toEqual([{ base: 0, limit: 16 }]);
});
