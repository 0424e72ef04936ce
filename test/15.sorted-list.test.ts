/**
 * SortedList against a sorted array.
 */
import { SortedList } from '../lib/space/sorted-list';
import { randomIntegers, seed } from './support/random';

/** Numbers 1, 4, 7, ...; they fill several chunks. */
function listOf(numbers: readonly number[]): SortedList<number> {
  const list = new SortedList<number>((a, b) => a - b);
  for (const each of numbers) list.add(each);
  return list;
}

const odd = Array.from({ length: 600 }, (_, i) => 2 * i + 1);

/** Every question, asked of both. */
function expectSame(list: SortedList<number>, model: readonly number[], probes: readonly number[]): void {
  expect([...list]).toEqual(model);
  expect([list.length, list.last]).toEqual([model.length, model.at(-1)]);
  for (const probe of probes) {
    const from = model.filter((each) => each >= probe);
    expect([list.ceiling(probe), list.below(probe)]).toEqual([from[0], model.findLast((each) => each < probe)]);
    for (const tries of [0, 1, 3, 200, Infinity]) {
      const isWanted = (each: number): boolean => each % 7 === 0;
      expect(list.find(probe, isWanted, tries)).toBe(from.slice(0, tries).find(isWanted));
    }
  }
}

test('an empty list has nothing', () => {
  expectSame(listOf([]), [], [0, 1]);
});

test.each([
  ['ascending', odd],
  ['descending', [...odd].reverse()],
  ['from both ends', odd.map((_, i) => (i % 2 === 0 ? odd[i / 2]! : odd[odd.length - (i + 1) / 2]!))],
])('numbers that come %s', (_, numbers) => {
  const list = listOf(numbers);
  const probes = Array.from({ length: 1204 }, (__, i) => i - 1);
  expectSame(
    list,
    odd,
    probes.filter((probe) => probe < 5 || probe > 1195 || probe % 13 === 0),
  );
  for (const probe of probes) expect(list.ceiling(probe)).toBe(odd.find((each) => each >= probe));
  for (const each of odd) list.delete(each);
  expectSame(list, [], [0]);
  list.add(3);
  expectSame(list, [3], [2, 3, 4]);
});

test('what asks for an item is asked in order, and no more often than it may be', () => {
  const asked: number[] = [];
  const list = listOf(odd);
  list.find(241, (each) => asked.push(each) < 0, 30);
  expect(asked).toEqual(odd.slice(120, 150));
});

test(`random changes (SEED=${seed})`, () => {
  const random = randomIntegers();
  const list = listOf([]);
  let model: number[] = [];
  for (let step = 0; step < 6000; step++) {
    const item = random(2000);
    const grows = Math.floor(step / 1500) % 2 === 0;
    if (!model.includes(item) && (grows || random(4) === 0)) {
      list.add(item);
      model = [...model, item].sort((a, b) => a - b);
    } else if (model.length > 0 && (!grows || random(3) === 0)) {
      const [gone] = model.splice(random(model.length), 1);
      list.delete(gone!);
    }
    if (step % 100 === 0) expectSame(list, model, [random(2000), model.at(-1) ?? 0, (model.at(-1) ?? 0) + 1, model[0] ?? 0]);
  }
  expect(model.length).toBeLessThan(600);
});
