/** Prints `N passed, N failed` from jest's and the core tests' results; exit code 1 where one failed or none ran. */
'use strict';
const fs = require('node:fs');

const [jestFile, nativeFile] = process.argv.slice(2);
const read = (file) => (fs.existsSync(file) ? JSON.parse(fs.readFileSync(file, 'utf8')) : undefined);
const jest = read(jestFile);
const native = read(nativeFile);

const passed = (jest?.numPassedTests ?? 0) + (native?.passed ?? 0);
// A test file that can't be loaded has no tests to count: it is one failure.
const failed = (jest ? jest.numFailedTests + jest.numRuntimeErrorTestSuites : 1) + (native ? native.failed : 0);
console.log(`${passed} passed, ${failed} failed`);
process.exit(failed > 0 || passed === 0 ? 1 : 0);
