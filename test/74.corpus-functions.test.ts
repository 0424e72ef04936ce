/** The corpus, function by function: each program as hundreds of code objects that refer to each other, of which some move at every safepoint. */
import { isCorpusHere, programCases, runCase, smallCases } from './support/corpus';

const movingSafepoints = 400;
const cases = [...programCases(), ...smallCases('csmith'), ...smallCases('uthash-tests')].filter(
  ({ files, tickPeriod }) => files.length === 1 && tickPeriod === undefined,
);

if (!isCorpusHere) {
  const report = process.env.CI === 'true' ? test : test.skip;
  report('the corpus is here (NOMAD_CORPUS, or shared/corpus beside the checkout)', () => expect(isCorpusHere).toBe(true));
} else {
  test.each(cases.map((each, i) => [each.name, i % 2 === 0 ? 2 : 0, each] as const))('%s at O%d', async (_, optLevel, each) => {
    const movePeriod = Math.max(1, Math.floor(each.safepoints / movingSafepoints));
    const result = await runCase(each, optLevel, { granularity: 'function', movePeriod });
    expect(result.returns).toBe(each.returns);
    expect(result.stdout.slice(0, each.stdout.length)).toBe(each.stdout);
    if (each.returnsAgain !== null) expect(result.returnsAgain).toBe(each.returnsAgain);
    expect(result.moves).toBeGreaterThan(0);
  });
}
