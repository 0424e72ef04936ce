/**
 * A model of a program that compiles, calls, moves, drops and collects code, and the program itself.
 *
 * In: random numbers. Out: nothing, or an Error that says which operation went wrong. Always true: the model knows what each function returns, who
 * must be alive and where, from the operations alone; it asks neither the Jit nor V8.
 */
import {
  CopyingCollector,
  hostFunction,
  Jit,
  PinnedError,
  StateError,
  type Callable,
  type CodeObject,
  type CodeSpace,
  type CollectorOptions,
  type HostFunction,
} from 'nomad-jit';
import { coreOf } from '../../lib/jit/parts';
import { settleTiers } from './collectors';
import { collectGarbage } from './jits';
import { calling } from './programs';

/** What code calls in a function of the model. */
type Unary = (x: number) => number;

/** One function, as the model sees it. `slot` is where it was moved by hand since the last collection; -1: it was not. */
interface Modelled {
  readonly number: number;
  readonly returns: Unary;
  readonly references: readonly Modelled[];
  readonly object: WeakRef<CodeObject>;
  held: { readonly object: CodeObject; readonly call: Callable<Unary> } | undefined;
  isRoot: boolean;
  isReferred: boolean;
  slot: number;
  wasMovedByHand: boolean;
}

class Stop extends Error {}

const slotBytes = 4096;
const slots = 512;
const deepest = 6;
const most = 90;
const visited = (x: number): number => (x + 3) | 0;

/** The program; `run` does one operation at a time. */
export class ModelledProgram {
  readonly jit = new Jit({ optLevel: 0 });
  readonly collector: CopyingCollector;
  readonly counts: Record<string, number> = {};
  readonly #random: (limit: number) => number;
  readonly #space: CodeSpace;
  readonly #visit: HostFunction;
  #functions: Modelled[] = [];
  #number = 0;
  #depth = 0;
  #mayStop = false;

  constructor(random: (limit: number) => number, options: CollectorOptions = {}) {
    this.#random = random;
    this.collector = new CopyingCollector(this.jit, { nurseryBytes: 16384, oldBytes: 65536, ...options });
    this.#space = this.jit.createSpace({ codeBytes: slots * slotBytes });
    this.#visit = hostFunction('i32 (i32)', (x: number) => this.#visited(x));
    this.collector.on('collection', () => this.#verify());
    this.collector.on('tiered', () => this.#verify()); // what is recompiled has another place, whoever has chosen that
  }

  /** One random operation. */
  step(): void {
    const roll = this.#random(1000);
    if (this.#functions.length === 0 || roll < 12) this.#do('compile', () => this.#compile());
    else if (roll < 22) this.#do('drop', () => this.#drop());
    else if (roll < 26) this.#do('root', () => this.#root());
    else if (roll < 28) this.#do('free', () => this.#free());
    else if (roll < 110) this.#do('move', () => this.#move());
    else if (roll < 140) this.#do('minor', () => this.#collect('minor'));
    else if (roll < 150) this.#do('major', () => this.#collect('major'));
    else this.#do('call', () => this.#call());
  }

  /** After V8 has found out: who must be alive is, and nobody else. */
  async check(): Promise<void> {
    await settleTiers(this.collector);
    await collectGarbage(4);
    this.#collect('major');
    const alive = this.#alive();
    const { live, placed } = this.jit.stats().objects;
    demand(live === alive.size && placed === live, `${live} code objects live, ${placed} placed, expected ${alive.size}`);
    for (const each of alive) this.#requireInPlace(each);
    this.#depth = deepest; // host functions do nothing now
    for (const { held, returns } of this.#functions) if (held !== undefined) requireResult(held.call, 5, returns);
    this.#depth = 0;
    this.#functions = [...alive];
  }

  #do(what: string, run: () => void): void {
    this.counts[what] = (this.counts[what] ?? 0) + 1;
    if (this.#depth > 0) {
      run();
      return;
    }
    this.#mayStop = false;
    try {
      run();
    } catch (error) {
      if (!(error instanceof Stop && this.#mayHaveStopped())) throw error;
    }
  }

  #mayHaveStopped(): boolean {
    return this.#mayStop;
  }

  /** What the host function does: some operations, and sometimes it throws. */
  #visited(x: number): number {
    if (this.#depth >= deepest) return visited(x);
    this.#depth++;
    try {
      for (let i = this.#random(3); i > 0; i--) this.step();
      if (this.#random(40) === 0) {
        this.counts.throw = (this.counts.throw ?? 0) + 1;
        this.#mayStop = true;
        throw new Stop();
      }
    } finally {
      this.#depth--;
    }
    return visited(x);
  }

  #compile(): void {
    const held = this.#heldOnes();
    if (held.length >= most) {
      this.#drop();
      return;
    }
    const number = this.#number++;
    const kind = this.#random(4);
    const callee = held.at(this.#random(held.length));
    if (kind > 0 && callee !== undefined) {
      this.#compileCaller(number, callee);
      return;
    }
    if (kind === 0) {
      this.#compileVisitor(number);
      return;
    }
    const factor = (number % 1000) - 500;
    const source = `define i32 @f${number}(i32 %x) {\n  %y = mul i32 %x, ${factor}\n  ret i32 %y\n}`;
    this.#add(number, this.collector.compile(source), (x) => Math.imul(x, factor), []);
  }

  #compileCaller(number: number, callee: Modelled): void {
    const name = `f${callee.number}`;
    const object = this.collector.compile(calling(`f${number}`, name, number), { imports: { [name]: callee.held!.call } });
    callee.isReferred = true;
    this.#add(number, object, (x) => (callee.returns(x) + number) | 0, [callee]);
  }

  #compileVisitor(number: number): void {
    const object = this.collector.compile(calling(`f${number}`, 'visit', number), { imports: { visit: this.#visit } });
    this.#add(number, object, (x) => (visited(x) + number) | 0, []);
  }

  #add(number: number, object: CodeObject, returns: Unary, references: readonly Modelled[]): void {
    const held = { object, call: object.get<Unary>(`f${number}`) };
    const flags = { isRoot: false, isReferred: false, slot: -1, wasMovedByHand: false };
    this.#functions.push({ number, returns, references, object: new WeakRef(object), held, ...flags });
  }

  #drop(): void {
    const one = this.#pickHeld();
    if (one !== undefined) one.held = undefined;
  }

  /** A root that is forgotten must be there when it is asked for. */
  #root(): void {
    const one = this.#functions[this.#random(this.#functions.length)]!;
    if (one.isRoot) {
      const object = one.object.deref();
      demand(object !== undefined, `root f${one.number} is dead`);
      this.collector.removeRoot(object!);
    } else if (one.held !== undefined) this.collector.addRoot(one.held.object);
    else return;
    one.isRoot = !one.isRoot;
  }

  /** Refused if somebody refers to it, living or dead, or it may be running. */
  #free(): void {
    const one = this.#pickHeld();
    if (one === undefined || one.isRoot) return;
    try {
      one.held!.object.free();
    } catch (error) {
      demand(
        error instanceof StateError && (one.isReferred || this.#depth > 0),
        `f${one.number} can't be freed: ${String(error)}`,
      );
      return;
    }
    demand(
      !this.#functions.some((each) => each.held !== undefined && each.references.includes(one)),
      `f${one.number} was referred to`,
    );
    one.held = undefined;
    this.#functions.splice(this.#functions.indexOf(one), 1);
  }

  #move(): void {
    const one = this.#pickHeld();
    const slot = this.#random(slots);
    if (one === undefined) return;
    const { object } = one.held!;
    try {
      object.relocate({ space: this.#space, code: slot * slotBytes });
    } catch (error) {
      const isPinned = error instanceof PinnedError && this.#depth > 0 && this.collector.explainPin(object).length > 0;
      const isTaken = [...this.#space.objects()].length > 0 && String(error).includes('overlap');
      demand(isPinned || isTaken, `f${one.number} can't move: ${String(error)}`);
      return;
    }
    one.slot = slot;
    one.wasMovedByHand = true;
    this.#requireInPlace(one);
  }

  #collect(kind: 'minor' | 'major'): void {
    const { liveObjects, moved, pinned } = this.collector.collect(kind);
    demand(liveObjects >= this.#alive().size, `${liveObjects} live, at least ${this.#alive().size} must`);
    demand(moved + pinned <= liveObjects, `${moved} moved and ${pinned} pinned of ${liveObjects}`);
  }

  #call(): void {
    const one = this.#pickHeld();
    if (one === undefined) return;
    requireResult(one.held!.call, this.#random(2 ** 31) | 0, one.returns);
  }

  /** Held or a root, or referred to by one that is alive. */
  #alive(): Set<Modelled> {
    const alive = new Set<Modelled>();
    const visit = (each: Modelled): void => {
      if (alive.has(each)) return;
      alive.add(each);
      each.references.forEach(visit);
    };
    for (const each of this.#functions) if (each.held !== undefined || each.isRoot) visit(each);
    return alive;
  }

  #verify(): void {
    coreOf(this.jit)!.native.verify();
    for (const each of this.#functions) each.slot = -1;
  }

  /** Where it was put by hand, or else, unless that ever happened, in the collector's own space. */
  #requireInPlace({ number, object, slot, wasMovedByHand }: Modelled): void {
    const placement = object.deref()?.placement;
    demand(placement !== undefined, `f${number} is nowhere`);
    const isHere = placement!.space === this.#space;
    if (slot >= 0) demand(isHere && placement!.code === slot * slotBytes, `f${number} is not where it was put`);
    else if (!wasMovedByHand) demand(!isHere, `f${number} is where nobody put it`);
  }

  #heldOnes(): Modelled[] {
    return this.#functions.filter(({ held }) => held !== undefined);
  }

  #pickHeld(): Modelled | undefined {
    for (let tries = 0; tries < 20; tries++) {
      const one = this.#functions[this.#random(this.#functions.length)];
      if (one?.held !== undefined) return one;
    }
    return undefined;
  }
}

function demand(holds: boolean, message: string): void {
  if (!holds) throw new Error(message);
}

function requireResult(call: Unary, x: number, returns: Unary): void {
  const actual = call(x);
  demand(actual === returns(x), `${(call as Callable<Unary>).symbol}(${x}) is ${actual}, not ${returns(x)}`);
}
