/**
 * Which changes have begun and not come to their end.
 *
 * In: two numbers in memory that native code shares. Out: whether a change was interrupted. Always true: between public operations, and while
 * native code calls user code, `open` equals `covered`.
 *
 *   open     changes of this Jit's tables that have begun. JS counts up and down, with no `finally`: where V8 ends execution (a RangeError
 *            of a full stack, a `vm` timeout, Ctrl-C) the change stays open
 *   covered  those that wait for a native call, which may run constructors, destructors and so anything. C++ keeps it, whatever JS does
 *
 * So an operation that begins and finds the two different knows that some change was interrupted, and first makes the tables anew
 * from what native code says (jit/mend.ts). V8 interrupts JS where a function begins and where a loop goes round, and nowhere else: stores in a
 * row that follow a native call are done if that call is.
 */
import { JitError } from './errors';

/** The changes of one Jit. */
export class Ledger {
  readonly #words: Int32Array;

  constructor(memory: ArrayBuffer) {
    this.#words = new Int32Array(memory);
  }

  /** Whether a change was left in the middle. Asked between operations. */
  get isTorn(): boolean {
    return this.#words[0] !== this.#words[1];
  }

  /** How many changes wait for native code. */
  get covered(): number {
    return this.#words[1] ?? 0;
  }

  /** Begins a change; returns what ends it. */
  begin(): number {
    const open = this.#words[0] ?? 0;
    this.#words[0] = open + 1;
    return open;
  }

  /** It is complete. */
  end(open: number): void {
    this.#words[0] = open;
  }

  /** Everything is whole again. */
  mend(): void {
    this.#words[0] = this.covered;
  }

  /**
   * Runs a change in which no operation of users is called but through native code. Our own errors are refusals, after which everything is as it
   * was; after any other, the next operation mends.
   */
  change<T>(run: () => T): T {
    const words = this.#words;
    const open = words[0] ?? 0;
    words[0] = open + 1;
    let result: T;
    try {
      result = run();
    } catch (error) {
      if (error instanceof JitError) words[0] = open;
      throw error;
    }
    words[0] = open; // with nothing between, so that what was done is known to the caller
    return result;
  }
}
