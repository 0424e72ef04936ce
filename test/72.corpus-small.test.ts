/** 50 csmith programs and 85 uthash tests, at O0 and O2. */
import { smallCases, testCases } from './support/corpus';

for (const suite of ['csmith', 'uthash-tests'] as const) {
  describe(suite, () => {
    testCases(smallCases(suite), 0);
    testCases(smallCases(suite), 2);
  });
}
