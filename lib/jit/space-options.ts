/**
 * How large a new space is.
 *
 * In: options as users write them. Out: sizes and a policy.
 */
import { integerBetween, oneOf, optionsObject } from '../base/check';
import { perSegment, type PerSegment } from '../base/segments';
import type { AllocationPolicy } from '../space/arena';
import type { JitCore } from './core';
import { arenaGranule, maximumArenaBytes } from './jit-options';

const mebibyte = 2 ** 20;
const defaultSpaceBytes = { code: 16 * mebibyte, constants: 4 * mebibyte, data: 8 * mebibyte };

/** Options of `createSpace`; sizes in bytes, rounded up to whole pages. */
export interface SpaceOptions {
  codeBytes?: number | undefined;
  constantBytes?: number | undefined;
  dataBytes?: number | undefined;
  /** Default 'free-list'. */
  allocator?: AllocationPolicy | undefined;
}

/**
 * Sizes of a new space. One that is not given is 16 MiB of code, 4 MiB of constants, 8 MiB of data, or half of what the arena has left if
 * that is less. Throws TypeError, RangeError.
 */
export function spaceSettings(
  core: JitCore,
  options: SpaceOptions | undefined,
): { sizes: PerSegment<number>; policy: AllocationPolicy } {
  const { codeBytes, constantBytes, dataBytes, allocator = 'free-list' } = optionsObject('options', options);
  const given = { code: codeBytes, constants: constantBytes, data: dataBytes };
  const names = { code: 'codeBytes', constants: 'constantBytes', data: 'dataBytes' };
  core.requireLive('createSpace'); // getters may have done anything
  const half = halfOfArena(core);
  const sizes = perSegment((name) =>
    integerBetween(names[name], given[name] ?? Math.min(defaultSpaceBytes[name], half[name]), 0, maximumArenaBytes),
  );
  return { sizes, policy: oneOf('allocator', allocator, ['free-list', 'bump']) };
}

/** Half of the largest free block in each of the arena's ranges, in whole 64 KiB. */
export function halfOfArena(core: JitCore): PerSegment<number> {
  return perSegment((name) => Math.ceil(core.arena.largestFreeBytes(name) / 2 / arenaGranule) * arenaGranule);
}
