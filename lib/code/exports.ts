/**
 * The types of what a code object exports.
 *
 * In: native descriptions. Out: FunctionType and GlobalType, frozen. Always true: `text` is IR syntax; a type with a `refusal` can't be
 * used from JS, but code can use it.
 */
import type { NativeGlobal, NativeJit, Signature, ValueKind } from '../base/native';
import type { Exports } from '../record/exports';

/** A parameter: its IR name, if it has one, and the kind of value that it takes. */
export interface ParameterType {
  readonly name: string | undefined;
  readonly type: ValueKind;
}

/** The type of an exported function. */
export interface FunctionType {
  /** IR text, such as `i32 (i32, ptr)`. */
  readonly text: string;
  readonly result: ValueKind;
  readonly parameters: readonly ParameterType[];
  /** Why JS can't call it; undefined if it can. */
  readonly refusal: string | undefined;
}

/** The type of an exported global variable. */
export interface GlobalType {
  /** IR text of the type. */
  readonly text: string;
  /** The kind of its one value; undefined if JS can't read it as one. */
  readonly kind: ValueKind | undefined;
  readonly constant: boolean;
  readonly sizeBytes: number;
}

/** The public type of an exported function. */
function functionType(signature: Signature, parameterNames: readonly string[]): FunctionType {
  const parameters = signature.parameters.map((type, i) =>
    Object.freeze({ name: parameterNames[i] === '' ? undefined : parameterNames[i], type }),
  );
  const { text, result, refusal } = signature;
  return Object.freeze({ text, result, parameters: Object.freeze(parameters), refusal });
}

/** The public type of an exported global. */
function globalType({ type, kind, constant, sizeBytes }: NativeGlobal): GlobalType {
  return Object.freeze({ text: type, kind, constant, sizeBytes });
}

/** The public types of all exported functions. */
export function functionTypes(native: NativeJit, { functions }: Exports): ReadonlyMap<string, FunctionType> {
  const entries = [...functions].map(
    ([name, { signature, parameterNames }]) => [name, functionType(native.signature(signature), parameterNames)] as const,
  );
  return new Map(entries);
}

/** The public types of all exported globals. */
export function globalTypes({ globals }: Exports): ReadonlyMap<string, GlobalType> {
  return new Map([...globals].map(([name, global]) => [name, globalType(global)] as const));
}
