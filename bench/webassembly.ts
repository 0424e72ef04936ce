/**
 * WebAssembly, as a peer.
 *
 * In: a module in the text format. Out: its exports. Always true: V8 has compiled it before anything is measured, except for what its own warm-up does.
 */
import wabt from 'wabt';

// Neither lib.es2023 nor @types/node declares it.
declare const WebAssembly: {
  instantiate: (bytes: Uint8Array) => Promise<{ readonly instance: { readonly exports: unknown } }>;
};

/** Makes an instance of a module without imports. `Exports` is a promise of the caller. */
export async function instantiate<Exports>(text: string): Promise<Exports> {
  const features = { simd: true };
  const module = (await wabt()).parseWat('bench.wat', text, features);
  const { buffer } = module.toBinary({});
  module.destroy();
  return (await WebAssembly.instantiate(buffer)).instance.exports as Exports;
}
