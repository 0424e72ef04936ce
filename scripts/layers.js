/**
 * Do the folders of native/ include only what comes before them?
 * node scripts/layers.js
 */
'use strict';
const fs = require('node:fs');
const path = require('node:path');
const { fail } = require('./step.js');
const { inRoot, filesUnder } = require('./build.js');

/** In the order of the data flow: each may include itself and those before it. */
const layers = ['base', 'compile', 'memory', 'link', 'move', 'stack', 'fault', 'runtime', 'enter', 'engine', 'wrap'];
/** A program of its own: the two that it is built from. */
const programs = { reader: ['reader', 'base', 'compile'] };

const allowedIn = (folder) => programs[folder] ?? layers.slice(0, layers.indexOf(folder) + 1);

function wrongIncludes(file) {
  const [folder] = path.relative(inRoot('native'), file).split(path.sep);
  const allowed = allowedIn(folder);
  const included = [...fs.readFileSync(file, 'utf8').matchAll(/^#include "(\w+)\/.*"$/gm)];
  return included
    .filter(([, of]) => fs.existsSync(inRoot('native', of)) && !allowed.includes(of))
    .map(([line]) => `${path.relative(inRoot(), file)}: ${line}`);
}

const folders = fs.readdirSync(inRoot('native'));
const unknown = folders.filter((folder) => !layers.includes(folder) && !(folder in programs));
const wrong = [
  ...unknown.map((folder) => `native/${folder}: which layer is it?`),
  ...filesUnder('native')
    .filter((file) => /\.(h|cpp)$/.test(file))
    .flatMap(wrongIncludes),
];
if (wrong.length > 0) fail(`native/ includes upwards\n${wrong.join('\n')}`);
