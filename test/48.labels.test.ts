/**
 * Labels as values, and jump tables, in code that moves. Oracle: the interpreters' operations in JS, and C's rules of where a label's address
 * can be.
 */
import { CopyingCollector, PinnedError, type CodeObject } from 'nomad-jit';
import { i32Host, makeGround } from './support/hosts';
import { errorOf } from './support/jits';
import { compileC } from './support/tools';

/** `int run(const unsigned char *, int)`: 0 ends, 1 adds 1, 2 doubles, 3 subtracts what the host returns. Each step asks the host. */
const dispatches = {
  'a table of labels': `
    static const void *const table[] = {&&end, &&inc, &&twice, &&sub};
    #define NEXT goto *table[*code++]
    NEXT;
    inc: acc += 1; host(acc); NEXT;
    twice: acc *= 2; host(acc); NEXT;
    sub: acc -= host(acc); NEXT;
    end: return acc;`,
  'a table of distances between labels': `
    static const int table[] = {&&end - &&end, &&inc - &&end, &&twice - &&end, &&sub - &&end};
    #define NEXT goto *(&&end + table[*code++])
    NEXT;
    inc: acc += 1; host(acc); NEXT;
    twice: acc *= 2; host(acc); NEXT;
    sub: acc -= host(acc); NEXT;
    end: return acc;`,
  'a label in a variable': `
    const void *next = &&end;
    again: switch (*code++) { case 1: next = &&inc; break; case 2: next = &&twice; break; case 3: next = &&sub; break; default: next = &&end; }
    host(acc);
    goto *next;
    inc: acc += 1; goto again;
    twice: acc *= 2; goto again;
    sub: acc -= host(acc); goto again;
    end: return acc;`,
  'a switch whose cases end in calls': `
    for (;;) {
      switch (*code++) {
        case 1: acc += 1; host(acc); break;
        case 2: acc *= 2; host(acc); break;
        case 3: acc -= host(acc); host(0); break;
        case 4: acc ^= 5; host(acc); break;
        case 5: acc += 7; host(acc); break;
        default: return acc;
      }
    }`,
};

function interpreter(body: string): string {
  return `int host(int);\nint run(const unsigned char *code, int acc) {${body}\n}`;
}

function model(code: readonly number[], start: number): number {
  return code.reduce((acc, op) => [acc, acc + 1, acc * 2, acc - 3, acc ^ 5, acc + 7][op] ?? acc, start);
}

/** Code may have a label in a frame while it waits: that pins. */
const keepsLabels = new Set(['a table of distances between labels', 'a label in a variable']);

describe.each(Object.entries(dispatches))('%s', (name, body) => {
  test.each([0, 1, 2] as const)('the interpreter moves in the middle of its loop, O%i', (optLevel) => {
    const { add, nextCode } = makeGround();
    let moved = 0;
    const failed: unknown[] = [];
    const host = i32Host(() => {
      try {
        object.relocate(nextCode());
        moved++;
      } catch (error) {
        failed.push(error);
      }
      return 3;
    });
    const object: CodeObject = add(compileC('c', interpreter(body)), { imports: { host }, optLevel });
    const run = object.get<(code: Uint8Array, acc: number) => number>('run');
    const programs = [[1, 2, 3], [2, 2, 1, 3, 1, 2], [3], [1, 1, 1, 2, 3, 2, 1], []];
    for (const code of programs) expect(run(Uint8Array.of(...code, 0), 11)).toBe(model(code, 11));
    for (const error of failed) expect(error).toBeInstanceOf(PinnedError);
    if (keepsLabels.has(name)) expect(moved + failed.length).toBeGreaterThan(0);
    else expect([moved > 0, failed]).toEqual([true, []]);
  });
});

const storing = {
  'memory that was handed in': 'void **code; int run(void **to) { *to = &&end; goto *&&end; end: return 7; }',
  'a global variable': 'void *kept; int run(void **to) { kept = &&end; *to = 0; goto *kept; end: return 7; }',
  'a function':
    'void keep(void *, void **); int run(void **to) { keep(&&end, to); goto *&&end; end: return 7; }\nvoid keep(void *l, void **to) { *to = l; }',
  'what a function returns':
    'void *give(int x) { if (x) return &&end; goto *&&end; end: return 0; } int run(void **to) { give(0); *to = 0; return 7; }',
  'memory that it was copied to from a table': `void *memcpy(void *, const void *, unsigned long);
    int run(void **to) { static const void *const table[] = {&&end, &&other}; memcpy(to, table, 8); goto *table[1]; other: end: return 7; }`,
};

describe.each(Object.entries(storing))('labels that get into %s', (_, source) => {
  test.each([0, 2] as const)('are not left behind: the code can be placed, called, freed, and does not move, O%i', (optLevel) => {
    const { jit, add, nextCode } = makeGround();
    const object = add(compileC('c', source), { optLevel });
    const run = object.get<(to: BigUint64Array) => number>('run');
    expect(run(new BigUint64Array(4))).toBe(7);
    const before = object.addressOf('run');
    const error = errorOf(() => object.relocate(nextCode()));
    expect(error).toBeInstanceOf(PinnedError);
    expect(error.message).toMatch(/labels/);
    expect([object.addressOf('run'), run(new BigUint64Array(4))]).toEqual([before, 7]);
    object.free();
    const collector = new CopyingCollector(jit, { nurseryBytes: 2 ** 16, oldBytes: 2 ** 17 });
    const managed = collector.compile(compileC('c', source), { optLevel });
    const place = managed.addressOf('run');
    expect(collector.collect('major').pinned).toBe(1);
    expect([managed.addressOf('run'), managed.get<typeof run>('run')(new BigUint64Array(4))]).toEqual([place, 7]);
    collector.dispose();
  });
});
