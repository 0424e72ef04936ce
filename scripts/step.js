/**
 * Running commands and talking about it. No dependencies: set-up runs before `npm ci`.
 *
 * Always true: a step is silent where it has nothing to do, and one that fails shows the command's whole output.
 */
'use strict';
const { spawnSync } = require('node:child_process');
const path = require('node:path');

const root = path.resolve(__dirname, '..');

function say(topic, text) {
  console.log(`${topic.padEnd(7)} ${text}`);
}

/** Ends the process: what stands in the way, and what to do. */
function fail(message) {
  console.error(`\nnomad-jit: ${message}`);
  process.exit(1);
}

function run(command, args, options = {}) {
  return spawnSync(command, args, { cwd: root, encoding: 'utf8', maxBuffer: 1 << 28, ...options });
}

/** Runs quietly; where the command fails, shows what it printed and ends. */
function runOrFail(command, args, options = {}) {
  const result = run(command, args, options);
  if (result.status === 0) return result.stdout;
  process.stderr.write(`${result.stdout ?? ''}${result.stderr ?? ''}`);
  const why = result.error ? result.error.message : (result.signal ?? `exit code ${result.status}`);
  return fail(`${options.what ?? [command, ...args].join(' ')} failed (${why})`);
}

module.exports = { root, say, fail, run, runOrFail };
