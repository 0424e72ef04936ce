/**
 * All that a script needs before it starts: system packages, npm packages, the addon, dist/.
 * node scripts/setup.js [--for=build|test|demo|bench|native|fuzz|gyp|lint|tidy] [--debug | --static]
 */
'use strict';
const { parseArgs } = require('node:util');
const { say, fail } = require('./step.js');
const { ensurePackages, purposes } = require('./packages.js');
const { ensureModules, buildNative, buildTypeScript } = require('./build.js');

const { values } = parseArgs({
  options: { for: { type: 'string', default: 'build' }, debug: { type: 'boolean' }, static: { type: 'boolean' } },
});
const purpose = values.for;
if (!purposes.includes(purpose)) fail(`--for=${purpose}: one of ${purposes.join(', ')}`);

ensurePackages(purpose);
ensureModules();
const isWithoutNode = purpose === 'native' || purpose === 'fuzz';
if (purpose !== 'lint' && !isWithoutNode) {
  const variant = values.debug ? 'debug' : values.static ? 'static' : 'release';
  const addon = buildNative(variant);
  if (variant !== 'release') say('native', `to use it: NOMAD_JIT_ADDON=${addon}`);
}
if (!isWithoutNode) buildTypeScript();
