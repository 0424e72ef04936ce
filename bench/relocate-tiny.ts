/**
 * Relocating 10,000 tiny code objects from JS: as a batch, and one by one.
 *
 * In: nothing. Out: nanoseconds a code object, everything in JS counted. Always true: every code object really moves, from one half of a space to
 * the other and back, and computes the same afterwards.
 */
import { Jit, type CodeObject, type CodeSpace, type Move, type Placement } from 'nomad-jit';
import { collectGarbage, interleave, nanoseconds, requireEqual } from './measure';
import type { Row } from './report';
import { resultOf, sourceOf } from './tiny';

const count = 10_000;
const granule = 16;

/** Code objects in a row, with the places that they move between. */
interface Field {
  readonly space: CodeSpace;
  readonly objects: readonly CodeObject[];
  readonly strideBytes: number;
  /** Where they are: 0 or 1. */
  half: number;
}

function makeField(jit: Jit): Field {
  const objects = Array.from({ length: count }, (_, i) => jit.compile(sourceOf(i), { optLevel: 0 }));
  const strideBytes = Math.ceil(Math.max(...objects.map(({ sizes }) => sizes.code)) / granule) * granule;
  const space = jit.createSpace({ codeBytes: 2 * count * strideBytes, constantBytes: 0, dataBytes: 0 });
  objects.forEach((object, i) => object.place({ space, code: i * strideBytes }));
  return { space, objects, strideBytes, half: 0 };
}

function placements({ space, strideBytes }: Field, half: number): Placement[] {
  return Array.from({ length: count }, (_, i) => ({ space, code: (half * count + i) * strideBytes }));
}

function requireResults({ objects }: Field): void {
  for (let i = 0; i < count; i += 97) requireEqual(`f${i}(3, 4) after moves`, objects[i]!.get(`f${i}`)(3, 4), resultOf(i));
}

/** Times one way to move everything to the other half; a code object's share of it. */
function contender(field: Field, move: (half: number) => void): () => number {
  return () => {
    field.half = 1 - field.half;
    return nanoseconds(() => move(field.half)) / count;
  };
}

export async function relocateTiny(): Promise<Row[]> {
  using jit = new Jit();
  const field = makeField(jit);
  const { objects, space, strideBytes } = field;
  const places = [placements(field, 0), placements(field, 1)];
  const moves = places.map((half) => half.map((to, i): Move => [objects[i]!, to]));

  const relocateEach = (half: number): void => {
    const to = places[half]!;
    for (let i = 0; i < count; i++) objects[i]!.relocate(to[i]!);
  };
  const buildAndRelocate = (half: number): void => {
    const built: Move[] = [];
    for (let i = 0; i < count; i++) built.push([objects[i]!, { space, code: (half * count + i) * strideBytes }]);
    jit.relocate(built);
  };
  let native = 0;
  const relocateBatch = (half: number): void => {
    native = jit.relocate(moves[half]!).nanoseconds / count;
  };
  collectGarbage();
  const natives: number[] = [];
  const samples = await interleave(
    {
      batch: () => {
        const cost = contender(field, relocateBatch)();
        natives.push(native);
        return cost;
      },
      built: contender(field, buildAndRelocate),
      each: contender(field, relocateEach),
    },
    { rounds: 51, warmUp: 10 },
  );
  requireResults(field);
  const inside = natives.slice(-51).sort((a, b) => a - b)[25]!;
  return [
    {
      figure: 'relocate 10,000 tiny code objects, one batch',
      ...{ unit: 'ns', ours: samples.batch, reach: { of: 'ours', most: 60 } },
      note: `each; ${inside.toFixed(1)} ns of them in native code, by the move report`,
    },
    { figure: 'the same, placements built in the loop', unit: 'ns', ours: samples.built },
    { figure: 'relocate 10,000 tiny code objects, one by one', unit: 'ns', ours: samples.each, reach: { of: 'ours', most: 400 } },
  ];
}
