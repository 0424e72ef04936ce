/**
 * Sources that wait for a second compile.
 *
 * In: IR text or bitcode. Out: the same, compressed meanwhile. Always true: what comes out is what went in, byte by byte.
 *
 * Deflate, because brotli makes text as short as functions are no smaller, and takes as long. Its window and tables fit in some ten
 * kilobytes that way, which is most of its time for a short source.
 */
import { deflateRawSync, inflateRawSync } from 'node:zlib';

const settings = { level: 6, memLevel: 5, windowBits: 14 };

/** A compressed source. */
export interface PackedSource {
  /** A byte a character: a Uint8Array of a hundred bytes costs as much again. */
  readonly bytes: string;
  readonly isText: boolean;
}

/** Compresses. */
export function pack(source: string | Uint8Array): PackedSource {
  const isText = typeof source === 'string';
  return { bytes: deflateRawSync(isText ? Buffer.from(source) : source, settings).toString('latin1'), isText };
}

/** Undoes `pack`. */
export function unpack({ bytes, isText }: PackedSource): string | Uint8Array {
  const source = inflateRawSync(Buffer.from(bytes, 'latin1'), settings);
  return isText ? source.toString() : source;
}
