/**
 * Breaks the decisions of lib/ one at a time, and tells which breaks no test notices.
 * node scripts/mutants.mjs [space] [call] [collector] [--files=GLOB]
 *
 * In: folders of lib/, each with the tests that are about it. Out: what survived, and the score. Always true: a mutant meets the tests that run its
 * line, and no others; child processes use dist/, so tests that are only about those find no mutant.
 */
import { createRequire } from 'node:module';
import { parseArgs } from 'node:util';
import { Stryker } from '@stryker-mutator/core';

const require = createRequire(import.meta.url);
const jestConfig = require('../jest.config.js');
const { root, say, fail } = require('./step.js');
const { inRoot } = require('./build.js');

/** By folder, so that a file may come, go or be split; those of none of these folders are not mutated. */
const groups = {
  space: { folders: ['space'], tests: ['15', '21', '22', '55.misuse-spaces', '81', '89'] },
  call: { folders: ['call'], tests: ['40', '41', '42', '43', '44', '55.misuse-buffers', '55.misuse-reentrancy'] },
  collector: { folders: ['collector', 'tier', 'zeal'], tests: ['34', '39', '80', '81', '82', '83', '84', '85', '86'] },
};

/** Texts, lists and patterns decide nothing. */
const excludedMutations = ['StringLiteral', 'ObjectLiteral', 'ArrayDeclaration', 'Regex', 'OptionalChaining', 'ArrowFunction'];

const { values, positionals } = parseArgs({ allowPositionals: true, options: { files: { type: 'string' } } });
const unknown = positionals.filter((name) => !(name in groups));
if (unknown.length > 0) fail(`${unknown.join(', ')}: one of ${Object.keys(groups).join(', ')}`);

// The sandbox has no build of its own.
process.env.NOMAD_JIT_ADDON ??= inRoot('build-cmake', 'Release', 'nomad_jit.node');
process.chdir(root);

function optionsFor({ folders, tests }) {
  return {
    mutate: [...(values.files === undefined ? folders.map((folder) => `lib/${folder}/**/*.ts`) : [values.files])],
    mutator: { excludedMutations },
    ignoreStatic: true,
    testRunner: 'jest',
    plugins: ['@stryker-mutator/jest-runner'],
    testRunnerNodeArgs: ['--expose-gc'],
    coverageAnalysis: 'perTest',
    jest: {
      config: { ...jestConfig, maxWorkers: 1, testMatch: tests.map((name) => `<rootDir>/test/${name}*.test.ts`) },
      enableFindRelatedTests: false,
    },
    concurrency: 2,
    timeoutMS: 5000,
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

function describe({ fileName, location, mutatorName, replacement, status }) {
  const to = replacement.replaceAll(/\s+/g, ' ').slice(0, 80);
  return `${fileName.replace(`${root}/`, '')}:${location.start.line}:${location.start.column}  ${mutatorName} -> ${to}${status === 'NoCoverage' ? '  (not run)' : ''}`;
}

const all = [];
for (const name of positionals.length > 0 ? positionals : Object.keys(groups)) {
  say('mutants', name);
  const results = await new Stryker(optionsFor(groups[name])).runMutationTest();
  for (const mutant of results.filter(isAlive)) console.log(describe(mutant));
  report(name, results);
  all.push(...results);
}
report('in all', all);

function report(name, results) {
  const [killed, alive] = [results.filter(isKilled).length, results.filter(isAlive).length];
  say('mutants', `${name}: ${killed} killed, ${alive} survived: ${((100 * killed) / Math.max(1, killed + alive)).toFixed(1)} %`);
}
