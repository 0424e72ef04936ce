/**
 * The freeing of what JS has forgotten, against a Jit of which a test says what is dead and what refers to what.
 */
import { setImmediate as turn } from 'node:timers/promises';
import { ObjectTable } from '../lib/record/object-table';

/** Handles from 1 to `count`, all dead. `references`: one is freed only when all that refer to it are. */
function world(count: number, references: ReadonlyArray<readonly [from: number, to: number]>) {
  const known = new Set<number>();
  const native = {
    keepTrack: (handle: number) => known.add(handle),
    loseTrack: (handles: Int32Array) => handles.forEach((handle) => known.delete(handle)),
    hasObject: (handle: number) => known.has(handle),
    objectOf: () => undefined,
    deadFirst(handles: Int32Array, length: number): number {
      const dead = handles.subarray(0, length).filter((handle) => known.has(handle));
      handles.set(dead);
      return dead.length;
    },
  };
  const passes: number[][] = [];
  const table = new ObjectTable(native as never, (handles) => {
    const isFree = (handle: number): boolean => !references.some(([from, to]) => to === handle && known.has(from));
    const freed = [...handles].filter(isFree);
    if (handles.length > 0) passes.push(freed);
    table.delete(Int32Array.from(freed));
    return [...handles].filter((handle) => !freed.includes(handle));
  });
  for (let handle = 1; handle <= count; handle++) table.add(handle, { id: handle });
  return { table, passes, known };
}

test('what could not be freed at first is, as soon as what refers to it has gone', async () => {
  const { table, passes } = world(4, [
    [1, 2],
    [2, 3],
    [3, 4],
  ]);
  table.noteJsCollection();
  await turn();
  expect(passes).toEqual([[1], [2], [3], [4]]);
});

test('what can not be freed is not tried again until something else has been', async () => {
  const { table, passes, known } = world(3, [
    [1, 2],
    [2, 1],
  ]);
  table.noteJsCollection();
  await turn();
  expect(passes).toEqual([[3], []]);
  table.add(5, { id: 5 });
  known.delete(1);
  table.delete(Int32Array.of(5));
  await turn();
  expect([passes.length, passes.at(-1)]).toEqual([3, [2]]);
});

test('what somebody has claimed is freed with the others, and is left to its claimant where that fails', async () => {
  const { table, passes, known } = world(4, [
    [9, 2],
    [1, 3],
  ]);
  known.add(9);
  const stop = table.onDead((handle) => handle <= 2);
  table.findDead();
  table.freeClaimed(Int32Array.of(1, 2));
  expect([passes, [...known].sort()]).toEqual([[[1, 4]], [2, 3, 9]]);
  await turn();
  expect(passes.at(-1)).toEqual([3]);
  stop();
  known.delete(9);
  table.forgetDead([2]);
  await turn();
  expect([...known]).toEqual([]);
});
