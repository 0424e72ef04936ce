/**
 * compile: IR text and bitcode in, code objects out.
 */
import { CodeObject, Jit, type OptLevel } from 'nomad-jit';
import { codeAt, errorOf, expectWorking, makeJit } from './support/jits';
import {
  add,
  calling,
  counter,
  dispatchModel,
  jumpTable,
  mix,
  mixModel,
  multiplying,
  returning,
  threeSegments,
} from './support/programs';
import { expectSame } from './support/same';
import { assemble } from './support/tools';

const levels: OptLevel[] = [0, 1, 2, 3];

describe('sources', () => {
  test('IR text, the same text in a Buffer, and bitcode of it give the same answer', () => {
    const jit = makeJit();
    for (const source of [add, Buffer.from(add), new Uint8Array(Buffer.from(add)), assemble(add)]) {
      expect(jit.load(source).get('add')(40, 2)).toBe(42);
    }
  });

  test('a Uint8Array that is a part of a larger buffer is read from its own first to its own last byte', () => {
    const bitcode = assemble(add);
    const large = new Uint8Array(bitcode.length + 64).fill(0xff);
    large.set(bitcode, 32);
    const part = large.subarray(32, 32 + bitcode.length);
    expect(makeJit().load(part).get('add')(1, 2)).toBe(3);
  });

  test('the source may be changed as soon as compile has returned', () => {
    const source = Buffer.from(add);
    const object = makeJit().load(source);
    source.fill(0);
    expect(object.get('add')(1, 2)).toBe(3);
  });

  test('an empty source and one of comments alone are code objects without anything', () => {
    const jit = makeJit();
    for (const source of ['', '; nothing\n', '\n\n']) {
      const object = jit.load(source);
      expect(object.state).toBe('placed');
      expect([object.functions.size, object.globals.size]).toEqual([0, 0]);
    }
  });

  test('text beyond ASCII is UTF-8', () => {
    const object = makeJit().load('define i32 @"größe ✓"() {\n ret i32 7\n}', { name: 'läuft' });
    expect([...object.functions.keys()]).toEqual(['größe ✓']);
    expect(object.name).toBe('läuft');
    expect(object.get('größe ✓')()).toBe(7);
  });

  test("a module that names this machine's target triple compiles", () => {
    const jit = makeJit();
    for (const triple of ['x86_64-unknown-linux-gnu', 'x86_64-pc-linux-gnu'])
      expect(jit.load(`target triple = "${triple}"\n${add}`).get('add')(1, 2)).toBe(3);
  });
});

describe('optLevel', () => {
  test.each(levels)('%i gives the same answers as the model', (optLevel) => {
    const jit = makeJit({ optLevel });
    const dispatch = jit.load(jumpTable).get('dispatch');
    const mixed = jit.load(mix, { moves: 'all' }).get('mix');
    for (let op = -1; op < 10; op++) for (const x of [0, 1, -77, 2 ** 31 - 1]) expect(dispatch(op, x)).toBe(dispatchModel(op, x));
    for (const x of [0, 1, -1, 123456789]) expect(mixed(x)).toBe(mixModel(x));
  });

  test("a compile's own optLevel wins over the Jit's", () => {
    const dead = `define i32 @f(i32 %x) {\n${Array.from({ length: 50 }, (_, i) => `  %d${i} = mul i32 %x, ${i}`).join('\n')}\n  ret i32 %x\n}`;
    const wasteful = `define i32 @f(i32 %x) {
  %place = alloca i32
  store i32 %x, ptr %place
  %a = load i32, ptr %place
  %b = load i32, ptr %place
  %c = sub i32 %a, %b
  ret i32 %c
}`;
    const jit = makeJit({ optLevel: 2 });
    expect(jit.compile(wasteful, { optLevel: 0 }).sizes.code).toBeGreaterThan(jit.compile(wasteful).sizes.code);
    expect(jit.load(dead, { optLevel: 0 }).get('f')(9)).toBe(9);
  });
});

describe('what a code object tells', () => {
  test('ids differ and grow; names are those given, or made of the id', () => {
    const jit = makeJit();
    const [a, b, c] = [jit.compile(add), jit.compile(add, { name: 'adder' }), makeJit().compile(add)];
    expect(a.id).toBeLessThan(b.id);
    expect(b.id).toBeLessThan(c.id);
    expect([a.name, b.name]).toEqual([`object#${a.id}`, 'adder']);
    expect(a).toBeInstanceOf(CodeObject);
  });

  test('a fresh code object is unplaced and has no placement', () => {
    const object = makeJit().compile(threeSegments);
    expect([object.state, object.placement, object.moves, object.retain]).toEqual(['unplaced', undefined, 'code', 'relocations']);
  });

  test('functions: exported ones by name, with IR type, kinds and parameter names', () => {
    const { functions } = makeJit().compile(`
define i64 @many(i1 %flag, i8 %b, i16 %s, i64, float %f, double %d, ptr %p) { ret i64 0 }
define void @nothing() { ret void }
define internal i32 @hidden() { ret i32 1 }
declare i32 @puts(ptr)`);
    expect([...functions.keys()].sort()).toEqual(['many', 'nothing']);
    expect(functions.get('many')).toEqual({
      text: 'i64 (i1, i8, i16, i64, float, double, ptr)',
      result: 'i64',
      parameters: [
        { name: 'flag', type: 'i1' },
        { name: 'b', type: 'i8' },
        { name: 's', type: 'i16' },
        { name: undefined, type: 'i64' },
        { name: 'f', type: 'float' },
        { name: 'd', type: 'double' },
        { name: 'p', type: 'ptr' },
      ],
      refusal: undefined,
    });
    expect(functions.get('nothing')).toEqual({ text: 'void ()', result: 'void', parameters: [], refusal: undefined });
  });

  test('functions that JS cannot call are listed, with the reason', () => {
    const { functions } = makeJit().compile('define i24 @odd(i24 %x) { ret i24 %x }');
    expect(functions.get('odd')?.text).toBe('i24 (i24)');
    expect(functions.get('odd')?.refusal).toMatch(/i24/);
  });

  test('globals: exported ones by name, with type, kind, constancy and size', () => {
    const { globals } = makeJit().compile(`${threeSegments}
@flag = global i1 true
@pair = global { i32, i64 } zeroinitializer
@hidden = internal global i32 3
@other = external global i32`);
    expect(Object.fromEntries(globals)).toEqual({
      squares: { text: '[5 x i32]', kind: undefined, constant: true, sizeBytes: 20 },
      calls: { text: 'i64', kind: 'i64', constant: false, sizeBytes: 8 },
      flag: { text: 'i1', kind: 'i1', constant: false, sizeBytes: 1 },
      pair: { text: '{ i32, i64 }', kind: undefined, constant: false, sizeBytes: 16 },
    });
  });

  test('aliases are exported like what they stand for', () => {
    const object = makeJit().load(`${add}\n@plus = alias i32 (i32, i32), ptr @add\n@n = global i32 5\n@m = alias i32, ptr @n`);
    expect(object.get('plus')(2, 3)).toBe(5);
    expect(object.readGlobal('m')).toBe(5);
    expect(object.addressOf('plus')).toBe(object.addressOf('add'));
  });

  test('sizes and alignments are those of the segments', () => {
    const jit = makeJit();
    const plain = jit.compile(add);
    expect(plain.sizes).toEqual({ code: expect.any(Number), constants: 0, data: 0 });
    expect(plain.sizes.code).toBeGreaterThan(0);
    const aligned = jit.compile(
      '@c = constant [3 x i32] [i32 1, i32 2, i32 3], align 64\n@d = global [5 x i8] c"abcde", align 512',
    );
    expect(aligned.sizes.constants).toBeGreaterThanOrEqual(12);
    expect(aligned.sizes.data).toBeGreaterThanOrEqual(5);
    expect(aligned.alignments).toMatchObject({ constants: 64, data: 512 });
  });

  test("with moves: 'all' constants are part of the code", () => {
    const jit = makeJit();
    const [apart, together] = [jit.compile(threeSegments), jit.compile(threeSegments, { moves: 'all' })];
    expect(apart.sizes.constants).toBeGreaterThanOrEqual(20);
    expect(together.sizes.constants).toBe(0);
    expect(together.sizes.code).toBeGreaterThanOrEqual(apart.sizes.code + 20);
  });

  test('relocations: none for code that refers to nothing, few bytes for code that does (I1, I2)', () => {
    const jit = makeJit();
    const alone = jit.compile(mix, { moves: 'all' });
    expect([alone.relocationCount, alone.relocationBytes]).toEqual([0, 0]);
    const refers = jit.compile(threeSegments);
    expect(refers.relocationCount).toBeGreaterThanOrEqual(2);
    expect(refers.relocationBytes).toBeLessThan(16 * refers.relocationCount);
  });

  test("retain: 'none' keeps no relocations once placed", () => {
    const object = makeJit().load(threeSegments, { retain: 'none' });
    expect(object.retain).toBe('none');
    expect(object.relocationBytes).toBe(0);
    expect(object.get('square')(4)).toBe(16);
  });
});

describe('imports and references', () => {
  test('a code object refers to those whose functions it imports and uses, once each', () => {
    const jit = makeJit();
    const callee = jit.load(multiplying('triple', 3));
    const unused = jit.load(multiplying('unused', 5));
    const imports = { triple: callee.get('triple'), unused: unused.get('unused') };
    const caller = jit.compile(calling('f', 'triple', 1), { imports });
    expectSame(caller.references, [callee]);
    expect(callee.references).toEqual([]);
    caller.place(codeAt(jit.createSpace(), 1));
    expect(caller.get('f')(5)).toBe(16);
  });

  test('imports come before definitions, definitions before the process, and a later definition replaces an earlier', () => {
    const jit = makeJit();
    const answers = [1, 2, 3].map((value) => jit.load(`define i32 @f(i32) { ret i32 ${value} }`).get('f'));
    const load = (imports?: Record<string, (typeof answers)[0]>) =>
      jit.load(calling('call', 'wctob', 0), { imports }).get('call')(65);
    expect(load()).toBe(65); // libc's
    jit.define('wctob', answers[0]!);
    expect(load()).toBe(1);
    jit.define('wctob', answers[1]!);
    expect(load()).toBe(2);
    expect(load({ wctob: answers[2]! })).toBe(3);
  });

  test("a module's own definition wins over imports, definitions and the process (trap 19)", () => {
    const jit = makeJit();
    const other = jit.load('define i32 @abs(i32) { ret i32 1 }').get('abs');
    jit.define('abs', other);
    const own = jit.load(
      'define i32 @abs(i32 %x) { ret i32 5 }\ndefine i32 @f(i32 %x) {\n %y = call i32 @abs(i32 %x)\n ret i32 %y\n}',
      {
        imports: { abs: other },
      },
    );
    expect(own.get('f')(-9)).toBe(5);
    expect(own.references).toEqual([]);
  });

  test('a bigint import is an address: of data too', () => {
    const jit = makeJit();
    const owner = jit.load(counter);
    const reader = jit.load('@count = external global i32\ndefine i32 @peek() {\n %x = load i32, ptr @count\n ret i32 %x\n}', {
      imports: { count: owner.addressOf('count') },
    });
    owner.get('bump')();
    owner.get('bump')();
    expect(reader.get('peek')()).toBe(2);
  });

  test('extern_weak symbols that nobody defines are null (trap 21)', () => {
    const source = `declare extern_weak i32 @nowhere_to_be_found()
define i1 @isNull() {
  %x = icmp eq ptr @nowhere_to_be_found, null
  ret i1 %x
}`;
    expect(makeJit().load(source).get('isNull')()).toBe(true);
  });

  test('a definition whose code object is freed is gone', () => {
    const jit = makeJit();
    const object = jit.load(multiplying('twice', 2));
    jit.define('twice', object.get('twice'));
    object.free();
    expect(errorOf(() => jit.compile(calling('f', 'twice', 0)))).toMatchObject({ symbols: ['twice'] });
    expectWorking(jit);
  });
});

test('two Jits compile the same module without meeting', () => {
  const [a, b] = [makeJit().load(counter), makeJit().load(counter)];
  a.get('bump')();
  expect([a.readGlobal('count'), b.readGlobal('count')]).toEqual([1, 0]);
});

test('one module may define what another defines: nothing is merged (trap 4)', () => {
  const jit = makeJit();
  const objects = [1, 2, 3].map((value) =>
    jit.load(`define linkonce_odr i32 @f() { ret i32 ${value} }\n${returning('g', value)}`),
  );
  expect(objects.map((object) => object.get('g')())).toEqual([1, 2, 3]);
});

test('llvmVersion is a version of LLVM 22', () => expect(Jit.llvmVersion).toMatch(/^22\.\d+\.\d+/));
