/**
 * Constants and data of managed code objects: placed once, unless they move with their code (`moves: 'all'`).
 *
 * In: handles. Out: offsets in the arena's ranges. Always true: a code object without such segments has no entry here.
 */
import { CodeRecord, type Code } from '../record/code-record';
import type { JitCore } from '../jit/core';
import { SpaceFullError } from '../base/errors';
import type { Handle } from '../base/native';
import type { PerSegment } from '../base/segments';
import { FreeListAllocator } from '../space/free-list';
import type { Region } from '../space/arena';
import { makeOwnedRegion } from '../space/code-space';
import { disposeRegion } from '../space/reserve';

/** One code object's. Offsets are -1 where there is no such segment. */
export interface Parts {
  readonly constants: number;
  readonly constantBytes: number;
  data: number;
  readonly dataBytes: number;
  readonly dataAlignment: number;
  readonly movesData: boolean;
}

type Name = 'constants' | 'data';

/** Those of one collector. */
export class FixedParts {
  readonly #parts = new Map<Handle, Parts>();
  readonly #core: JitCore;
  readonly #region: Region;
  readonly #bases: Readonly<Record<Name, number>>;
  readonly #allocators: Readonly<Record<Name, FreeListAllocator>>;

  constructor(core: JitCore, sizes: PerSegment<number>) {
    this.#core = core;
    this.#region = makeOwnedRegion(core, { ...sizes, code: 0 });
    const { constants, data } = this.#region.ranges;
    this.#bases = { constants: constants.base, data: data.base };
    this.#allocators = { constants: new FreeListAllocator(sizes.constants), data: new FreeListAllocator(sizes.data) };
  }

  get(handle: Handle): Parts | undefined {
    return this.#parts.get(handle);
  }

  /** Reserves what `object` needs beside its code. Throws SpaceFullError; then nothing has changed. */
  add(handle: Handle, object: Code): Parts | undefined {
    const constantBytes = CodeRecord.bytesOf(object, 'constants');
    const dataBytes = CodeRecord.bytesOf(object, 'data');
    if (constantBytes === 0 && dataBytes === 0) return undefined;
    const constants = this.#take(object, 'constants', constantBytes);
    const data = this.#takeOrUndo(object, dataBytes, () => this.#release('constants', constants, constantBytes));
    const parts = {
      constants,
      constantBytes,
      data,
      dataBytes,
      dataAlignment: CodeRecord.alignmentOf(object, 'data'),
      movesData: CodeRecord.statusOf(object).moves === 'all',
    };
    this.#parts.set(handle, parts);
    return parts;
  }

  /** Throws what `add` would throw. */
  test(object: Code): void {
    for (const name of ['constants', 'data'] as const) {
      const bytes = CodeRecord.bytesOf(object, name);
      if (bytes > 0 && !this.#allocators[name].fits(bytes, CodeRecord.alignmentOf(object, name)))
        throw this.#full(object, name, bytes);
    }
  }

  /** A second place for data that move, or -1 if there is none: they stay then. */
  takeData({ dataBytes, dataAlignment, movesData }: Parts): number {
    if (!movesData || dataBytes === 0) return -1;
    const offset = this.#allocators.data.allocate(dataBytes, dataAlignment);
    return offset === undefined ? -1 : this.#bases.data + offset;
  }

  releaseData(offset: number, { dataBytes }: Parts): void {
    this.#release('data', offset, dataBytes);
  }

  /** A change was left in the middle: `dataOf` says where the data of those are that are still managed; all else is free. */
  mend(dataOf: (handle: Handle) => number | undefined): void {
    const used: Record<Name, Array<{ base: number; limit: number }>> = { constants: [], data: [] };
    const note = (name: Name, offset: number, bytes: number): void => {
      const base = offset - this.#bases[name];
      if (bytes > 0) used[name].push({ base, limit: base + bytes });
    };
    for (const [handle, parts] of this.#parts) {
      const data = dataOf(handle);
      if (data === undefined) {
        this.#parts.delete(handle);
        continue;
      }
      parts.data = data;
      note('constants', parts.constants, parts.constantBytes);
      note('data', data, parts.dataBytes);
    }
    this.#allocators.constants.mend(used.constants);
    this.#allocators.data.mend(used.data);
  }

  delete(handle: Handle): void {
    const parts = this.#parts.get(handle);
    if (parts === undefined) return;
    this.#release('constants', parts.constants, parts.constantBytes);
    this.#release('data', parts.data, parts.dataBytes);
    this.#parts.delete(handle);
  }

  dispose(): void {
    disposeRegion(this.#core, this.#region);
  }

  #takeOrUndo(object: Code, bytes: number, undo: () => void): number {
    try {
      return this.#take(object, 'data', bytes);
    } catch (error) {
      undo();
      throw error;
    }
  }

  #take(object: Code, name: Name, bytes: number): number {
    if (bytes === 0) return -1;
    const offset = this.#allocators[name].allocate(bytes, CodeRecord.alignmentOf(object, name));
    if (offset !== undefined) return this.#bases[name] + offset;
    throw this.#full(object, name, bytes);
  }

  #full(object: Code, name: Name, bytes: number): SpaceFullError {
    const { largestFreeBytes } = this.#allocators[name];
    return new SpaceFullError(
      `the collector has no room for the ${name} of code object '${CodeRecord.nameOf(object)}': ${bytes} bytes requested, the largest free block has ${largestFreeBytes}`,
      { requestedBytes: bytes, largestFreeBytes },
    );
  }

  #release(name: Name, offset: number, bytes: number): void {
    if (offset >= 0 && bytes > 0) this.#allocators[name].release(offset - this.#bases[name], bytes);
  }
}
