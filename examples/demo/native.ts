/**
 * The driver's functions, twice: in code objects that move, and as ordinary machine code to compare with.
 *
 * In: a code object; a shared library made of the same C. Out: functions that take and return the same values.
 */
import koffi from 'koffi';
import type { CodeObject } from 'nomad-jit';
import type { Functions } from './program';

export function movingFunctions(driver: CodeObject): Functions {
  return lazily((name) => driver.get(name));
}

/** `driver` tells the types. */
export function nativeFunctions(library: string, driver: CodeObject): Functions {
  const loaded = koffi.load(library);
  const types = driver.functions;
  return lazily((name) => {
    const { result, parameters } = types.get(name)!;
    const call = loaded.func(
      name,
      koffiType(result),
      parameters.map(({ type }) => koffiType(type)),
    ) as (...values: unknown[]) => number;
    return result === 'i64' ? (...values) => BigInt(call(...values)) : call;
  });
}

const koffiTypes: Record<string, string> = { i32: 'int', i64: 'int64_t', double: 'double', ptr: 'void *', void: 'void' };

function koffiType(type: string): string {
  const name = koffiTypes[type];
  if (name === undefined) throw new Error(`the demo's drivers use no ${type}`);
  return name;
}

/** A record whose values are made when they are first asked for. */
function lazily(make: (name: string) => Functions[string]): Functions {
  const made: Functions = {};
  return new Proxy(made, { get: (_, name: string) => (made[name] ??= make(name)) });
}
