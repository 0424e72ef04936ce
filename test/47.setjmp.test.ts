/**
 * setjmp in code that moves. Oracle: what C says the calls return.
 */
import type { CodeObject, CompileOptions } from 'nomad-jit';
import { i32Host, makeGround } from './support/hosts';
import { compileC } from './support/tools';

const jumping = `
typedef long jmp_buf_like[25];
int SETJMP __attribute__((returns_twice));
void longjmp(void *, int) __attribute__((noreturn));
void *memcpy(void *, const void *, unsigned long);
int host(int);
static jmp_buf_like first, copy;
__attribute__((noinline)) LINKAGE int jump(int x) {
  volatile int times = 0;
  int code = CALL;
  times++;
  host(x);
  memcpy(copy, first, sizeof first);
  if (code < 3) longjmp(code == 1 ? copy : first, code + 1);
  return code * 100 + times;
}
int jumper(int x) { return jump(x); }
int plain(int x) { return host(x) + 1; }
`;

const callsOfSetjmp = {
  setjmp: ['setjmp(void *)', 'setjmp(first)'],
  _setjmp: ['_setjmp(void *)', '_setjmp(first)'],
  __sigsetjmp: ['__sigsetjmp(void *, int)', '__sigsetjmp(first, 1)'],
} as const;

describe('setjmp', () => {
  /** Tries to move at each call of `host`; what came of it. */
  function movingAlways(
    source: string,
    again?: string,
    moves?: 'all',
  ): { object: CodeObject; outcomes: string[]; stubs: () => number } {
    const { jit, add, nextCode } = makeGround();
    const outcomes: string[] = [];
    const host = i32Host((x) => {
      try {
        object.relocate(nextCode());
        outcomes.push('moved');
      } catch (error) {
        outcomes.push((error as Error).name);
      }
      return x;
    });
    const imports: CompileOptions['imports'] = { host };
    if (again !== undefined) imports[again] = jit.load('define i32 @again(ptr %p) { ret i32 3 }').get('again');
    const object: CodeObject = add(compileC('c', source), { moves: moves ?? 'code', imports });
    return { object, outcomes, stubs: () => jit.stats().entryStubs };
  }

  const source = (name: keyof typeof callsOfSetjmp, linkage: string): string =>
    jumping.replace('SETJMP', callsOfSetjmp[name][0]).replace('CALL', callsOfSetjmp[name][1]).replace('LINKAGE', linkage);

  test.each(
    Object.keys(callsOfSetjmp).flatMap((name) => ['', 'static'].map((linkage) => [name as keyof typeof callsOfSetjmp, linkage])),
  )('%s, %s: code that has moved since is returned to where it is now, by copies of the buffer too', (name, linkage) => {
    const { object, outcomes, stubs } = movingAlways(source(name as keyof typeof callsOfSetjmp, linkage));
    expect([object.get('plain')(1), object.get('jumper')(1)]).toEqual([2, 304]);
    const before = stubs();
    for (let i = 0; i < 50; i++) expect([object.get('plain')(i), object.get('jumper')(i)]).toEqual([i + 1, 304]);
    expect(stubs()).toBe(before);
    expect(outcomes).toEqual(new Array<string>(51 * 5).fill('moved'));
  });

  test.each([
    ["moves: 'all', whose registers are in the buffer", source('_setjmp', ''), undefined, 'all'],
    [
      'another function that returns twice',
      jumping.replace('SETJMP', 'again(void *)').replace('CALL', 'again(first)').replace('LINKAGE', ''),
      'again',
      undefined,
    ],
    ['a setjmp that somebody has imported', source('_setjmp', ''), '_setjmp', undefined],
  ] as const)(
    '%s: pinned while the function is active that called it, movable while only others are',
    (_, text, again, moves) => {
      const { object, outcomes } = movingAlways(text, again, moves);
      expect([object.get('plain')(5), Number(object.get('jumper')(5)) % 100 > 0]).toEqual([6, true]);
      expect([outcomes[0], new Set(outcomes.slice(1))]).toEqual(['moved', new Set(['PinnedError'])]);
    },
  );
});
