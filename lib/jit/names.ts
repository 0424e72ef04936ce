/**
 * What names stand for in all later compiles, and what calls lead to.
 *
 * In: names and functions; functions and others. Out: native definitions and redirections. Always true: what later compiles may link to is kept
 * alive; after an error nothing has changed.
 */
import { nonEmptyString, show } from '../base/check';
import { StateError } from '../base/errors';
import type { Handle } from '../base/native';
import { factsOf, hostFunction } from '../call/host-function';
import { enteredAddress, enteredObject, enteredSymbol, isCallable } from '../code/callable';
import { HostEntry } from '../code/host-table';
import { refreshReferences } from '../code/references';
import { CodeRecord } from '../record/code-record';
import type { Entry } from '../record/object-table';
import type { Importable } from './compile-options';
import type { JitCore } from './core';
import { entryOf, nativeImport } from './imports';

/** A function: its code object, and its name there. */
type End = readonly [Handle, string];

/** The names of one Jit. */
export class Names {
  readonly #core: JitCore;
  /** Keeps alive what later compiles may link to. */
  readonly #defined = new Map<string, readonly Entry[]>();
  /** Names that are only declared. */
  readonly #declared = new Map<string, HostEntry>();

  constructor(core: JitCore) {
    this.#core = core;
    core.hooks.onDisposed.add(() => this.#defined.clear());
  }

  /** As `jit.define`. */
  define(name: string, value: Importable): void {
    this.#core.requireLive('define');
    const definition = nativeImport(this.#core, 'definition', nonEmptyString('name', name), value);
    const entry = entryOf(this.#core, value);
    this.#settleDeclaration(name, value, entry);
    const before = this.#defined.get(name) ?? [];
    const after = entry === undefined ? [] : [entry];
    this.#defined.set(name, [...before, ...after]); // if this goes no further, both live
    this.#core.native.define(definition);
    this.#defined.set(name, after);
  }

  /** As `jit.declare`. */
  declare(name: string, type: string): void {
    this.#core.requireLive('declare');
    const missing = (): never => {
      throw new StateError(`'${name}' is called, but only declared: jit.define gives it a function`);
    };
    const host = hostFunction(type, missing);
    this.define(name, host);
    this.#declared.set(name, this.#core.hosts.entry(host));
  }

  /** As `jit.redirect`. */
  redirect(from: unknown, to: unknown): void {
    this.#core.requireLive('redirect');
    const [source, target] = [from, to].map((callable) => {
      if (!isCallable(callable)) throw new TypeError(`redirect: not a Callable but ${show(callable)}`);
      return [CodeRecord.handleIn(this.#core, enteredObject(callable), 'redirect'), enteredSymbol(callable)] as const;
    });
    if (source !== undefined && target !== undefined) this.#redirect(source, target);
  }

  /** Leads code that was linked to a declared name to the function that it names now. */
  #settleDeclaration(name: string, value: Importable, entry: Entry | undefined): void {
    const declared = this.#declared.get(name);
    if (declared === undefined) return;
    if (typeof value === 'bigint') this.#core.native.redirectHost(declared.handle, value);
    else if (entry instanceof HostEntry) this.#redirect(endOf(declared), endOf(entry));
    else if (isCallable(value) && entry !== undefined) {
      this.#redirect(endOf(declared), [CodeRecord.handleIn(this.#core, enteredObject(value), 'define'), enteredSymbol(value)]);
      this.#core.native.redirectHost(declared.handle, enteredAddress(value)); // redirecting leaves calls inside its own code object alone
    }
    this.#declared.delete(name);
  }

  #redirect([from, symbol]: End, [to, toSymbol]: End): void {
    const { native, objects, ledger } = this.#core;
    // The old function may be on the stack: it and its callees live until this job ends.
    const outdated = native.isRunning() ? objects.get(from) : undefined;
    if (outdated !== undefined) queueMicrotask(() => outdated);
    ledger.change(() => refreshReferences(this.#core, native.redirect(from, symbol, to, toSymbol)));
  }
}

/** A host function as what calls lead from, or to. */
function endOf({ handle, host }: HostEntry): End {
  return [handle, factsOf(host).name];
}
