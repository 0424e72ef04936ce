/**
 * Reservations against a model that is a list of what each code object has.
 */
import { FreeListAllocator } from '../lib/space/free-list';
import { Reservations } from '../lib/space/reservations';
import { randomIntegers, seed } from './support/random';

const capacity = 2 ** 16;

/** One thing that a code object has. */
type Reserved = readonly [object: number, allocator: number, offset: number, bytes: number];

/** Reservations with allocators, and what they should have. */
class Modelled {
  readonly reservations = new Reservations();
  readonly allocators: FreeListAllocator[] = [];
  reserved: Reserved[] = [];

  constructor(count: number) {
    for (let i = 0; i < count; i++)
      this.allocators[this.reservations.register(new FreeListAllocator(0))] = new FreeListAllocator(0);
    this.allocators.forEach((_, number) => this.reservations.unregister(number));
    for (let i = 0; i < count; i++) {
      const allocator = new FreeListAllocator(capacity);
      this.allocators[this.reservations.register(allocator)] = allocator;
    }
  }

  add(object: number, number: number, bytes: number): void {
    const offset = this.allocators[number]!.allocate(bytes, 16);
    if (offset === undefined) return;
    this.reservations.add(object, number, offset, bytes);
    this.reserved.push([object, number, offset, bytes]);
  }

  release(each: Reserved): void {
    this.reservations.release(each[0], each[1], each[2]);
    this.reserved = this.reserved.filter((other) => other !== each);
  }

  releaseAll(object: number): void {
    this.reservations.releaseAll(object);
    this.reserved = this.reserved.filter(([other]) => other !== object);
  }

  /** Every allocator has handed out what is reserved, byte for byte. */
  verify(): void {
    for (const [number, allocator] of this.allocators.entries()) {
      const mine = this.reserved.filter(([, other]) => other === number);
      allocator.checkIntegrity();
      expect(allocator.usedBytes).toBe(mine.reduce((sum, [, , , bytes]) => sum + Math.ceil(bytes / 16) * 16, 0));
    }
    const questions = this.reserved.flatMap(([object, number, offset]) => [
      [object, number, offset] as const,
      [object, number, offset + 1] as const,
      [object, number + 1, offset] as const,
      [object + 1, number, offset] as const,
    ]);
    expect(questions.filter((each) => this.reservations.has(...each) !== this.hasAt(...each))).toEqual([]);
  }

  hasAt(object: number, number: number, offset: number): boolean {
    return this.reserved.some((each) => each[0] === object && each[1] === number && each[2] === offset);
  }
}

test('a number is free again when its allocator is forgotten, and nobody else has it', () => {
  const reservations = new Reservations();
  const register = (): number => reservations.register(new FreeListAllocator(16));
  expect([register(), register(), register()]).toEqual([0, 1, 2]);
  reservations.unregister(1);
  expect([register(), register()]).toEqual([1, 3]);
});

test('who has nothing has nothing to give back', () => {
  const modelled = new Modelled(2);
  modelled.add(3, 0, 100);
  const [[, , offset]] = modelled.reserved as [Reserved];
  modelled.reservations.release(3, 1, offset);
  modelled.reservations.release(3, 0, offset + 16);
  modelled.reservations.release(4, 0, offset);
  modelled.reservations.releaseAll(5);
  modelled.reservations.releaseAll(100_000);
  modelled.reservations.forget(100_000);
  expect(modelled.reservations.has(100_000, 0, 0)).toBe(false);
  modelled.verify();
});

test('20 bytes for a code object with one segment, and those are used again', () => {
  const modelled = new Modelled(1);
  for (let object = 0; object < 4000; object++) modelled.add(object, 0, 16);
  const { bookkeepingBytes } = modelled.reservations;
  expect(bookkeepingBytes).toBeGreaterThanOrEqual(4000 * 20);
  expect(bookkeepingBytes).toBeLessThanOrEqual(4000 * 20 * 1.6);
  for (let i = 0; i < 10_000; i++) {
    modelled.reservations.releaseAll(i % 4000);
    modelled.reservations.add(i % 4000, 0, modelled.allocators[0]!.allocate(16, 16)!, 16);
  }
  expect(modelled.reservations.bookkeepingBytes).toBe(bookkeepingBytes);
});

test(`random changes (SEED=${seed})`, () => {
  const random = randomIntegers();
  const modelled = new Modelled(3);
  for (let step = 0; step < 3000; step++) {
    const each = modelled.reserved[random(modelled.reserved.length)];
    const kind = random(10);
    if (kind < 6) modelled.add(random(150), random(3), 1 + random(200));
    else if (kind < 9 && each !== undefined) modelled.release(each);
    else modelled.releaseAll(random(150));
    if (step % 200 === 0) modelled.verify();
  }
  for (let object = 0; object < 150; object++) modelled.releaseAll(object);
  modelled.verify();
  expect(modelled.allocators.map(({ largestFreeBytes }) => largestFreeBytes)).toEqual([capacity, capacity, capacity]);
});

describe('mend', () => {
  test(`keeps what live code objects have, and nothing else (SEED=${seed})`, () => {
    const random = randomIntegers();
    const modelled = new Modelled(3);
    for (let i = 0; i < 300; i++) modelled.add(random(100), random(3), 1 + random(200));
    const { bookkeepingBytes } = modelled.reservations;
    for (let round = 0; round < 20; round++) {
      const dead = new Set(Array.from({ length: 8 }, () => random(100)));
      const forgotten = random(100);
      modelled.reservations.forget(forgotten);
      modelled.allocators[round % 3]!.allocate(48, 16); // nobody's
      modelled.reservations.mend([0, 1, 2], (object) => !dead.has(object));
      modelled.reserved = modelled.reserved.filter(([object]) => !dead.has(object) && object !== forgotten);
      modelled.verify();
      while (modelled.reserved.length < 280) modelled.add(random(100), random(3), 1 + random(200));
      modelled.verify();
    }
    expect(modelled.reservations.bookkeepingBytes).toBe(bookkeepingBytes);
  });

  test("forgets allocators that are nobody's", () => {
    const modelled = new Modelled(3);
    for (const number of [0, 1, 2]) modelled.add(7, number, 64);
    modelled.reservations.mend([0, 2], () => true);
    expect(modelled.allocators.map(({ usedBytes }) => usedBytes)).toEqual([64, 64, 64]);
    modelled.reservations.releaseAll(7);
    expect([0, 2].map((number) => modelled.allocators[number]!.usedBytes)).toEqual([0, 0]);
    expect(modelled.reservations.register(new FreeListAllocator(16))).toBe(1);
  });
});
