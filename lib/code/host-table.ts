/**
 * The host functions of one Jit.
 *
 * In: HostFunctions that code is about to link to. Out: their native halves. Always true: a native half lives as long as code refers to it
 * or something in JS holds its HostEntry; then the Jit's object table frees it. Code objects hold the entries that they refer to, and native
 * code holds nothing of JS: a host function and code that refer to each other can die together.
 */
import type { Handle } from '../base/native';
import { HostEntrances, type HostEntrance } from '../call/host';
import { factsOf, type HostFunction } from '../call/host-function';
import type { CallOwner } from '../call/types';
import { nextId, type Entry } from '../record/object-table';

/** A host function in one Jit: to native code, a code object that never moves. */
export class HostEntry implements Entry {
  readonly id = nextId();
  readonly handle: Handle;
  /** Keeps the user's object, so that the Jit finds this entry as long as code refers to it. */
  readonly host: HostFunction;
  /** What native code calls, and holds weakly. */
  readonly entrance: HostEntrance;
  /** For a declared name: what its callers reach now. */
  references: readonly Entry[] = [];

  constructor(handle: Handle, host: HostFunction, entrance: HostEntrance) {
    this.handle = handle;
    this.host = host;
    this.entrance = entrance;
  }
}

/** Host functions by what users have of them. */
export class HostTable {
  readonly #owner: CallOwner;
  readonly #entrances: HostEntrances;
  readonly #entries = new WeakMap<HostFunction, WeakRef<HostEntry>>();
  /** What code objects that run something when they end may call then, by their handles. */
  readonly #lastCalls = new Map<Handle, readonly HostEntry[]>();

  constructor(owner: CallOwner) {
    this.#owner = owner;
    this.#entrances = new HostEntrances(owner);
  }

  /** The entry of `host`, made at the first call. Throws SpaceFullError. */
  entry(host: HostFunction): HostEntry {
    const known = this.#entries.get(host)?.deref();
    if (known !== undefined) return known;
    const facts = factsOf(host);
    const entrance = this.#entrances.make(facts);
    return this.#owner.ledger.change(() => {
      const owner = this.#owner;
      const handle = owner.native.addHost(facts.name, facts.signature.text, entrance);
      owner.fresh = [handle];
      const entry = new HostEntry(handle, host, entrance);
      owner.enter(handle, entry);
      this.#entries.set(host, new WeakRef(entry));
      owner.fresh = [];
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
