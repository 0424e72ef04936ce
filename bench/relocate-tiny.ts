/**
 * Relocating 10,000 tiny code objects from JS: as a batch, and one by one.
 *
 * In: nothing. Out: nanoseconds a code object, everything in JS counted. Always true: every code object really moves, from one half of a space to
 * the other and back, and computes the same afterwards.
 */
import { Jit, type CodeObject, type CodeSpace, type Move, type Placement } from 'nomad-jit';
import { collectGarbage, interleave, nanoseconds, requireEqual, Sample } from './measure';
import type { Row } from './report';
import { resultOf, sourceOf } from './tiny';

const count = 10_000;
const granule = 16;
const rounds = { rounds: 51, warmUp: 10 };

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
function timed(field: Field, move: (half: number) => void): () => number {
  return () => {
    field.half = 1 - field.half;
    return nanoseconds(() => move(field.half)) / count;
  };
}

/** The three ways to move everything to a half. `inNative` receives what the move report tells of each prepared batch. */
function ways(jit: Jit, field: Field, inNative: number[]): Record<'batch' | 'built' | 'each', (half: number) => void> {
  const { objects, space, strideBytes } = field;
  const places = [placements(field, 0), placements(field, 1)];
  const prepared = places.map((half) => half.map((to, i): Move => [objects[i]!, to]));
  return {
    batch: (half) => inNative.push(jit.relocate(prepared[half]!).nanoseconds / count),
    built: (half) => {
      const moves: Move[] = [];
      for (let i = 0; i < count; i++) moves.push([objects[i]!, { space, code: (half * count + i) * strideBytes }]);
      jit.relocate(moves);
    },
    each: (half) => {
      const to = places[half]!;
      for (let i = 0; i < count; i++) objects[i]!.relocate(to[i]!);
    },
  };
}

export async function relocateTiny(): Promise<Row[]> {
  using jit = new Jit();
  const field = makeField(jit);
  const inNative: number[] = [];
  const { batch, built, each } = ways(jit, field, inNative);
  collectGarbage();
  const contenders = { batch: timed(field, batch), built: timed(field, built), each: timed(field, each) };
  const samples = await interleave(contenders, rounds);
  requireResults(field);
  const native = new Sample(inNative.slice(rounds.warmUp));
  return [
    {
      figure: 'relocate 10,000 tiny code objects as one batch',
      unit: 'ns',
      ours: samples.batch,
      reach: { of: 'ours', most: 60 },
    },
    { figure: '  the native part of it', unit: 'ns', ours: native },
    { figure: '  the same, placements built in the loop', unit: 'ns', ours: samples.built },
    { figure: 'relocate 10,000 tiny code objects one by one', unit: 'ns', ours: samples.each, reach: { of: 'ours', most: 400 } },
  ];
}
