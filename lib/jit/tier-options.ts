/**
 * When code is worth a second, slower compile.
 *
 * In: options as users write them. Out: a policy with every default filled in.
 */
import { integerBetween, oneOf, optionsObject, show } from '../base/check';

/** Options of tiers. What is promoted is recompiled; so is what is hot, all functions of a code object counted together. */
export interface TierOptions {
  /**
   * Calls by JS that make it hot. Default 1000. Calls between compiled functions are not counted: a function that
   * is reached only that way is recompiled when it is promoted.
   */
  hotCalls?: number | undefined;
  /** Collections that find it on the stack, waiting for a host function, that make it hot. Default 2. */
  hotSamples?: number | undefined;
  /** What it is recompiled at. Default: the Jit's `optLevel`, or 2 if that is 0. */
  optLevel?: 1 | 2 | 3 | undefined;
}

/** Checked TierOptions. */
export interface TierPolicy {
  readonly hotCalls: number;
  readonly hotSamples: number;
  readonly optLevel: 1 | 2 | 3 | undefined;
}

const most = 2 ** 30;

/** undefined: no tiers. Throws TypeError, RangeError. */
export function tierPolicy(tier: boolean | TierOptions): TierPolicy | undefined {
  if (tier === false) return undefined;
  if (tier !== true && typeof tier !== 'object') throw new TypeError(`tier must be a boolean or an object, not ${show(tier)}`);
  const { hotCalls = 1000, hotSamples = 2, optLevel } = optionsObject<TierOptions>('tier', tier === true ? {} : tier);
  return {
    hotCalls: integerBetween('tier.hotCalls', hotCalls, 1, most),
    hotSamples: integerBetween('tier.hotSamples', hotSamples, 1, most),
    optLevel: optLevel === undefined ? undefined : oneOf('tier.optLevel', optLevel, [1, 2, 3] as const),
  };
}
