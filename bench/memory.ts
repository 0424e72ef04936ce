/**
 * Resident bytes per tiny function: 100,000 code objects here, 20,000 functions in stock LLJIT, each in a process of its own.
 *
 * In: nothing. Out: bytes. Always true: resident is what the kernel says, so everything counts, and the two views of the code's
 * memory count twice.
 */
import { join } from 'node:path';
import { Sample } from './measure';
import type { MemoryAnswer } from './memory-child';
import { LlvmPeer, root, run } from './peers';
import type { Row } from './report';

const count = 100_000;
const peerCount = 20_000;
const reach = { of: 'ours', most: 800 } as const;

function ours(): MemoryAnswer {
  const output = run(process.execPath, ['--expose-gc', '--import', 'tsx', join(root, 'bench/memory-child.ts'), String(count)]);
  return JSON.parse(output) as MemoryAnswer;
}

export async function memory(): Promise<Row[]> {
  const peer = new LlvmPeer();
  const [bytes = NaN, mappings = NaN] = (await peer.ask(`memory ${peerCount}`)).split(' ').map(Number);
  await peer.stop();
  const { placedBytes, callableBytes, withYoungBytes, mappings: oursMappings, parts } = ours();
  const stock = { name: `stock LLJIT, ${peerCount.toLocaleString('en')}`, sample: Sample.exactly(bytes) };
  return [
    {
      figure: 'resident bytes per tiny function, 100,000 of them, called once',
      ...{ unit: 'B', ours: Sample.exactly(placedBytes), peer: stock, reach },
      note: `${parts}; mappings: ours ${oursMappings} in all, stock LLJIT ${mappings} per function`,
    },
    {
      figure: "  the same, growth of V8's young generation counted",
      ...{ unit: 'B', ours: Sample.exactly(withYoungBytes), peer: stock },
    },
    {
      figure: '  with a Callable held for each, without that growth',
      ...{ unit: 'B', ours: Sample.exactly(callableBytes), peer: stock },
    },
  ];
}
