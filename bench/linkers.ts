/**
 * What each linker and each way to keep code movable costs: two linkers, three ways.
 *
 * In: SQLite, and a tiny function. Out: bytes kept for moving, time to move, time to the first call. Always true: the same text at the same
 * level for all six; code objects of `retain: 'none'` don't move.
 */
import { readFileSync } from 'node:fs';
import { Jit, type CodeObject, type CodeSpace } from 'nomad-jit';
import { collectGarbage, interleave, nanoseconds, requireEqual, Sample, type Contender } from './measure';
import { requireResults, sqlite } from './large';
import type { Row } from './report';
import { resultOf, sourceOf } from './tiny';

const kinds = (['jitlink', 'runtimedyld'] as const).flatMap((linker) =>
  (['relocations', 'object', 'none'] as const).map((retain) => ({ linker, retain, name: `${linker}, ${retain}` })),
);
type Kind = (typeof kinds)[number];

// The code matters here, not how good it is.
const optLevel = 0;
const leastSpeedUp = 50;
const tinyPerRound = 20;

interface Subject extends Kind {
  readonly jit: Jit;
  readonly space: CodeSpace;
  readonly large: CodeObject;
  readonly tiny: CodeObject;
}

async function makeSubject(kind: Kind, bitcode: Uint8Array): Promise<Subject> {
  const { linker, retain, name } = kind;
  const jit = new Jit({ linker, optLevel });
  const size = 32 * 2 ** 20;
  const space = jit.createSpace({ codeBytes: size, constantBytes: size / 2, dataBytes: size / 2 });
  const large = await jit.compileAsync(bitcode, { name: `sqlite ${name}`, retain });
  large.place(space.allocate(large));
  requireResults(large);
  const tiny = jit.compile(sourceOf(0), { retain });
  tiny.place(space.allocate(tiny));
  return { ...kind, jit, space, large, tiny };
}

/** Moves between two places; microseconds a move. */
function mover({ space }: Subject, object: CodeObject, count: number): Contender {
  const places = [space.allocate(object), space.allocate(object)].map(({ code }) => ({ space, code }));
  let half = 0;
  return () =>
    nanoseconds(() => {
      for (let i = 0; i < count; i++) object.relocate(places[(half = 1 - half)]!);
    }) /
    count /
    1000;
}

/** From IR text to the first result of a function that JS calls; microseconds. */
function firstCaller({ jit, retain, space }: Subject): Contender {
  let number = 1;
  return () => {
    const i = number++;
    const source = sourceOf(i);
    let object: CodeObject | undefined;
    const time = nanoseconds(() => {
      object = jit.compile(source, { retain });
      object.place(space.allocate(object));
      requireEqual(`f${i}(3, 4)`, object.get(`f${i}`)(3, 4), resultOf(i));
    });
    object?.free();
    return time / 1000;
  };
}

function exactly(figure: string, unit: string, value: number): Row {
  return { figure, unit, ours: Sample.exactly(value) };
}

function keptRows({ name, large, tiny }: Subject): Row[] {
  const megabytes = (large.sizes.code / 1e6).toFixed(2);
  return [
    exactly(`kept, tiny function: ${name}`, 'bytes', tiny.relocationBytes),
    exactly(`kept, ${megabytes} MB of code: ${name}`, 'bytes', large.relocationBytes),
  ];
}

async function measured(
  subjects: readonly Subject[],
  make: (subject: Subject) => Contender,
  rounds: number,
): Promise<Map<string, Sample>> {
  collectGarbage();
  const samples = await interleave(Object.fromEntries(subjects.map((subject) => [subject.name, make(subject)])), {
    rounds,
    warmUp: 3,
  });
  return new Map(Object.entries(samples));
}

function moveRows(what: string, samples: ReadonlyMap<string, Sample>, isJudged: boolean): Row[] {
  return [...samples].map(([name, ours]) => {
    const again = samples.get(name.replace('relocations', 'object'));
    if (again === undefined || again === ours) return { figure: `move ${what}: ${name}`, unit: 'us', ours };
    return {
      figure: `move ${what}: ${name}`,
      ...{ unit: 'us', ours, peer: { name: 'emitting the object again', sample: again } },
      ...(isJudged ? { reach: { of: 'ratio' as const, most: 1 / leastSpeedUp } } : {}),
    };
  });
}

export async function linkers(): Promise<Row[]> {
  const bitcode = readFileSync(sqlite().bitcode);
  const subjects: Subject[] = [];
  for (const kind of kinds) subjects.push(await makeSubject(kind, bitcode));
  const movable = subjects.filter(({ retain }) => retain !== 'none');
  const tiny = await measured(movable, (subject) => mover(subject, subject.tiny, tinyPerRound), 51);
  const large = await measured(movable, (subject) => mover(subject, subject.large, 1), 15);
  for (const subject of movable) requireResults(subject.large);
  const first = await measured(subjects, firstCaller, 101);
  const megabytes = (subjects[0]!.large.sizes.code / 1e6).toFixed(2);
  const rows = [
    ...subjects.flatMap(keptRows),
    ...moveRows('tiny function', tiny, false),
    ...moveRows(`${megabytes} MB of code`, large, true),
    ...[...first].map(([name, ours]): Row => ({
      figure: `first call of a tiny function, O${optLevel}: ${name}`,
      unit: 'us',
      ours,
    })),
  ];
  for (const { jit } of subjects) jit.dispose();
  return rows;
}
