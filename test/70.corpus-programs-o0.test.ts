/** Real programs at O0: the right value and output while their code moves at every safepoint, and the right value again when they run a second time. */
import { programCases, testCases } from './support/corpus';

testCases(programCases(), 0);
