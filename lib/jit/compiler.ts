/**
 * From IR to code objects.
 *
 * In: source and options. Out: code objects, unplaced. Always true: after an error there is nothing new; what `compile` has made but not returned is
 * listed as `fresh` meanwhile.
 */
import { ownBytes, optionsObject } from '../base/check';
import { StateError } from '../base/errors';
import type { CompileUrgency, Handle } from '../base/native';
import { makeCodeObject, type CodeObject } from '../code/code-object';
import { makeResult, type CompileResult } from '../code/compile-result';
import { HostEntry } from '../code/host-table';
import { referencesOf } from '../code/references';
import { CodeRecord } from '../record/code-record';
import { nextId, type Entry } from '../record/object-table';
import { isByFunction, modesOf, type CompileOptions, type DeserializeOptions, type PartsOptions } from './compile-options';
import { compileRequest, type CompileRequest } from './compile-request';
import type { JitCore } from './core';
import { PendingCompiles, type Expected } from './pending-compiles';

type Identity = Pick<CompileRequest, 'id' | 'name' | 'modes'>;

/** The compiler of one Jit. */
export class Compiler {
  readonly #core: JitCore;
  readonly #pending = new PendingCompiles();

  constructor(core: JitCore) {
    this.#core = core;
    core.hooks.onDisposed.add(() => this.#pending.rejectAll(new StateError('compileAsync: the Jit is disposed')));
  }

  /** As `jit.compile`. */
  compile(source: string | Uint8Array, options: CompileOptions | PartsOptions | undefined): CodeObject | CompileResult {
    const core = this.#core;
    core.requireLive('compile');
    const isParts = isByFunction(options);
    const request = compileRequest(core, source, options);
    return core.ledger.change(() => {
      if (isParts) return this.#compileParts(request);
      const handle = core.native.compile(request.source, request.native);
      core.fresh = [handle];
      return this.#adoptFresh(handle, request);
    });
  }

  /** As `jit.compileAsync`. The source waits in native code, once: nothing that lives as long as the promise may hold `request`. */
  compileAsync(source: string | Uint8Array, options: CompileOptions | undefined): Promise<CodeObject> {
    return this.#compileLater(source, options, 'awaited');
  }

  /** As `compileAsync`, but the process does not wait for it, and names stand for what they do in `alike`. */
  async compileInBackground(source: string | Uint8Array, options: CompileOptions, alike: Handle): Promise<CodeObject> {
    return this.#compileLater(source, options, 'background', alike);
  }

  /** As `jit.deserialize`. */
  deserialize(buffer: Uint8Array, options: DeserializeOptions | undefined): CodeObject {
    const core = this.#core;
    core.requireLive('deserialize');
    const { name, imports } = optionsObject('options', options);
    const request = compileRequest(core, '', { name, imports });
    const own = ownBytes('buffer', buffer); // what has been checked must not change
    return core.ledger.change(() => {
      const made = core.native.deserialize(own, request.native);
      core.fresh = [made];
      const [handle, moves, retain] = made;
      return this.#adoptFresh(handle, { ...request, modes: modesOf({ moves, retain }) });
    });
  }

  /** What parts refer to are other parts: all exist before their references are noted. */
  #compileParts(request: CompileRequest): CompileResult {
    const core = this.#core;
    const owners = new Map<string, CodeObject>();
    const made = (core.fresh = core.native.compileParts(request.source, request.native));
    const parts = made.map(([handle, name, exported], i) => {
      const id = i === 0 ? request.id : nextId();
      const object = makeCodeObject({ owner: core, handle, id, name, modes: request.modes, references: [] });
      for (const symbol of exported) owners.set(symbol, object);
      return [handle, object] as const;
    });
    for (const [handle, object] of parts) {
      const references = referencesOf(core, handle);
      if (references.length > 0) CodeRecord.setReferences(object, references);
      this.#holdHosts(handle, references);
    }
    const objects = parts.map(([, object]) => object) as [CodeObject, ...CodeObject[]]; // the rest of the module is always there
    core.fresh = [];
    return makeResult(core, { name: request.native.name, objects, owners });
  }

  #compileLater(
    source: string | Uint8Array,
    options: CompileOptions | undefined,
    urgency: CompileUrgency,
    alike?: Handle,
  ): Promise<CodeObject> {
    this.#core.requireLive('compileAsync');
    const request = compileRequest(this.#core, source, options, alike);
    const { promise, done } = this.#expectHandle(request);
    this.#core.native.compileAsync(request.source, request.native, urgency, done);
    return promise;
  }

  #expectHandle({ id, name, modes, imported }: Identity & Pick<CompileRequest, 'imported'>): Expected<CodeObject> {
    return this.#pending.expect(imported, (handle) => {
      this.#core.dropStale(handle);
      this.#core.settle();
      return this.#adopt(handle, { id, name, modes });
    });
  }

  /** Makes the code object of the one fresh handle. */
  #adoptFresh(handle: Handle, identity: Identity): CodeObject {
    const object = this.#adopt(handle, identity);
    this.#core.fresh = [];
    return object;
  }

  /** Makes the code object of a handle. */
  #adopt(handle: Handle, { id, name, modes }: Identity): CodeObject {
    const references = referencesOf(this.#core, handle);
    this.#holdHosts(handle, references);
    return makeCodeObject({ owner: this.#core, handle, id, name, modes, references });
  }

  /** Code with destructors calls host functions last. */
  #holdHosts(handle: Handle, references: readonly Entry[]): void {
    const hosts = references.filter((entry) => entry instanceof HostEntry);
    if (hosts.length > 0 && this.#core.native.hasEnding(handle)) this.#core.hosts.hold(handle, hosts);
  }
}
