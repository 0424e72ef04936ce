/**
 * Every check that runs nothing. All of them run, then the exit code tells.
 * node scripts/lint.js [--fix | --tidy]
 */
'use strict';
const fs = require('node:fs');
const { say, fail, run } = require('./step.js');
const { inRoot, filesUnder } = require('./build.js');

const bin = (name, script) => [process.execPath, inRoot('node_modules', name, script)];
const eslint = bin('eslint', 'bin/eslint.js');
const prettier = bin('prettier', 'bin/prettier.cjs');
const tsc = bin('typescript', 'bin/tsc');
const publint = bin('publint', 'src/cli.js');
const typedoc = bin('typedoc', 'bin/typedoc');

const nativeFiles = ['native', 'test/native', 'bench/native', 'fuzz']
  .filter((folder) => fs.existsSync(inRoot(folder)))
  .flatMap((folder) => filesUnder(folder))
  .filter((file) => /\.(h|cpp)$/.test(file));
const coreFiles = nativeFiles.filter((file) => file.endsWith('.cpp') && !/\/(test|wrap)\//.test(file));

const checks = {
  check: [
    ['tsc', [...tsc, '--noEmit']],
    ['eslint', [...eslint, '.']],
    ['imports', [process.execPath, inRoot('scripts', 'imports.js')]],
    ['prettier', [...prettier, '--check', '--log-level=warn', '.']],
    ['clang-format', ['clang-format-22', '--dry-run', '-Werror', ...nativeFiles]],
    ['layers', [process.execPath, inRoot('scripts', 'layers.js')]],
    ['publint', [...publint, '--strict']],
    ['typedoc', [...typedoc, 'lib/index.ts', '--emit', 'none', '--logLevel', 'Error']],
  ],
  fix: [
    ['prettier', [...prettier, '--write', '--log-level=warn', '.']],
    ['clang-format', ['clang-format-22', '-i', ...nativeFiles]],
    ['eslint', [...eslint, '--fix', '.']],
  ],
  // A configuration of its own, since clang can't read gcc's precompiled headers.
  tidy: [
    ['cmake', ['cmake', '-G', 'Ninja', '-B', 'build-tidy', '-DNOMAD_PCH=OFF']],
    ['clang-tidy', ['clang-tidy-22', '--quiet', '-p', 'build-tidy', ...coreFiles]],
  ],
};

const mode = process.argv.includes('--fix') ? 'fix' : process.argv.includes('--tidy') ? 'tidy' : 'check';
const failed = checks[mode].filter(([name, [command, ...args]]) => {
  say(mode === 'fix' ? 'format' : 'lint', name);
  return run(command, args, { stdio: 'inherit' }).status !== 0;
});
if (failed.length > 0) fail(`${failed.map(([name]) => name).join(', ')}: see above`);
