/**
 * An LZ4 frame written and read back piece by piece. The package's decoder in JavaScript reads it too.
 */
import { createHash } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { join } from 'node:path';
import { root } from '../build';
import type { Program, Step } from '../program';

interface Driver {
  frame_begin(out: Buffer, capacity: number): number;
  frame_update(out: Buffer, capacity: number, input: Buffer, size: number): number;
  frame_end(out: Buffer, capacity: number): number;
  frame_read(out: Buffer, capacity: number, input: Buffer, size: number): number;
  frame_ratio(): number;
  frame_close(): number;
}

/** What the package's JavaScript offers; it is not meant to be imported, and its types don't list it. */
interface Decoder {
  uncompress(input: Buffer, output: Buffer): number;
}
interface Checksums {
  blockChecksum(bytes: Buffer): number;
}

const pieceBytes = 192 * 1024;
const headerBytes = 7;

function* steps(driver: Driver): Generator<Step> {
  const input = readFileSync(join(root, 'node_modules/tree-sitter-javascript/src/parser.c'));
  const out = Buffer.alloc(2 * pieceBytes);
  const back = Buffer.alloc(2 * pieceBytes);
  const frame: Buffer[] = [];
  const keep = (size: number): Buffer => {
    if (size < 0) throw new Error('lz4 reports an error');
    const bytes = Buffer.from(out.subarray(0, size));
    frame.push(bytes);
    return bytes;
  };

  const header = keep(driver.frame_begin(out, out.length));
  yield { call: 'begin', result: header.length, expected: headerBytes };
  yield { call: 'read the header', result: driver.frame_read(back, back.length, header, header.length), expected: 0 };
  for (let at = 0; at < input.length; at += pieceBytes) {
    const piece = input.subarray(at, at + pieceBytes);
    const packed = keep(driver.frame_update(out, out.length, piece, piece.length));
    yield { call: `compress ${piece.length} bytes`, result: `${packed.length} bytes ${digest(packed)}` };
    const size = driver.frame_read(back, back.length, packed, packed.length);
    yield { call: 'read them back', result: digest(back.subarray(0, Math.max(size, 0))), expected: digest(piece) };
  }
  const tail = keep(driver.frame_end(out, out.length));
  yield { call: 'end', result: driver.frame_read(back, back.length, tail, tail.length), expected: 0 };
  const whole = Buffer.concat(frame);
  yield { call: 'decode in JavaScript', result: digest(decode(whole, input.length)), expected: digest(input) };
  yield { call: 'ratio', result: driver.frame_ratio(), expected: input.length / whole.length };
  yield { call: 'close', result: driver.frame_close(), expected: 0 };
}

function digest(bytes: Buffer): string {
  return createHash('sha256').update(bytes).digest('hex').slice(0, 16);
}

/** The content of a frame of independent blocks; throws if its checksum is wrong. */
function decode(frame: Buffer, size: number): Buffer {
  const require = createRequire(join(root, 'package.json'));
  const decoder = require('lz4/lib/binding.js') as Decoder;
  const checksums = require('lz4/lib/utils-js.js') as Checksums;
  const content = Buffer.alloc(size);
  let at = headerBytes;
  let filled = 0;
  for (let length = frame.readUInt32LE(at); length !== 0; length = frame.readUInt32LE(at)) {
    const bytes = length & 0x7fffffff;
    const block = frame.subarray(at + 4, at + 4 + bytes);
    const isStored = length > bytes;
    filled += isStored ? block.copy(content, filled) : decoder.uncompress(block, content.subarray(filled));
    at += 4 + bytes;
  }
  if (frame.readUInt32LE(at + 4) !== checksums.blockChecksum(content)) throw new Error('the frame has a wrong checksum');
  return content.subarray(0, filled);
}

export const lz4: Program = {
  name: 'lz4',
  about: 'a frame compressed and read back, its contexts on the C heap',
  packages: ['lz4'],
  licence: 'BSD-2-Clause',
  sources: [{ name: 'frame', file: 'examples/demo/drivers/frame.c', include: ['node_modules/lz4/deps/lz4/lib'] }],
  moves: 'code',
  optLevel: 1,
  steps: (functions) => steps(functions as unknown as Driver),
};
