/**
 * Asking V8 what is garbage, now.
 *
 * V8 collects when its own heap grows, which says little about code: a space can be full of code objects that JS has dropped long ago.
 */
import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';

let collect: (() => void) | undefined;

/** Runs a full V8 collection. What the running job has seen through a WeakRef survives it. */
export function collectJsGarbage(): void {
  collect ??= nodesGc() ?? exposeGc();
  collect();
}

/** With --expose-gc every new context has it. The present one's may be anybody's. */
function nodesGc(): (() => void) | undefined {
  return runInNewContext('globalThis.gc') as (() => void) | undefined;
}

/** The flag makes V8 give `gc` to contexts that are made after it, which ours then has as well as anybody's. */
function exposeGc(): () => void {
  setFlagsFromString('--expose-gc');
  const gc = runInNewContext('gc') as () => void;
  setFlagsFromString('--no-expose-gc');
  return gc;
}
