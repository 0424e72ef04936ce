/**
 * SHA3-512 of a large file, piece by piece. The state between two pieces is data of the code object, and moves with it; node:crypto knows the
 * answer.
 */
import { createHash } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { root } from '../build';
import type { Program, Step } from '../program';

interface Driver {
  sha3_begin(): number;
  sha3_update(bytes: Buffer, length: number): number;
  sha3_final(digest: Buffer): number;
  sha3_peek(word: number): bigint;
}

const pieces = 32;

function* steps(driver: Driver): Generator<Step> {
  const input = readFileSync(join(root, 'node_modules/better-sqlite3/deps/sqlite3/sqlite3.c'));
  const pieceBytes = Math.ceil(input.length / pieces);
  yield { call: 'begin', result: driver.sha3_begin(), expected: 0 };
  for (let i = 0; i < pieces; i++) {
    const piece = input.subarray(i * pieceBytes, (i + 1) * pieceBytes);
    const error = driver.sha3_update(piece, piece.length);
    const word = BigInt.asUintN(64, driver.sha3_peek(i % 25));
    yield { call: `absorb ${piece.length} bytes`, result: error === 0 ? `state ${word.toString(16)}` : error };
  }
  const digest = Buffer.alloc(64);
  const error = driver.sha3_final(digest);
  const expected = createHash('sha3-512').update(input).digest('hex');
  yield { call: 'digest', result: error === 0 ? digest.toString('hex') : error, expected };
}

export const keccak: Program = {
  name: 'keccak',
  about: 'SHA3-512, its state in data that moves too',
  packages: ['keccak'],
  licence: 'CC0; one header by Brian Gladman, BSD-like',
  sources: [{ name: 'sponge', file: 'examples/demo/drivers/sponge.c', include: ['node_modules/keccak/src/libkeccak-64'] }],
  moves: 'all',
  optLevel: 1,
  steps: (functions) => steps(functions as unknown as Driver),
};
