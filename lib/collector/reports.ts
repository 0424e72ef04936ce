/**
 * Reports of collections that no user has asked for.
 *
 * In: reports, while an operation goes on. Out: an event for each. Always true: listeners hear of a collection when the operation that needed it
 * is complete, so they find everything whole; what they throw is not that operation's error but the process's.
 */
import type { Collection } from './report';

/** Those of one collector, until they are told. */
export class Reports {
  readonly #emit: (report: Collection) => void;
  readonly #waiting: Collection[] = [];

  constructor(emit: (report: Collection) => void) {
    this.#emit = emit;
  }

  add(report: Collection): void {
    this.#waiting.push(report);
  }

  /** Runs an operation that may collect, and tells then. */
  after<T>(run: () => T): T {
    try {
      return run();
    } finally {
      this.tell();
    }
  }

  tell(): void {
    for (const report of this.#waiting.splice(0)) {
      try {
        this.#emit(report);
      } catch (error) {
        queueMicrotask(() => {
          throw error;
        });
      }
    }
  }
}
