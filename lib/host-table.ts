/**
 * The host functions of one Jit.
 *
 * In: HostFunctions that code is about to link to. Out: their native halves. Always true: a native half lives as long as code refers to it
 * or something in JS holds its HostEntry; then the Jit's object table frees it. Code objects hold the entries that they refer to, and native
 * code holds nothing of JS: a host function and code that refer to each other can die together.
 */
import type { JitCore } from './core';
import { factsOf, type HostFunction } from './host-function';
import { HostEntrances, type HostEntrance } from './call/host';
import type { Handle } from './native';
import { nextId, type Entry } from './object-table';

/** A host function in one Jit: to native code, a code object that never moves. */
export class HostEntry {
  readonly id = nextId();
  readonly handle: Handle;
  /** Keeps the user's object, so that the Jit finds this entry as long as code refers to it. */
  readonly host: HostFunction;
  /** What native code calls, and holds weakly. */
  readonly entrance: HostEntrance;
  /** What those who were linked to it call instead, if it was a declaration. */
  references: readonly Entry[] = [];

  constructor(handle: Handle, host: HostFunction, entrance: HostEntrance) {
    this.handle = handle;
    this.host = host;
    this.entrance = entrance;
  }
}

/** Host functions by what users have of them. */
export class HostTable {
  readonly #core: JitCore;
  readonly #entrances: HostEntrances;
  readonly #entries = new WeakMap<HostFunction, WeakRef<HostEntry>>();
  /** What code objects that run something when they end may call then, by their handles. */
  readonly #lastCalls = new Map<Handle, readonly HostEntry[]>();

  constructor(core: JitCore) {
    this.#core = core;
    this.#entrances = new HostEntrances(core);
  }

  /** The entry of `host`, made at the first call. Throws SpaceFullError. */
  entry(host: HostFunction): HostEntry {
    const known = this.#entries.get(host)?.deref();
    if (known !== undefined) return known;
    const facts = factsOf(host);
    const entrance = this.#entrances.make(facts);
    return this.#core.ledger.change(() => {
      const core = this.#core;
      const handle = core.native.addHost(facts.name, facts.signature.text, entrance);
      core.fresh = [handle];
      const entry = new HostEntry(handle, host, entrance);
      core.dropStale(handle);
      core.objects.add(handle, entry);
      this.#entries.set(host, new WeakRef(entry));
      core.fresh = [];
      return entry;
    });
  }

  /** Holds what the code object `handle` refers to until it is gone, and not only until JS has forgotten it. */
  hold(handle: Handle, entries: readonly HostEntry[]): void {
    this.#lastCalls.set(handle, entries);
  }

  /** Ends `hold`. Called for all that is freed, thousands at a time, of which next to none is held. */
  delete(handle: Handle): void {
    if (this.#lastCalls.size > 0) this.#lastCalls.delete(handle);
  }
}
