/**
 * What a demo program is: C sources of npm packages, a driver of ours, and calls whose results are known.
 */

/** One C file, compiled to one code object. Paths are relative to the repository. */
export interface Source {
  readonly name: string;
  readonly file: string;
  /** Folders for #include, whose contents count when judging whether a build is up to date. */
  readonly include: readonly string[];
  readonly defines?: readonly string[];
}

/** A call that was made: what it returned, and what JavaScript alone says it should return. */
export interface Step {
  readonly call: string;
  readonly result: string | number | bigint;
  readonly expected?: string | number | bigint | undefined;
}

/** The driver's functions; a pointer is passed as a Buffer. */
export type Functions = Record<string, (...values: never[]) => unknown>;

export interface Program {
  readonly name: string;
  /** One line about what it does. */
  readonly about: string;
  /** npm packages that ship the sources. */
  readonly packages: readonly string[];
  /** Of the C sources. */
  readonly licence: string;
  /** In the order of their references: the driver comes last, and may call functions of those before it. */
  readonly sources: readonly Source[];
  /** 'code' is safe for any C; 'all' moves constants and data too, and needs sources that don't store their addresses. */
  readonly moves: 'code' | 'all';
  /** How hard the JIT's code generator works: clang has optimised the IR already. */
  readonly optLevel: 0 | 1 | 2 | 3;
  /** Makes the calls; the caller may move the code between two steps. */
  steps(functions: Functions): Iterator<Step>;
}
