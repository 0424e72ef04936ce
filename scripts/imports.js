/**
 * The levels of lib/: a file imports from its own folder and from folders of lower levels, and no chain of imports comes back to where it began.
 * Imports of types count too. node scripts/imports.js
 */
'use strict';
const fs = require('node:fs');
const path = require('node:path');
const ts = require('typescript');
const { fail } = require('./step.js');
const { inRoot, filesUnder } = require('./build.js');

/** Lower levels first. Folders of one level don't know each other. */
const levels = [['base'], ['record'], ['call', 'space'], ['code'], ['jit'], ['tier', 'zeal'], ['collector'], ['index.ts']];

const lib = inRoot('lib');
const folderOf = (file) => file.split(path.sep)[0];
const levelOf = (file) => levels.findIndex((folders) => folders.includes(folderOf(file)));

/** The files of lib/ that one of them imports. */
function importsOf(file) {
  const { importedFiles } = ts.preProcessFile(fs.readFileSync(path.join(lib, file), 'utf8'));
  const local = importedFiles.map(({ fileName }) => fileName).filter((name) => name.startsWith('.'));
  return local.map((name) => `${path.join(path.dirname(file), name)}.ts`);
}

function isAllowed(from, to) {
  return folderOf(from) === folderOf(to) || levelOf(to) < levelOf(from);
}

/** One circle of imports for each that a walk from `file` comes upon. */
function circlesFrom(file, graph, done, trail = []) {
  const start = trail.indexOf(file);
  if (start >= 0) return [[...trail.slice(start), file]];
  if (done.has(file)) return [];
  const circles = (graph.get(file) ?? []).flatMap((next) => circlesFrom(next, graph, done, [...trail, file]));
  done.add(file);
  return circles;
}

const files = filesUnder('lib').map((file) => path.relative(lib, file));
const graph = new Map(files.map((file) => [file, importsOf(file)]));
const done = new Set();
const problems = [
  ...files.filter((file) => levelOf(file) < 0).map((file) => `${file} is on no level: scripts/imports.js lists them`),
  ...[...graph].flatMap(([from, all]) => all.filter((to) => !isAllowed(from, to)).map((to) => `${from} must not import ${to}`)),
  ...files.flatMap((file) => circlesFrom(file, graph, done)).map((circle) => `a circle: ${circle.join(' -> ')}`),
];
if (problems.length > 0) fail(['imports in lib/', ...problems].join('\n'));
