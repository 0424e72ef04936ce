/**
 * bench/scheme/chez_peer.ss as a process.
 *
 * In: requests. Out: numbers. Always true: it has compiled its procedures before the first answer.
 */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { root } from './peers';

/** Chez Scheme with `count` compiled procedures. */
export class ChezPeer {
  readonly #process;
  readonly #lines;

  constructor(count: number) {
    const script = join(root, 'bench/scheme/chez_peer.ss');
    this.#process = spawn('scheme', ['--script', script, String(count)], { stdio: ['pipe', 'pipe', 'inherit'] });
    this.#lines = createInterface(this.#process.stdout)[Symbol.asyncIterator]();
  }

  /** Sends one request and waits for its answer. */
  async ask(request: 'all' | 'half' | 'bytes' | 'check'): Promise<number> {
    this.#process.stdin.write(`${request}\n`);
    const line = await this.#lines.next();
    if (line.done === true) throw new Error(`chez_peer ended at '${request}'`);
    return Number(line.value);
  }

  async stop(): Promise<void> {
    const ended = once(this.#process, 'exit');
    this.#process.stdin.end();
    await ended;
  }
}
