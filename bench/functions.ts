/**
 * A module of a thousand tiny functions, compiled function by function, beside LLVM compiling and linking the module whole.
 *
 * In: nothing. Out: microseconds a function. Always true: both parse, verify, optimise, generate and link the same text; ours are a thousand
 * code objects, placed.
 */
import { Jit, type CompileResult } from 'nomad-jit';
import { collectGarbage, interleave, nanoseconds, requireEqual, Sample } from './measure';
import { LlvmPeer } from './peers';
import type { Row } from './report';
import { resultOf, sourceOf } from './tiny';

const perModule = 1000;
const rounds = { rounds: 15, warmUp: 2 };
const leastRatio = 1.15;
const lookupCount = 2000;

async function atLevel(peer: LlvmPeer, level: 0 | 2): Promise<Row> {
  using jit = new Jit({ optLevel: level });
  const space = jit.createSpace({ codeBytes: 64 << 20 });
  const kept: CompileResult[] = [];
  let next = 0;
  let peerNext = 0;
  const ours = (): number => {
    const first = (next += perModule);
    const source = Array.from({ length: perModule }, (_, i) => sourceOf(first + i)).join('');
    return (
      nanoseconds(() => {
        const parts = jit.compile(source, { granularity: 'function' }).place(space);
        kept.push(parts);
        requireEqual(`f${first}(3, 4)`, parts.get(`f${first}`)(3, 4), resultOf(first));
        requireEqual('code objects', parts.objects.length, perModule + 1);
      }) /
      perModule /
      1000
    );
  };
  const whole = async (): Promise<number> => {
    peerNext += perModule;
    return Number(await peer.ask(`module ${level} ${peerNext} ${perModule}`)) / perModule / 1000;
  };
  collectGarbage();
  const samples = await interleave({ ours, whole }, rounds);
  return {
    figure: `compile a module of 1,000 functions function by function, O${level}: each`,
    ...{ unit: 'us', ours: samples.ours, peer: { name: 'LLVM layers, whole', sample: samples.whole } },
    reach: { of: 'ratio', most: leastRatio },
  };
}

/** What is looked up: functions of one code object, and of a module of as many as it has functions. */
function lookups(): Row[] {
  using jit = new Jit({ optLevel: 0 });
  const source = Array.from({ length: lookupCount }, (_, i) => sourceOf(i)).join('');
  const names = [`f${lookupCount - 1}`, 'f7'] as const;
  const row = (figure: string, from: { get: (name: string) => (...values: number[]) => unknown }): Row => {
    for (const name of names) requireEqual(name, from.get(name)(3, 4), resultOf(Number(name.slice(1))));
    const once = (): number =>
      nanoseconds(() => {
        for (let i = 0; i < lookupCount; i++) from.get(names[i % 2]!);
      }) /
      lookupCount /
      1000;
    const times = Array.from({ length: 2 * rounds.rounds }, once).slice(rounds.rounds);
    return { figure, unit: 'us', ours: new Sample(times), reach: { of: 'ours', most: 2 } };
  };
  return [
    row('get, two functions in turn of a code object with 2,000', jit.load(source)),
    row(
      '  the same of a module of 2,000 code objects',
      jit.compile(source, { granularity: 'function' }).place(jit.createSpace({ codeBytes: 1 << 20 })),
    ),
  ];
}

export async function functions(): Promise<Row[]> {
  const peer = new LlvmPeer();
  const rows = [await atLevel(peer, 2), await atLevel(peer, 0)];
  await peer.stop();
  return [...rows, ...lookups()];
}
