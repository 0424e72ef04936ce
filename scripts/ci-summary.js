/** Prints `N passed, N failed` from the results of jest and of the core's tests; exit code 1 where one failed or none ran. */
'use strict';
const fs = require('node:fs');

const nativeFile = process.argv.at(-1);
const jestFiles = process.argv.slice(2, -1);
const read = (file) => (fs.existsSync(file) ? JSON.parse(fs.readFileSync(file, 'utf8')) : undefined);
const native = read(nativeFile);
// The second run of jest is missing if CI stopped before it.
const runs = jestFiles.map(read).filter((run, i) => run !== undefined || i === 0);

// A test file that can't be loaded has no tests to count: it is one failure.
const failures = (run) => (run ? run.numFailedTests + run.numRuntimeErrorTestSuites : 1);
const sum = (numbers) => numbers.reduce((a, b) => a + b, 0);
const passed = sum(runs.map((run) => run?.numPassedTests ?? 0)) + (native?.passed ?? 0);
const failed = sum(runs.map(failures)) + (native?.failed ?? 0);
console.log(`${passed} passed, ${failed} failed`);
process.exit(failed > 0 || passed === 0 ? 1 : 0);
