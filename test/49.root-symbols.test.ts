/**
 * `symbol` of stack roots: the exported function whose code a value lies in, or nothing. Oracle: the test knows who called whom.
 */
import { hostFunction, type CodeObject, type StackRoot } from 'nomad-jit';
import { callingHost, i32Host, makeGround } from './support/hosts';

const optLevels = [0, 2] as const;

/** The innermost frame first. */
function symbolsOf(roots: readonly StackRoot[]): Array<string | undefined> {
  return roots.toSorted((a, b) => Number(a.address - b.address)).map(({ symbol }) => symbol);
}

/** `i32 name(i32)`: calls `callee`, and adds 1. */
function step(name: string, callee: string, linkage = ''): string {
  return `define ${linkage} i32 @${name}(i32 %x) noinline {
  %y = call i32 @${callee}(i32 %x)
  %z = add i32 %y, 1
  ret i32 %z
}\n`;
}

describe.each(optLevels)('return addresses, optLevel %d', (optLevel) => {
  test('in exported functions, internal ones before, between and behind them, also after a move', () => {
    const { jit, add, nextCode } = makeGround();
    const source = `declare i32 @host(i32)
${step('first', 'host', 'internal')}${step('inner', 'first')}${step('between', 'inner', 'internal')}${step('outer', 'between')}${step('last', 'outer', 'internal')}
define i32 @entry(i32 %x) {
  %y = call i32 @last(i32 %x)
  %z = add i32 %y, 1
  ret i32 %z
}`;
    const seen: unknown[] = [];
    const host = i32Host((x) => {
      seen.push(symbolsOf(jit.stackRoots().exact));
      object.relocate(nextCode());
      seen.push(symbolsOf(jit.stackRoots().exact));
      return x;
    });
    const object: CodeObject = add(source, { optLevel, imports: { host } });
    expect(object.get('entry')(1)).toBe(7);
    const expected = [undefined, 'inner', undefined, 'outer', undefined, 'entry'];
    expect(seen).toEqual([expected, expected]);
    expect(jit.stackRoots().exact).toEqual([]);
  });

  test('behind the end of a function whose last call does not return', () => {
    const { jit, add } = makeGround();
    const source = `declare i32 @host(i32)
define i32 @before(i32 %x) { ret i32 %x }
define i32 @ends(i32 %x) {
  %y = call i32 @host(i32 %x) noreturn
  unreachable
}
define i32 @behind(i32 %x) { ret i32 %x }`;
    const seen: unknown[] = [];
    const host = i32Host(() => {
      seen.push(symbolsOf(jit.stackRoots().exact));
      throw new Error('leaves');
    });
    const object = add(source, { optLevel, imports: { host } });
    expect(() => object.get('ends')(1)).toThrow('leaves');
    expect(seen).toEqual([['ends']]);
  });

  test('two code objects, each with its own names', () => {
    const { jit, add } = makeGround();
    const seen: unknown[] = [];
    const host = i32Host((x) => {
      const { exact } = jit.stackRoots();
      seen.push([...symbolsOf(exact), exact.map(({ codeObject }) => codeObject === outer)]);
      return x;
    });
    const inner = add(callingHost('f'), { optLevel, imports: { host } });
    const outer: CodeObject = add(callingHost('g').replaceAll('@host', '@f'), { optLevel, imports: { f: inner.get('f') } });
    expect(outer.get('g')(1)).toBe(3);
    expect(seen).toEqual([['f', 'g', [false, true]]]);
  });
});

test('an alias is the function that it is an alias of', () => {
  const { jit, add } = makeGround();
  const seen: unknown[] = [];
  const host = i32Host((x) => {
    seen.push(symbolsOf(jit.stackRoots().exact));
    return x;
  });
  const object = add(`@other = alias i32 (i32), ptr @f\n${callingHost('f')}`, { imports: { host } });
  expect([object.get('f')(1), object.get('other')(1)]).toEqual([2, 2]);
  expect(seen).toEqual([['f'], ['f']]);
});

test('other words: the function they point into; none for what points to data', () => {
  const { jit, add } = makeGround();
  const source = `@data = global i32 7
declare i32 @host(i32)
declare ptr @llvm.returnaddress(i32)
define internal i32 @reader(i32 %x) noinline {
  %p = alloca ptr
  %q = alloca ptr
  %a = call ptr @llvm.returnaddress(i32 0)
  store volatile ptr %a, ptr %p
  store volatile ptr @data, ptr %q
  %y = call i32 @host(i32 %x)
  %b = load volatile ptr, ptr %p
  %c = load volatile ptr, ptr %q
  ret i32 %y
}
define i32 @f(i32 %x) {
  %y = call i32 @reader(i32 %x)
  %z = add i32 %y, 10
  ret i32 %z
}`;
  const host = hostFunction('i32 (i32)', (x: number) => {
    const { exact, ambiguous } = jit.stackRoots();
    const data = ambiguous.filter(({ value }) => value === object.addressOf('data'));
    const code = ambiguous.filter(({ value }) => exact.some((root) => root.value === value && root.symbol === 'f'));
    expect([data.length > 0, code.length > 0]).toEqual([true, true]);
    expect(data.every((root) => !('symbol' in root))).toBe(true);
    expect(code.every(({ symbol }) => symbol === 'f')).toBe(true);
    return x;
  });
  const object: CodeObject = add(source, { optLevel: 0, moves: 'all', imports: { host } });
  expect(object.get('f')(5)).toBe(15);
});
