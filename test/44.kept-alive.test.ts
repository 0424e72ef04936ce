/**
 * What a call, and a redirection under it, keep alive when nothing else does.
 *
 * Everything is made in one job and used in another: until its end a job keeps what it has made, whoever else does.
 */
import { setImmediate as nextJob } from 'node:timers/promises';
import { CopyingCollector, hostFunction, type CodeObject } from 'nomad-jit';
import { callingHost, i32Host, withNoCodegen } from './support/hosts';
import { collectGarbage, makeJit } from './support/jits';
import { multiplying, returning } from './support/programs';

/** Twice a host function, the second one after the first. */
const noteTwice = `declare i32 @first(i32)
declare i32 @second(i32)
define i32 @f(i32 %x) {
  %a = call i32 @first(i32 %x)
  %b = call i32 @second(i32 %a)
  ret i32 %b
}`;

describe.each(['0', '1'])('a call (NOMAD_JIT_NO_CODEGEN=%s)', (noCodegen) => {
  test('keeps the buffer of an argument', async () => {
    const jit = makeJit();
    const junk: Uint8Array[] = [];
    const wait = hostFunction('void ()', () => {
      for (let i = 0; i < 3; i++) globalThis.gc!();
      for (let i = 0; i < 50; i++) junk.push(new Uint8Array(1 << 20).fill(0xee));
    });
    const source =
      'declare void @wait()\ndefine i32 @f(ptr %p) {\n call void @wait()\n %x = load i8, ptr %p\n %y = zext i8 %x to i32\n ret i32 %y\n}';
    const f = withNoCodegen(noCodegen, () => jit.load(source, { imports: { wait } }).get('f'));
    await nextJob();
    for (let i = 0; i < 5; i++, junk.length = 0) expect(f(new Uint8Array(1 << 20).fill(i + 1))).toBe(i + 1);
  });

  test('keeps the code of a callable that is an argument', async () => {
    const jit = makeJit();
    const wait = hostFunction('void ()', () => {
      for (let i = 0; i < 3; i++) globalThis.gc!();
      collector.collect();
    });
    const collector = new CopyingCollector(jit);
    const source = 'declare void @wait()\ndefine i32 @f(ptr %g) {\n call void @wait()\n %x = call i32 %g()\n ret i32 %x\n}';
    const f = withNoCodegen(noCodegen, () => jit.load(source, { imports: { wait } }).get('f'));
    const made = [5, 6, 7].map((i) => collector.compile(returning('g', i)).get('g') as (() => number) | undefined);
    await nextJob();
    for (const i of [0, 1, 2]) {
      const take = (): unknown => {
        const callable = made[i];
        made[i] = undefined;
        return callable;
      };
      expect(f(take())).toBe(5 + i);
    }
  });
});

test('redirected code that is running can go on calling its host functions', async () => {
  const jit = makeJit({ optLevel: 0 });
  const seen: string[] = [];
  const hooks = { stop: (): void => undefined };
  const held = (() => {
    const note = (name: string) => i32Host((x) => (seen.push(name), hooks.stop(), x + 1));
    const old = jit.load(noteTwice, { imports: { first: note('first'), second: note('second') } });
    const caller = jit.load(callingHost('g', 100).replaceAll('@host', '@f'), { imports: { f: old.get('f') } });
    return { caller: caller.get('g'), next: jit.load(multiplying('h', 7)).get('h') };
  })();
  await collectGarbage(2);
  hooks.stop = () => {
    const [old] = held.caller.codeObject.references as [CodeObject];
    if (old.functions.has('f')) jit.redirect(old.get('f'), held.next);
    for (let i = 0; i < 3; i++) globalThis.gc!();
  };
  expect(held.caller(1)).toBe(103);
  expect(seen).toEqual(['first', 'second']);
  expect(held.caller(1)).toBe(107);
});
