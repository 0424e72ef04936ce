/**
 * Compiling one tiny function, from IR text to a function that JS can call, beside LLVM alone in C++.
 *
 * In: nothing. Out: microseconds a function. Always true: both parse, verify, optimise at the level, generate and link the same text with a warm target
 * machine, keep what they made, and call it once.
 */
import { Jit, type CodeObject } from 'nomad-jit';
import { collectGarbage, interleave, nanoseconds, requireEqual } from './measure';
import { LlvmPeer } from './peers';
import type { Row } from './report';
import { resultOf, sourceOf } from './tiny';

const perRound = 200;
const rounds = { rounds: 31, warmUp: 4 };

async function atLevel(peer: LlvmPeer, level: 0 | 2): Promise<Row[]> {
  using jit = new Jit({ optLevel: level });
  const kept: CodeObject[] = [];
  const next = { ours: 0, layers: 0, lljit: 0 };
  const take = (name: keyof typeof next): number => (next[name] += perRound) - perRound;

  const ours = (): number => {
    const first = take('ours');
    return (
      nanoseconds(() => {
        for (let i = first; i < first + perRound; i++) {
          const object = jit.load(sourceOf(i));
          kept.push(object);
          requireEqual(`f${i}(3, 4)`, object.get(`f${i}`)(3, 4), resultOf(i));
        }
      }) /
      perRound /
      1000
    );
  };
  const ask = async (way: 'layers' | 'lljit'): Promise<number> =>
    Number(await peer.ask(`${way} ${level} ${take(way)} ${perRound}`)) / perRound / 1000;

  collectGarbage();
  const samples = await interleave({ ours, layers: () => ask('layers'), lljit: () => ask('lljit') }, rounds);
  const figure = `compile one tiny function, O${level}`;
  return [
    {
      ...{ figure, unit: 'us', ours: samples.ours, peer: { name: 'LLVM layers, C++', sample: samples.layers } },
      reach: { of: 'ratio', most: 1.2 },
    },
    { figure: '  the same beside LLJIT', unit: 'us', ours: samples.ours, peer: { name: 'LLJIT, C++', sample: samples.lljit } },
  ];
}

export async function compile(): Promise<Row[]> {
  const peer = new LlvmPeer();
  const rows = [...(await atLevel(peer, 0)), ...(await atLevel(peer, 2))];
  await peer.stop();
  return rows;
}
