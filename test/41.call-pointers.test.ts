/**
 * Calls: pointers to the bytes of JS buffers, to functions, to anything.
 */
import { errorOf, makeJit } from './support/jits';
import { returning } from './support/programs';

const program = `define i32 @peek(ptr %p, i32 %i) {
  %at = getelementptr i8, ptr %p, i32 %i
  %x = load i8, ptr %at
  %y = zext i8 %x to i32
  ret i32 %y
}
define void @poke(ptr %p, i32 %i, i32 %x) {
  %at = getelementptr i8, ptr %p, i32 %i
  %y = trunc i32 %x to i8
  store i8 %y, ptr %at
  ret void
}
define ptr @identity(ptr %p) { ret ptr %p }
define i32 @invoke(ptr %f) {
  %x = call i32 %f()
  ret i32 %x
}
define i64 @distance(ptr %p, ptr %q) {
  %a = ptrtoint ptr %p to i64
  %b = ptrtoint ptr %q to i64
  %d = sub i64 %b, %a
  ret i64 %d
}`;

function load() {
  const object = makeJit().load(program);
  const [peek, poke, identity, invoke, distance] = ['peek', 'poke', 'identity', 'invoke', 'distance'].map((name) =>
    object.get(name),
  );
  return { object, peek: peek!, poke: poke!, identity: identity!, invoke: invoke!, distance: distance! };
}

const bytes = Uint8Array.from({ length: 256 }, (_, i) => i);

/** Views of the numbers 10, 11, 12, ...: what code must see, however it is wrapped. */
const views: Array<[string, () => ArrayBufferView | ArrayBufferLike]> = [
  ['a Uint8Array', () => bytes.slice(10)],
  ["a Uint8Array of 8 bytes, on V8's heap", () => Uint8Array.of(10, 11, 12, 13, 14, 15, 16, 17)],
  ['a Uint8Array of 64 bytes', () => Uint8Array.from(bytes.subarray(10, 74))],
  ['a Uint8Array of 65 bytes', () => Uint8Array.from(bytes.subarray(10, 75))],
  ['a Uint8Array with an offset', () => bytes.slice().subarray(10)],
  ['a Buffer', () => Buffer.from(bytes.subarray(10))],
  ['a slice of a Buffer', () => Buffer.from(bytes).subarray(10)],
  ['a small Buffer from the pool', () => Buffer.from([10, 11, 12, 13])],
  ['a DataView with an offset', () => new DataView(bytes.slice().buffer, 10)],
  ['an ArrayBuffer', () => bytes.slice(10).buffer],
  ['an Int32Array', () => new Int32Array(bytes.slice(10, 210).buffer)],
  ['an Int16Array with an offset', () => new Int16Array(bytes.slice().buffer, 10)],
  ['a Float64Array', () => new Float64Array(bytes.slice(10, 90).buffer)],
  ['a BigInt64Array', () => new BigInt64Array(bytes.slice(10, 90).buffer)],
  ['a Uint8ClampedArray', () => Uint8ClampedArray.from(bytes.subarray(10))],
  ['a SharedArrayBuffer', () => shared().buffer],
  ['a Uint8Array on a SharedArrayBuffer', () => shared()],
  ['a DataView on a SharedArrayBuffer', () => new DataView(shared().buffer)],
  [
    'an ArrayBuffer that can grow',
    () => {
      const buffer = new (ArrayBuffer as unknown as new (n: number, o: object) => ArrayBuffer)(64, { maxByteLength: 256 });
      new Uint8Array(buffer).set(bytes.subarray(10, 74));
      return buffer;
    },
  ],
];

function shared(): Uint8Array<SharedArrayBuffer> {
  const view = new Uint8Array(new SharedArrayBuffer(200));
  view.set(bytes.subarray(10, 210));
  return view;
}

function asBytes(view: ArrayBufferView | ArrayBufferLike): Uint8Array {
  return ArrayBuffer.isView(view) ? new Uint8Array(view.buffer, view.byteOffset, view.byteLength) : new Uint8Array(view);
}

describe.each(['0', '1'])('NOMAD_JIT_NO_CODEGEN=%s', (noCodegen) => {
  beforeAll(() => {
    process.env.NOMAD_JIT_NO_CODEGEN = noCodegen;
  });
  afterAll(() => {
    delete process.env.NOMAD_JIT_NO_CODEGEN;
  });

  test.each(views)('code reads and writes the bytes of %s', (_, make) => {
    const { peek, poke } = load();
    const view = make();
    for (let i = 0; i < 4; i++) expect(peek(view, i)).toBe(10 + i);
    poke(view, 2, 99);
    expect(asBytes(view)[2]).toBe(99);
    expect(peek(view, 2)).toBe(99);
  });

  test('two arguments that are one buffer have one address; a view inside is as far in as it says', () => {
    const { distance } = load();
    const small = Uint8Array.of(1, 2, 3, 4);
    expect(distance(small, small)).toBe(0n);
    const large = new Uint8Array(1000);
    expect(distance(large, large.subarray(123))).toBe(123n);
    expect(distance(large.buffer, new DataView(large.buffer, 77))).toBe(77n);
  });

  test("a callable's address is its entry stub", () => {
    const { object, identity, invoke } = load();
    const seven = makeJit().load(returning('f', 7)).get('f');
    expect(identity(seven)).toBe(seven.entry);
    expect(invoke(seven)).toBe(7);
    expect(identity(identity)).toBe(object.get('identity').entry);
  });

  test('a callable of a freed code object is refused with StateError', () => {
    const { invoke } = load();
    const object = makeJit().load(returning('f', 7));
    const f = object.get('f');
    object.free();
    expect(errorOf(() => invoke(f))).toMatchObject({ code: 'ERR_STATE' });
  });

  test('a pointer that code returns can be passed back', () => {
    const { identity, peek } = load();
    const view = new Uint8Array(1000).fill(5);
    const address = identity(view);
    expect(typeof address).toBe('bigint');
    expect(peek(address, 999)).toBe(5);
  });

  test('empty buffers are accepted', () => {
    const { identity } = load();
    for (const empty of [new Uint8Array(0), new ArrayBuffer(0), Buffer.alloc(0)]) expect(typeof identity(empty)).toBe('bigint');
  });

  test('a detached ArrayBuffer has no bytes: null', () => {
    const { identity } = load();
    const buffer = new ArrayBuffer(100);
    const view = new Uint8Array(buffer);
    structuredClone(buffer, { transfer: [buffer] });
    expect([identity(buffer), identity(view)]).toEqual([0n, 0n]);
  });

  test('buffers stay where they are while code uses them, whatever the garbage collector does', () => {
    const { peek, poke } = load();
    const garbage: unknown[] = [];
    for (let i = 0; i < 2000; i++) {
      const view = Uint8Array.of(i & 255, 0, 0, 0, 0, 0, 0, 0);
      if (i % 400 === 0) globalThis.gc?.();
      garbage.push(new Array(100).fill(i));
      poke(view, 7, i & 127);
      expect([peek(view, 0), view[7]]).toEqual([i & 255, i & 127]);
      if (garbage.length > 500) garbage.length = 0;
    }
  });
});

test('what a call was given is not kept after it', async () => {
  const { peek } = load();
  const references = (() => {
    const views = Array.from({ length: 10 }, () => new Uint8Array(1000));
    for (const view of views) peek(view, 0);
    for (const view of views) errorOf(() => peek(view, 'x'));
    return views.map((view) => new WeakRef(view));
  })();
  for (let i = 0; i < 5; i++) {
    await new Promise((resolve) => setImmediate(resolve));
    globalThis.gc?.();
  }
  expect(references.map((reference) => reference.deref()).filter((view) => view !== undefined)).toEqual([]);
});
