/**
 * Both linkers and both ways to keep code movable run the corpus: the same output, and after each move the bytes that a fresh link at the new
 * place gives. The usual pair, JITLink with relocations, moves at every safepoint in 70 and 71; here it is verified.
 */
import { isCorpusHere, programCases, runCase, smallCases, type CorpusCase, type Linking } from './support/corpus';

const pairs = (['jitlink', 'runtimedyld'] as const).flatMap((linker) =>
  (['relocations', 'object'] as const).map((retain) => ({ linker, retain })),
);

// A move links two or three times.
const verifiedMoves = 40;

async function check(each: CorpusCase, optLevel: 0 | 2, pair: Pick<Linking, 'linker' | 'retain'>): Promise<void> {
  const movePeriod = Math.max(1, Math.floor(each.safepoints / verifiedMoves));
  const result = await runCase(each, optLevel, { ...pair, movePeriod });
  expect(result.returns).toBe(each.returns);
  expect(result.stdout.slice(0, each.stdout.length)).toBe(each.stdout);
  if (each.returnsAgain !== null) expect(result.returnsAgain).toBe(each.returnsAgain);
  expect(result.moves).toBeGreaterThanOrEqual(3);
}

// Compiling takes most of the time: programs alternate between the levels, so that each pair sees both.
const programs = programCases().filter(({ tickPeriod }) => tickPeriod === undefined);
const small = [...smallCases('csmith'), ...smallCases('uthash-tests')];

if (!isCorpusHere) {
  const report = process.env.CI === 'true' ? test : test.skip;
  report('the corpus is here (NOMAD_CORPUS, or shared/corpus beside the checkout)', () => expect(isCorpusHere).toBe(true));
} else {
  describe.each(pairs)('$linker, $retain', (pair) => {
    const level = (index: number): 0 | 2 => ((index + pairs.indexOf(pair)) % 2 === 0 ? 0 : 2);
    test.each(programs.map((each, i) => [each.name, level(i), each] as const))('%s at O%d', (_, optLevel, each) =>
      check(each, optLevel, pair),
    );
    test.each(small.map((each, i) => [each.name, level(i), each] as const))('%s at O%d', (_, optLevel, each) =>
      check(each, optLevel, pair),
    );
  });
}
