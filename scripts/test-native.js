/**
 * The core's own tests, under sanitizers, without Node. Out: build-sanitize/summary.json with `passed` and `failed`.
 */
'use strict';
const fs = require('node:fs');
const { root, say, fail, run, runOrFail } = require('./step.js');
const { inRoot, dropForeignCache } = require('./build.js');

const folder = inRoot('build-sanitize');
dropForeignCache(folder);
if (!fs.existsSync(inRoot('build-sanitize', 'build.ninja'))) {
  runOrFail('cmake', ['-G', 'Ninja', '-S', root, '-B', folder, '-DNOMAD_CORE_TESTS=ON', '-DNOMAD_SANITIZE=ON'], {
    what: 'cmake',
  });
}
say('native', 'building build-sanitize/core_tests');
runOrFail('cmake', ['--build', folder], { what: 'the build of the core tests' });

const result = run('ctest', ['--test-dir', folder, '--verbose', '--no-tests=error']);
process.stdout.write(result.stdout + result.stderr);

const cases = [...result.stdout.matchAll(/\[doctest\] test cases: *\d+ *\| *(\d+) passed *\| *(\d+) failed/g)];
const sum = (group) => cases.reduce((total, match) => total + Number(match[group]), 0);
// A crash prints no summary; it is one failure.
const summary = { passed: sum(1), failed: Math.max(sum(2), result.status === 0 ? 0 : 1) };
fs.writeFileSync(inRoot('build-sanitize', 'summary.json'), JSON.stringify(summary));
if (result.status !== 0 || summary.passed === 0) fail('core tests failed');
