/**
 * Where code is generated, and within which limits.
 *
 * In: `isolation` and `compileLimits` as users write them. Out: the same as native code takes them.
 */
import { integerBetween, oneOf, optionsObject } from '../base/check';
import { UnsupportedError } from '../base/errors';

/** Where code is generated. */
export type Isolation = 'none' | 'process';

/** How long a compile may take, and how much memory; without a value there is no limit. */
export interface CompileLimits {
  /** From 1 to 2^31 - 1. */
  milliseconds?: number | undefined;
  /** Of address space, besides what the helper process has: from 16 MiB. */
  bytes?: number | undefined;
}

/** The options about it. */
interface IsolationOptions {
  isolation?: Isolation | undefined;
  compileLimits?: CompileLimits | undefined;
}

/** Checked `isolation` and `compileLimits`, as native code takes them: 0 is no limit. */
export interface Confinement {
  readonly isolated: boolean;
  readonly limitMilliseconds: number;
  readonly limitBytes: number;
}

const mebibyte = 2 ** 20;

/** Throws TypeError, RangeError; UnsupportedError for limits of what is compiled in this process. */
export function confinementOf(options: IsolationOptions, ofJit?: Confinement): Confinement {
  const isolation = oneOf('isolation', options.isolation ?? (ofJit?.isolated === true ? 'process' : 'none'), ['none', 'process']);
  const { milliseconds, bytes } = optionsObject('compileLimits', options.compileLimits);
  const given = {
    isolated: isolation === 'process',
    limitMilliseconds:
      milliseconds === undefined ? 0 : integerBetween('compileLimits.milliseconds', milliseconds, 1, 2 ** 31 - 1),
    limitBytes: bytes === undefined ? 0 : integerBetween('compileLimits.bytes', bytes, 16 * mebibyte, Number.MAX_SAFE_INTEGER),
  };
  if (!given.isolated && (milliseconds ?? bytes) !== undefined)
    throw new UnsupportedError("compileLimits need isolation: 'process'; a compile in this process can't be stopped");
  return options.compileLimits === undefined && ofJit !== undefined && given.isolated ? ofJit : given;
}
