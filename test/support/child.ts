/**
 * Scripts in a process of their own, where they may crash, exit or run out of memory.
 *
 * In: a script for `node -e`. Out: how the process ended, and what it printed. Always true: the script has `nomad` (the built package, in dist/)
 * and `programs` (test/support/programs.ts) in scope.
 */
import { spawn } from 'node:child_process';
import { join } from 'node:path';
import * as programs from './programs';

const root = join(__dirname, '../..');

/** How a child process ended. */
export interface ChildResult {
  /** Exit code; null if a signal ended it. */
  code: number | null;
  signal: NodeJS.Signals | null;
  stdout: string;
  stderr: string;
}

export interface ChildOptions {
  nodeOptions?: readonly string[];
  environment?: Record<string, string>;
  /** Shell commands before node starts, such as 'ulimit -v 4000000'. */
  before?: string;
}

const texts = Object.fromEntries(Object.entries(programs).filter(([, value]) => typeof value === 'string'));
export const prelude = `const nomad = require(${JSON.stringify(join(root, 'dist/index.js'))});
const programs = ${JSON.stringify(texts)};\n`;

/** Runs `script` to its end. */
export function runChild(
  script: string,
  { nodeOptions = [], environment = {}, before = ':' }: ChildOptions = {},
): Promise<ChildResult> {
  const shell = `${before}; exec "$0" "$@"`;
  // A bash whose standard input is a socket, as Node's are, reads the user's start-up file otherwise.
  const child = spawn('/bin/bash', ['--norc', '-c', shell, process.execPath, ...nodeOptions, '-e', prelude + script], {
    cwd: root,
    env: { ...process.env, NODE_OPTIONS: '', ...environment },
  });
  return new Promise((resolve, reject) => {
    let stdout = '';
    let stderr = '';
    child.stdout.on('data', (data: Buffer) => (stdout += data.toString('latin1')));
    child.stderr.on('data', (data: Buffer) => (stderr += data.toString('latin1')));
    child.on('error', reject);
    child.on('close', (code, signal) => resolve({ code, signal, stdout, stderr }));
  });
}

/** Runs a script that prints JSON on its last line; fails unless it exits with 0 and an empty stderr (`stderr: 'any'` allows more). */
export async function childResult<T>(script: string, { stderr, ...options }: ChildOptions & { stderr?: 'any' } = {}): Promise<T> {
  const result = await runChild(script, options);
  if (result.code !== 0 || (result.stderr !== '' && stderr !== 'any'))
    throw new Error(`child failed: ${JSON.stringify(result, undefined, 1).slice(0, 4000)}`);
  return JSON.parse(result.stdout.trimEnd().split('\n').at(-1) ?? '') as T;
}
