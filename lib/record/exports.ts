/**
 * What code objects export, as native code describes it.
 *
 * In: a code object's id and handle. Out: its exports by name. Always true: native code is asked; only the last answer is kept.
 */
import type { Handle, NativeGlobal, NativeJit } from '../base/native';

/** An exported function as native code describes it. */
export interface ExportedFunction {
  readonly signature: number;
  readonly parameterNames: readonly string[];
}

/** The exports of one code object by name. */
export interface Exports {
  readonly owner: number;
  readonly functions: ReadonlyMap<string, ExportedFunction>;
  readonly globals: ReadonlyMap<string, NativeGlobal>;
}

/** Asks native code for the exports of a code object; remembers those of the last one only, because 100,000 maps would be too many. */
export class ExportCache {
  readonly #native: NativeJit;
  #last: Exports | undefined;

  constructor(native: NativeJit) {
    this.#native = native;
  }

  /** `owner` is the code object's id: handles are reused. */
  of(owner: number, object: Handle): Exports {
    if (this.#last?.owner !== owner) this.#last = this.#describe(owner, object);
    return this.#last;
  }

  #describe(owner: number, object: Handle): Exports {
    const functions = this.#native
      .functions(object)
      .map(([name, signature, parameterNames]) => [name, { signature, parameterNames }] as const);
    const globals = this.#native.globals(object).map((global) => [global.name, global] as const);
    return { owner, functions: new Map(functions), globals: new Map(globals) };
  }
}
