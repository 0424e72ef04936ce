/**
 * What the figures compare with: built by CMake into build-bench/, or installed from npm.
 *
 * In: nothing. Out: the LLVM peer as a process that answers requests, the Node-API peer as a module. Always true: what is up to date is
 * not built again (ninja decides).
 */
import { spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, mkdirSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { createInterface } from 'node:readline';
import { template } from './tiny';

export const root = resolve(__dirname, '..');
export const cache = join(root, 'build-bench');
const binaries = join(cache, 'Release');

/** The Node-API peer's file; koffi calls the functions that it exports by name. */
export const napiPeerFile = join(binaries, 'napi_peer.node');

/** bench/native/napi_peer.cpp. */
export interface NapiPeer {
  readonly addI32: (a: number, b: number) => number;
  readonly addF64: (a: number, b: number) => number;
  readonly addI64: (a: bigint, b: bigint) => bigint;
  /** Has no arguments and no result. */
  readonly nothing: () => void;
  /** Copies bytes from one area to another, the next time back. */
  readonly copy: (bytes: number) => void;
  /** The sum of `f(i, 3)` over i below `count`. */
  readonly callJs: (f: (a: number, b: number) => number, count: number) => number;
}

let isBuilt = false;

/** Builds the C++ peers unless they are up to date. */
export function buildPeers(): void {
  if (isBuilt) return;
  mkdirSync(cache, { recursive: true });
  if (!existsSync(napiPeerFile)) console.error('bench   building the peers into build-bench (half a minute)');
  const cmakeJs = require.resolve('cmake-js/bin/cmake-js', { paths: [root] });
  run(process.execPath, [cmakeJs, 'build', '-O', cache, '--CDNOMAD_BENCH=ON', '-T', 'bench_peers']);
  isBuilt = true;
}

export function loadNapiPeer(): NapiPeer {
  buildPeers();
  // eslint-disable-next-line @typescript-eslint/no-require-imports -- a native addon can only be required
  return require(napiPeerFile) as NapiPeer;
}

/** Runs a command to its end and returns what it printed; throws with all of its output if it fails. */
export function run(command: string, args: readonly string[]): string {
  const { status, error, stdout, stderr } = spawnSync(command, args, { cwd: root, encoding: 'utf8', maxBuffer: 2 ** 28 });
  if (status === 0) return stdout;
  throw new Error(`${command} ${args.join(' ')} failed: ${error?.message ?? ''}\n${stdout}${stderr}`);
}

/** bench/native/llvm_peer.cpp as a process. */
export class LlvmPeer {
  readonly #process;
  readonly #lines;

  constructor() {
    buildPeers();
    this.#process = spawn(join(binaries, 'llvm_peer'), [template], { stdio: ['pipe', 'pipe', 'inherit'] });
    this.#lines = createInterface(this.#process.stdout)[Symbol.asyncIterator]();
  }

  /** Sends one request and waits for its answer. */
  async ask(request: string): Promise<string> {
    this.#process.stdin.write(`${request}\n`);
    const line = await this.#lines.next();
    if (line.done === true) throw new Error(`llvm_peer ended at '${request}'`);
    return line.value;
  }

  async stop(): Promise<void> {
    const ended = once(this.#process, 'exit');
    this.#process.stdin.end();
    await ended;
  }
}
