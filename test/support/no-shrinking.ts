/**
 * For mutants.mjs: a property that fails fails at once. Nobody reads the counterexample, and finding a small one takes a hundred times as long.
 */
import fc from 'fast-check';

fc.configureGlobal({ endOnFailure: true });
