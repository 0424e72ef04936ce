/**
 * Which code objects a collector manages.
 *
 * In: code objects. Out: their entries in the collector's tables. Always true: what is managed has room in a generation, and beside it for its
 * constants and data; the counts are those of the table.
 */
import { moveTo } from '../code/life-cycle';
import { placeNow, type Place as CodePlace } from '../code/offsets';
import { CodeRecord, type Code } from '../record/code-record';
import type { JitCore } from '../jit/core';
import type { Handle } from '../base/native';
import { placeTogether, type ArenaOffsets } from '../code/place-together';
import { release } from '../space/reserve';
import type { FixedParts } from './fixed-parts';
import type { Generations } from './generations';
import { HandleList } from './handle-list';
import { generationOf, Managed, placeOf } from './managed';
import { dataOffsetOf, mendManaged } from './mend';
import type { Nursery } from './nursery';
import type { OldGeneration } from './old-generation';
import type { CollectionKind } from './report';
import type { Room } from './room';
import type { SemiSpace } from './semi-space';

/** Those of one collector. */
export class Admission {
  readonly managed = new Managed();
  readonly #core: JitCore;
  readonly #nursery: Nursery;
  readonly #old: OldGeneration;
  readonly #parts: FixedParts;
  readonly #room: Room;
  readonly #young = new HandleList();
  readonly #dead = new HandleList();
  #count = 0;
  #liveBytes = 0;

  constructor(core: JitCore, { nursery, old, parts }: Generations, room: Room) {
    this.#core = core;
    this.#nursery = nursery;
    this.#old = old;
    this.#parts = parts;
    this.#room = room;
  }

  /** How many there are. */
  get count(): number {
    return this.#count;
  }

  /** Bytes of their code. */
  get liveBytes(): number {
    return this.#liveBytes;
  }

  isManaged(handle: Handle): boolean {
    return (this.managed.place[handle] ?? 0) !== 0;
  }

  /** Whether it is in the old generation. */
  isOld(handle: Handle): boolean {
    return this.isManaged(handle) && generationOf(this.managed.place[handle] ?? 0) === 1;
  }

  noteDead(handle: Handle): void {
    this.managed.isDead[handle] = 1;
    this.#dead.add(handle);
  }

  /** Asks V8 which are dead: of the nursery, or of all. */
  findDead(kind: CollectionKind): void {
    const scope = kind === 'minor' ? this.listYoung().slice() : HandleList.upTo(this.managed.limit);
    this.findDeadAmong(scope);
  }

  /** Asks V8 which of `handles` are dead, and changes their order. */
  findDeadAmong(handles: Int32Array): void {
    const count = this.#core.objects.deadFirst(handles);
    for (let i = 0; i < count; i++) if (this.isManaged(handles[i] ?? 0)) this.noteDead(handles[i] ?? 0);
  }

  /** Bytes of code of those that are known to be dead. */
  get deadBytes(): number {
    let sum = 0;
    for (const handle of this.listDead()) sum += this.managed.bytes[handle] ?? 0;
    return sum;
  }

  /** Others were freed, and their handles may have new owners. Valid until the next call. */
  listDead(): Int32Array {
    return this.#dead.keep(this.managed.isDead, 1, 1);
  }

  /** Those of the nursery. */
  listYoungDead(): Int32Array {
    return this.listDead().filter((handle) => !this.isOld(handle));
  }

  /** First room for it, which may take a collection; then nothing but native code runs, and through that its constructors. */
  adopt(object: Code, handle: Handle, into: SemiSpace): void {
    const before = CodeRecord.statusOf(object).state === 'placed' ? placeNow(this.#core, handle) : undefined;
    if (before === undefined) this.#room.makeForParts(object);
    const bytes = CodeRecord.bytesOf(object, 'code');
    if (bytes > 0) this.#room.makeFor(object, bytes, CodeRecord.alignmentOf(object, 'code'), into);
    this.#core.ledger.change(() => this.#admitAndMove(object, handle, into, before));
  }

  #admitAndMove(object: Code, handle: Handle, into: SemiSpace, before: CodePlace | undefined): void {
    const parts = before === undefined ? this.#parts.add(handle, object) : undefined;
    try {
      this.#admit(object, handle, into);
      moveTo(object, this.managed.offset[handle] ?? -1, parts?.constants ?? -1, parts?.data ?? -1);
    } catch (error) {
      // Where a constructor throws, it is placed.
      if (CodeRecord.statusOf(object).state !== 'placed' || before !== undefined) this.#expel(handle);
      throw error;
    }
    if (before !== undefined && !before.region.isOwned) release(this.#core, before.region, { code: before.code ?? 0 }, object);
  }

  /** They may refer to each other in circles, so they are placed together; where one has no room, once more after a collection. */
  adoptTogether(objects: readonly Code[], into: SemiSpace): void {
    const admitAll = (): ArenaOffsets[] =>
      objects.map((object) => {
        const handle = CodeRecord.handleIn(this.#core, object, 'adopt');
        const parts = this.#parts.add(handle, object);
        this.#admit(object, handle, into);
        return [this.managed.offset[handle] ?? -1, parts?.constants ?? -1, parts?.data ?? -1];
      });
    const expelAll = (): void => objects.forEach((object) => this.#expel(CodeRecord.handleIn(this.#core, object, 'adopt')));
    this.#room.makeTogether(admitAll, expelAll);
    this.#core.ledger.change(() => placeTogether(this.#core, objects, admitAll(), expelAll));
  }

  /** Valid until the next call. */
  listYoung(): Int32Array {
    return this.#young.keep(this.managed.place, placeOf(0, 0), placeOf(0, 1));
  }

  /** Takes room for it, of which there is enough. From now on collections move it, which is before its constructors run. */
  #admit(object: Code, handle: Handle, into: SemiSpace): void {
    const bytes = CodeRecord.bytesOf(object, 'code');
    const alignment = CodeRecord.alignmentOf(object, 'code');
    const [generation, offset] = bytes === 0 ? [this.#old, -1] : this.#room.take(object, bytes, alignment, into);
    const managed = this.managed;
    managed.admit(handle);
    managed.offset[handle] = offset;
    managed.bytes[handle] = bytes;
    managed.alignment[handle] = alignment;
    managed.age[handle] = 0;
    managed.isDead[handle] = 0;
    managed.hasParts[handle] = this.#parts.get(handle) === undefined ? 0 : 1;
    managed.place[handle] = generation.activePlace;
    if (generation === this.#nursery) this.#young.add(handle);
    this.#count++;
    this.#liveBytes += bytes;
  }

  /** Undoes what `adopt` has done so far. */
  #expel(handle: Handle): void {
    this.#parts.delete(handle);
    this.forget(handle);
  }

  /** Gives back all that a managed code object has here; returns its bytes, or undefined if it is not managed. */
  forget(handle: Handle): number | undefined {
    const managed = this.managed;
    const place = managed.place[handle] ?? 0;
    if (place === 0) return undefined;
    const bytes = managed.bytes[handle] ?? 0;
    if (place === this.#old.activePlace && bytes > 0) this.#old.release(managed.offset[handle] ?? 0, bytes);
    if (managed.hasParts[handle] === 1) this.#parts.delete(handle);
    managed.place[handle] = 0;
    managed.isDead[handle] = 0;
    this.#count--;
    this.#liveBytes -= bytes;
    return bytes;
  }

  /** A change was left in the middle: native code knows where everything is. `forget` hears of those that are not managed any more. */
  mend(forget: (handle: Handle) => void): void {
    mendManaged(this.#core, this.managed, [this.#nursery, this.#old], forget);
    const { place, bytes, isDead, limit } = this.managed;
    const all = HandleList.upTo(limit);
    const managed = Array.from(all.filter((handle) => this.isManaged(handle)));
    this.#parts.mend((handle) => (this.isManaged(handle) ? dataOffsetOf(this.#core, handle) : undefined));
    for (const handle of managed) this.managed.hasParts[handle] = this.#parts.get(handle) === undefined ? 0 : 1;
    for (const generation of [this.#nursery, this.#old]) generation.mend(this.managed, all);
    this.#young.reset(managed.filter((handle) => generationOf(place[handle] ?? 0) === 0));
    this.#dead.reset(managed.filter((handle) => isDead[handle] === 1));
    this.#count = managed.length;
    this.#liveBytes = managed.reduce((sum, handle) => sum + (bytes[handle] ?? 0), 0);
  }
}
