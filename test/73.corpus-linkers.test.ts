/**
 * Both linkers and both ways to keep code movable run the corpus: the same output, and after each move the bytes that a fresh link at the new
 * place gives. The usual pair, JITLink with relocations, moves at every safepoint in 70 and 71; here it is verified.
 */
import { isCorpusHere, programCases, runCase, smallCases, type CorpusCase, type Linking } from './support/corpus';

const pairs = (['jitlink', 'runtimedyld'] as const).flatMap((linker) =>
  (['relocations', 'object'] as const).map((retain) => ({ linker, retain })),
);

// A move links two or three times: of the largest programs, for minutes on a busy machine.
const verifiedMoves = 40;
const limitMilliseconds = 600_000;

async function check(each: CorpusCase, optLevel: 0 | 2, pair: Pick<Linking, 'linker' | 'retain'>): Promise<void> {
  const movePeriod = Math.max(1, Math.floor(each.safepoints / verifiedMoves));
  const result = await runCase(each, optLevel, { ...pair, movePeriod });
  expect(result.returns).toBe(each.returns);
  expect(result.stdout.slice(0, each.stdout.length)).toBe(each.stdout);
  if (each.returnsAgain !== null) expect(result.returnsAgain).toBe(each.returnsAgain);
  expect(result.moves).toBeGreaterThanOrEqual(3);
}

// Compiling takes most of the time. With NOMAD_FULL=1 each program runs with each pair at both levels; else with two pairs, at one level each.
const isFull = process.env.NOMAD_FULL === '1';
const programs = programCases().filter(({ tickPeriod }) => tickPeriod === undefined);
const small = [...smallCases('csmith'), ...smallCases('uthash-tests')];

function share(cases: readonly CorpusCase[], pairIndex: number): Array<readonly [string, 0 | 2, CorpusCase]> {
  const levels = [0, 2] as const;
  if (isFull) return cases.flatMap((each) => levels.map((level) => [each.name, level, each] as const));
  const isMine = (i: number): boolean => i % 2 === pairIndex % 2;
  return cases.flatMap((each, i) => (isMine(i) ? [[each.name, levels[((i >> 1) + (pairIndex >> 1)) % 2]!, each] as const] : []));
}

if (!isCorpusHere) {
  const report = process.env.CI === 'true' ? test : test.skip;
  report('the corpus is here (NOMAD_CORPUS, or shared/corpus beside the checkout)', () => expect(isCorpusHere).toBe(true));
} else {
  describe.each(pairs.map((pair, i) => ({ ...pair, i })))('$linker, $retain', ({ i, ...pair }) => {
    test.each(share(programs, i))('%s at O%d', (_, optLevel, each) => check(each, optLevel, pair), limitMilliseconds);
    test.each(share(small, i))('%s at O%d', (_, optLevel, each) => check(each, optLevel, pair));
  });
}
