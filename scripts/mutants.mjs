/**
 * Breaks the decisions of lib/ one at a time, and tells which breaks no test notices.
 * node scripts/mutants.mjs [space] [call] [collector] [--files=GLOB] [--tests=NAME,...]
 *
 * In: folders of lib/, each with the tests that are about it, or those whose names begin as --tests says. Out: what survived, and the scores. Always
 * true: a mutant meets the tests that run its line, and no others, and is gone with the first that fails; child processes use dist/, so tests that are
 * only about those find no mutant.
 */
import { readdirSync } from 'node:fs';
import { createRequire } from 'node:module';
import { relative } from 'node:path';
import { parseArgs } from 'node:util';
import { Stryker } from '@stryker-mutator/core';

const require = createRequire(import.meta.url);
const jestConfig = require('../jest.config.js');
const { root, say, fail } = require('./step.js');
const { inRoot } = require('./build.js');

/**
 * By folder, so that a file may come, go or be split; those of none of these folders are not mutated. The tests that find most soonest are the
 * first: each file of tests has the mutants that those before it have left, since a run takes the longer the more files it loads.
 */
const groups = {
  space: { folders: ['space'], tests: ['15.allocators.test', '15', '22', '21', '55.misuse-spaces', '89', '81'] },
  call: {
    folders: ['call'],
    tests: [
      '40',
      '44.host-functions',
      '42',
      '41',
      '55.misuse-buffers',
      '55.misuse-reentrancy',
      '44.import-types',
      '43',
      '44.kept',
      '44.host-function-life',
    ],
  },
  collector: {
    folders: ['collector', 'tier', 'zeal'],
    tests: ['15', '81', '80', '84', '83', '34', '39', '85.reentrancy', '82', '85.oracle'],
  },
};

/** Texts, lists and patterns decide nothing. */
const excludedMutations = ['StringLiteral', 'ObjectLiteral', 'ArrayDeclaration', 'Regex', 'OptionalChaining', 'ArrowFunction'];

const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: { files: { type: 'string' }, tests: { type: 'string' } },
});
const unknown = positionals.filter((name) => !(name in groups));
if (unknown.length > 0) fail(`${unknown.join(', ')}: one of ${Object.keys(groups).join(', ')}`);

// The sandbox has no build of its own.
process.env.NOMAD_JIT_ADDON ??= inRoot('build-cmake', 'Release', 'nomad_jit.node');
// A mutant's tests are found by their names, which tell the seed and the number of random operations.
process.env.SEED ??= String(Date.now() % 2 ** 31);
process.env.OPERATIONS ??= '3000';
process.chdir(root);

function optionsFor(mutate, test) {
  return {
    mutate,
    mutator: { excludedMutations },
    ignoreStatic: true,
    testRunner: 'jest',
    plugins: ['@stryker-mutator/jest-runner'],
    testRunnerNodeArgs: ['--expose-gc'],
    coverageAnalysis: 'perTest',
    jest: {
      config: {
        ...jestConfig,
        maxWorkers: 1,
        testMatch: [`<rootDir>/test/${test}`],
        setupFilesAfterEnv: [...jestConfig.setupFilesAfterEnv, '<rootDir>/test/support/no-shrinking.ts'],
      },
      enableFindRelatedTests: false,
    },
    concurrency: 2,
    timeoutMS: 5000,
    dryRunTimeoutMinutes: 20,
    tempDirName: 'build-mutants',
    ignorePatterns: ['build*', 'bench', 'docs', 'fuzz', 'native'],
    allowEmpty: true,
    reporters: [process.stdout.isTTY ? 'progress' : 'progress-append-only'],
    clearTextReporter: { allowColor: false },
    allowConsoleColors: false,
    logLevel: 'warn',
  };
}

const isKilled = ({ status }) => status === 'Killed' || status === 'Timeout' || status === 'RuntimeError';
const isAlive = ({ status }) => status === 'Survived' || status === 'NoCoverage';

/** The path, the place and the change; the same in every stage. */
function describe({ fileName, location, mutatorName, replacement }) {
  const to = replacement.replaceAll(/\s+/g, ' ').slice(0, 80);
  return `${relative(root, fileName)}:${location.start.line}:${location.start.column}-${location.end.line}:${location.end.column}  ${mutatorName} -> ${to}`;
}

/** The part of its file that a mutant replaces, as Stryker has it: columns from 0. */
function rangeOf({ fileName, location: { start, end } }) {
  return `${relative(root, fileName)}:${start.line}:${start.column - 1}-${end.line}:${end.column - 1}`;
}

/** The names of files, in the order of these beginnings. */
function testFiles(beginnings) {
  const names = readdirSync(inRoot('test')).filter((name) => name.endsWith('.test.ts'));
  return [...new Set(beginnings.flatMap((beginning) => names.filter((name) => name.startsWith(beginning))))];
}

/** The mutants of a group by description. A range has mutants inside that were killed: they stay so. */
async function runGroup({ folders, tests }) {
  const results = new Map();
  let mutate = values.files === undefined ? folders.map((folder) => `lib/${folder}/**/*.ts`) : [values.files];
  for (const test of testFiles(values.tests?.split(',') ?? tests)) {
    const found = mutate.length > 0 ? await new Stryker(optionsFor(mutate, test)).runMutationTest() : [];
    for (const mutant of found.filter((each) => isKilled(each) || isAlive(each))) {
      const before = results.get(describe(mutant));
      if (before === undefined || before.status === 'NoCoverage' || isKilled(mutant)) results.set(describe(mutant), mutant);
    }
    mutate = [...results.values()].filter(isAlive).map(rangeOf);
    report(test, [...results.values()]);
  }
  return [...results.values()];
}

const all = [];
for (const name of positionals.length > 0 ? positionals : Object.keys(groups)) {
  say('mutants', name);
  const results = await runGroup(groups[name]);
  for (const mutant of results.filter(isAlive)) console.log(describe(mutant), mutant.status === 'NoCoverage' ? ' (not run)' : '');
  const files = new Set(results.map(({ fileName }) => fileName));
  for (const file of files)
    report(
      relative(root, file),
      results.filter(({ fileName }) => fileName === file),
    );
  report(name, results);
  all.push(...results);
}
report('in all', all);

function report(name, results) {
  const [killed, alive] = [results.filter(isKilled).length, results.filter(isAlive).length];
  say('mutants', `${name}: ${killed} killed, ${alive} survived: ${((100 * killed) / Math.max(1, killed + alive)).toFixed(1)} %`);
}
