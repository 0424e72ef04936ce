/**
 * What binding.gyp calls: builds with CMake and copies the addon, and the reader that it looks for beside itself, to where node-gyp
 * wants them.
 * node scripts/build-gyp.js --list-sources | <Release|Debug> <destination>
 */
'use strict';
const fs = require('node:fs');
const path = require('node:path');
const { root } = require('./step.js');
const { buildNative, filesUnder, readerBeside } = require('./build.js');

const [config, destination] = process.argv.slice(2);
if (config === '--list-sources') {
  for (const file of filesUnder('native')) console.log(path.relative(root, file));
} else {
  const target = path.resolve(destination);
  const addon = buildNative(config === 'Debug' ? 'debug' : 'release');
  fs.mkdirSync(path.dirname(target), { recursive: true });
  fs.copyFileSync(addon, target);
  fs.copyFileSync(readerBeside(addon), readerBeside(target));
}
