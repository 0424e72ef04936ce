/**
 * Buffers that vanish while code uses them: the code is left with a StateError before it goes on.
 *
 * Each program stores through the pointer after its host function has returned; where it must not, the byte that it would have written tells.
 */
import { hostFunction } from 'nomad-jit';
import { withNoCodegen } from './support/hosts';
import { errorOf, makeJit } from './support/jits';

const touching = `declare void @host()
define i32 @touch(ptr %p) {
  call void @host()
  store i8 7, ptr %p
  ret i32 1
}`;

function run(buffer: object, whileWaiting: () => unknown): unknown {
  const jit = makeJit();
  const host = hostFunction('void ()', () => void whileWaiting());
  return jit.load(touching, { imports: { host } }).get('touch')(buffer) as unknown;
}

const transfer = (buffer: ArrayBuffer): ArrayBuffer => structuredClone(buffer, { transfer: [buffer] });
type Resizable = ArrayBuffer & { resize(bytes: number): void };
const resizable = (bytes: number, maxByteLength: number): Resizable =>
  new (ArrayBuffer as unknown as new (bytes: number, options: object) => Resizable)(bytes, { maxByteLength });

describe.each([
  ['generated entrances', '0'],
  ['interpreted entrances', '1'],
])('%s', (_, noCodegen) => {
  const inMode = (buffer: object, whileWaiting: () => unknown): unknown =>
    withNoCodegen(noCodegen, () => run(buffer, whileWaiting));

  test.each<[string, (buffer: ArrayBuffer) => object]>([
    ['an ArrayBuffer', (buffer) => buffer],
    ['a typed array', (buffer) => new Float64Array(buffer)],
    ['a DataView', (buffer) => new DataView(buffer)],
    ['a Buffer', (buffer) => Buffer.from(buffer)],
  ])('%s that is transferred: StateError, and nothing is written', (_name, view) => {
    const buffer = new ArrayBuffer(64);
    let moved: ArrayBuffer | undefined;
    const error = errorOf(() => inMode(view(buffer), () => (moved = transfer(buffer))));
    expect([error.name, error.message]).toEqual(['StateError', expect.stringContaining('detached')]);
    expect(new Uint8Array(moved!)[0]).toBe(0);
  });

  test('one that shrinks: StateError; one that grows, or nothing at all: the code goes on', () => {
    const small = resizable(65536, 131072);
    expect(errorOf(() => inMode(new Uint8Array(small), () => small.resize(0))).name).toBe('StateError');
    const large = resizable(65536, 131072);
    expect([inMode(large, () => large.resize(131072)), new Uint8Array(large)[0]]).toEqual([1, 7]);
    const shared = new SharedArrayBuffer(16);
    expect([inMode(shared, () => undefined), new Uint8Array(shared)[0]]).toEqual([1, 7]);
  });

  test('a WebAssembly memory that grows: StateError', () => {
    interface Memory {
      readonly buffer: ArrayBuffer;
      grow(pages: number): number;
    }
    const { WebAssembly } = globalThis as unknown as { WebAssembly: { Memory: new (size: object) => Memory } };
    const memory = new WebAssembly.Memory({ initial: 1, maximum: 4 });
    expect(errorOf(() => inMode(new Uint8Array(memory.buffer), () => memory.grow(1))).name).toBe('StateError');
  });

  test('a call inside, with a buffer of its own, does not spoil the one around it', () => {
    const outer = new Uint8Array(8);
    const inner = new ArrayBuffer(8);
    const result = inMode(outer, () => errorOf(() => inMode(inner, () => transfer(inner))));
    expect([result, outer[0]]).toEqual([1, 7]);
  });

  test("what a host function of another Jit's code detaches ends the code that has its address", () => {
    const buffer = new ArrayBuffer(64);
    let moved: ArrayBuffer | undefined;
    const host = hostFunction('void ()', () => void (moved = transfer(buffer)));
    const [outer, inner] = withNoCodegen(noCodegen, () => [makeJit(), makeJit()]);
    const middle = inner.load('declare void @host() define void @middle() { call void @host() ret void }', {
      imports: { host },
    });
    const touch = outer.load(
      touching.replace('@touch(ptr %p)', '@touch(ptr %p, ptr %f)').replace('call void @host()', 'call void %f()'),
    );
    const error = errorOf(() => touch.get('touch')(buffer, middle.get('middle')) as unknown);
    expect([error.name, error.message]).toEqual(['StateError', expect.stringContaining('detached')]);
    expect(new Uint8Array(moved!)[0]).toBe(0);
  });

  test('what an inner host function detaches ends the outer code too', () => {
    const outer = new ArrayBuffer(8);
    const inner = new Uint8Array(8);
    const error = errorOf(() => inMode(outer, () => inMode(inner, () => transfer(outer))));
    expect([error.name, inner[0]]).toEqual(['StateError', 0]); // the inner code may have the address, too
  });
});
