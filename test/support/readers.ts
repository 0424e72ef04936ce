/**
 * The helper processes that read bitcode, as /proc shows them.
 *
 * In: process ids. Out: who is there. Always true: a process that has ended and waits to be fetched by its parent is not there.
 */
import { readdirSync, readFileSync } from 'node:fs';

interface Process {
  name: string;
  parent: number;
  /** Processor time in user mode, in hundredths of a second. */
  ticks: number;
}

function processOf(pid: number): Process | undefined {
  try {
    const [, name = '', rest = ''] = /\((.*)\) (.*)/s.exec(readFileSync(`/proc/${pid}/stat`, 'utf8')) ?? [];
    const fields = rest.split(' '); // from the third of proc(5) on
    const state = fields[0]!;
    return state === 'Z' || state === 'X' ? undefined : { name, parent: Number(fields[1]), ticks: Number(fields[11]) };
  } catch {
    return undefined;
  }
}

const readerName = 'nomad_bitcode_reader'.slice(0, 15); // what the kernel keeps of it

/** Whether this process is a reader that runs: an id may be somebody else's by now. */
export const running = (pid: number): boolean => processOf(pid)?.name === readerName;

/** How long a process has worked, in hundredths of a second; 0 if it is not there. */
export const ticks = (pid: number): number => processOf(pid)?.ticks ?? 0;

/** The readers that `pid` has started, not the children in which they read: those are what readersOf(reader) gives. */
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
