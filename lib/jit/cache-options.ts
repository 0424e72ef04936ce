/**
 * The compile cache's option, checked.
 *
 * In: what users pass as `cache`. Out: a directory that exists, and how large it may grow. Always true: only this throws; whatever is wrong with
 * the directory later, code is compiled as without a cache.
 */
import { mkdirSync, statSync } from 'node:fs';
import { dirname, resolve } from 'node:path';
import { integerBetween, nonEmptyString, optionsObject } from '../base/check';

/** Where compiled code is kept for the next time, in this process or another. */
export interface CacheOptions {
  /** Made if it does not exist. Anyone who can write to this directory can run code in your process. */
  directory: string;
  /** What is used least goes when there is more, now and then. From 1 MiB; default 256 MiB. */
  maxBytes?: number | undefined;
}

/** Checked CacheOptions; no directory means no cache. */
export interface CacheSettings {
  readonly cacheDirectory: string;
  readonly cacheBytes: number;
}

const mebibyte = 2 ** 20;

/** Throws TypeError, RangeError. */
export function cacheSettings(cache: string | CacheOptions | undefined): CacheSettings {
  if (cache === undefined) return { cacheDirectory: '', cacheBytes: 0 };
  const { directory, maxBytes = 256 * mebibyte } =
    typeof cache === 'string' ? { directory: cache } : optionsObject('cache', cache);
  return {
    cacheBytes: integerBetween('cache.maxBytes', maxBytes, mebibyte, Number.MAX_SAFE_INTEGER),
    cacheDirectory: usableDirectory(nonEmptyString('cache.directory', directory)),
  };
}

function usableDirectory(path: string): string {
  try {
    const directory = resolve(path); // throws where there is no working directory any more
    makeDirectory(directory);
    return directory;
  } catch (cause) {
    const reason = cause instanceof Error ? cause.message : String(cause);
    throw new RangeError(`cache.directory must be a directory, or a path where one can be made: ${reason}`, { cause });
  }
}

/** With its parents. One at a time: where a parent takes no directories (`/proc`), Node's `recursive` never comes to an end. */
function makeDirectory(directory: string): void {
  if (isDirectory(directory)) return;
  const parent = dirname(directory);
  if (parent !== directory) makeDirectory(parent);
  try {
    mkdirSync(directory);
  } catch (error) {
    if (!isDirectory(directory)) throw error; // else another process was faster
  }
}

function isDirectory(path: string): boolean {
  return statSync(path, { throwIfNoEntry: false })?.isDirectory() === true;
}
