/**
 * Host functions for tests, and code that calls them.
 *
 * In: types and names. Out: IR text, Jits with spaces. Always true: the code does nothing but what its comment says.
 */
import {
  hostFunction,
  type CodeObject,
  type CodeSpace,
  type HostFunction,
  type Jit,
  type JitOptions,
  type Placement,
} from 'nomad-jit';
import { makeJit } from './jits';

/** Every kind of value that crosses. */
export const kinds = ['i1', 'i8', 'i16', 'i32', 'i64', 'float', 'double', 'ptr'] as const;
export type Kind = (typeof kinds)[number];

/** `result via(parameters)`: calls the host function `host` of the same type, and returns what it returns. */
export function forwarding(parameters: readonly Kind[], result: Kind | 'void' = 'void'): string {
  const typed = parameters.map((kind, i) => `${kind} %p${i}`).join(', ');
  const call = `call ${result} @host(${typed})`;
  const body = result === 'void' ? `  ${call}\n  ret void` : `  %r = ${call}\n  ret ${result} %r`;
  return `declare ${result} @host(${parameters.join(', ')})\ndefine ${result} @via(${typed}) {\n${body}\n}`;
}

/** `i32 name(i32 x)`: the host function `host` of x, plus `plus`. */
export function callingHost(name: string, plus = 1): string {
  return `declare i32 @host(i32)
define i32 @${name}(i32 %x) {
  %y = call i32 @host(i32 %x)
  %z = add i32 %y, ${plus}
  ret i32 %z
}`;
}

/** `i32 descend(i32 n)`: host(n) + 1 at 0, else 3 * descend(n - 1) xor n: one frame after another, the last one waiting for the host. */
export const descending = `declare i32 @host(i32)
define i32 @descend(i32 %n) noinline {
  %isLast = icmp eq i32 %n, 0
  br i1 %isLast, label %last, label %more
last:
  %r = call i32 @host(i32 %n)
  %s = add i32 %r, 1
  ret i32 %s
more:
  %m = sub i32 %n, 1
  %below = call i32 @descend(i32 %m)
  %triple = mul i32 %below, 3
  %sum = xor i32 %triple, %n
  ret i32 %sum
}`;

/** `i32 sort(ptr, i64)` gives 5: libc's qsort, with a comparator in code that asks the host function `i32 host(i32, i32)`. */
export const sortingByHost = `declare void @qsort(ptr, i64, i64, ptr)
declare i32 @host(i32, i32)
define internal i32 @compare(ptr %a, ptr %b) {
  %x = load i32, ptr %a
  %y = load i32, ptr %b
  %r = call i32 @host(i32 %x, i32 %y)
  %s = mul i32 %r, 3
  ret i32 %s
}
define i32 @sort(ptr %values, i64 %count) {
  call void @qsort(ptr %values, i64 %count, i64 4, ptr @compare)
  ret i32 5
}`;

/** `ptr` values as JS numbers would have them: `i32 (i32)` of the host. */
export function i32Host(fn: (x: number) => unknown): HostFunction {
  return hostFunction('i32 (i32)', fn);
}

/** A Jit, a space, and fresh places in it: each far enough from the others for any code object of a test. */
export interface Ground {
  readonly jit: Jit;
  readonly space: CodeSpace;
  /** Compiles and places. */
  readonly add: (source: string, options?: Parameters<Jit['compile']>[1]) => CodeObject;
  /** The next place, for all segments. */
  readonly next: () => Placement;
  /** The next place, for code alone. */
  readonly nextCode: () => Placement;
}

export function makeGround(step = 4096, options?: JitOptions): Ground {
  const jit = makeJit(options);
  const space = jit.createSpace();
  let last = 0;
  const next = (): Placement => {
    const offset = ++last * step;
    return { space, code: offset, constants: offset, data: offset };
  };
  return {
    ...{ jit, space, next },
    nextCode: () => ({ space, code: ++last * step }),
    add: (source, options) => jit.compile(source, options).place(next()),
  };
}

/** Runs `run` with NOMAD_JIT_NO_CODEGEN set to `value`: Jits and host functions linked meanwhile have such entrances. */
export function withNoCodegen<T>(value: string, run: () => T): T {
  process.env.NOMAD_JIT_NO_CODEGEN = value;
  try {
    return run();
  } finally {
    delete process.env.NOMAD_JIT_NO_CODEGEN;
  }
}
