/**
 * The helper processes that read bitcode, as /proc shows them.
 *
 * In: process ids. Out: who is there. Always true: a process that has ended and waits to be fetched by its parent is not there.
 */
import { readdirSync, readFileSync } from 'node:fs';

interface Process {
  name: string;
  state: string;
  parent: number;
}

function processOf(pid: number): Process | undefined {
  try {
    const [, name = '', state = '', parent] = /\((.*)\) (\S) (\d+)/s.exec(readFileSync(`/proc/${pid}/stat`, 'utf8')) ?? [];
    return state === 'Z' || state === 'X' ? undefined : { name, state, parent: Number(parent) };
  } catch {
    return undefined;
  }
}

const readerName = 'nomad_bitcode_reader'.slice(0, 15); // what the kernel keeps of it

/** Whether this process is a reader that runs: an id may be somebody else's by now. */
export const running = (pid: number): boolean => processOf(pid)?.name === readerName;

/** The readers that `pid` has started; not the children in which they read. */
export function readersOf(pid: number): number[] {
  const pids = readdirSync('/proc').map(Number).filter(Number.isInteger);
  return pids.filter((each) => running(each) && processOf(each)?.parent === pid);
}

/** The file of the addon that this process has loaded. */
export function addonPath(): string {
  const path = /\/\S*nomad_jit\.node$/m.exec(readFileSync('/proc/self/maps', 'utf8'))?.[0];
  if (path === undefined) throw new Error('the addon is not loaded');
  return path;
}
