/**
 * The builds. In: the sources. Out: node_modules, build-cmake/Release/nomad_jit.node and nomad_bitcode_reader, dist/.
 *
 * Always true: what is up to date is left alone, judged by content (node_modules, dist) or by ninja (native).
 */
'use strict';
const { createHash } = require('node:crypto');
const fs = require('node:fs');
const path = require('node:path');
const { root, say, runOrFail } = require('./step.js');

const inRoot = (...names) => path.join(root, ...names);

function readJson(file) {
  try {
    return JSON.parse(fs.readFileSync(file, 'utf8'));
  } catch {
    return undefined;
  }
}

/** Does what npm last installed agree with the lock file, package by package? */
function modulesUpToDate() {
  const locked = readJson(inRoot('package-lock.json'))?.packages;
  const installed = readJson(inRoot('node_modules', '.package-lock.json'))?.packages;
  if (installed === undefined) return false;
  return Object.entries(locked).every(
    ([name, { version, optional }]) => name === '' || (installed[name] ? installed[name].version === version : optional === true),
  );
}

function ensureModules() {
  if (!fs.existsSync(inRoot('package-lock.json')) || modulesUpToDate()) return;
  say('npm', 'npm ci');
  const npm = process.env.npm_execpath ? [process.execPath, process.env.npm_execpath] : ['npm'];
  runOrFail(npm[0], [...npm.slice(1), 'ci', '--include=dev', '--ignore-scripts', '--no-audit', '--no-fund'], { what: 'npm ci' });
}

/** A CMake cache remembers absolute paths: one that came from elsewhere is of no use. */
function dropForeignCache(folder) {
  const cache = path.join(folder, 'CMakeCache.txt');
  if (!fs.existsSync(cache)) return;
  if (!fs.readFileSync(cache, 'utf8').includes(`CMAKE_HOME_DIRECTORY:INTERNAL=${root}\n`)) fs.rmSync(folder, { recursive: true });
}

/** Changing between variants builds nothing again. The static one differs from the release in its last step, the link. */
const variants = {
  release: { folder: 'build-cmake', output: 'Release', args: [] },
  debug: { folder: 'build-debug', output: 'Debug', args: ['-D'] },
  static: { folder: 'build-cmake', output: 'Release/static', args: ['--target', 'nomad_jit_static'] },
};

function newestTime(file) {
  return fs.existsSync(file) ? fs.statSync(file).mtimeMs : 0;
}

/** The process that reads bitcode; the addon looks for it in its own folder. */
const readerBeside = (addon) => path.join(path.dirname(addon), 'nomad_bitcode_reader');

/** Returns the built addon's path. */
function buildNative(variant) {
  const { folder, output, args } = variants[variant];
  const addon = inRoot(folder, output, 'nomad_jit.node');
  dropForeignCache(inRoot(folder));
  const before = newestTime(addon);
  if (before === 0) say('native', `building ${folder}/${output}/nomad_jit.node (a minute or two)`);
  const cmakeJs = require.resolve('cmake-js/bin/cmake-js', { paths: [root] });
  // `build`, not `compile`: on an error the latter wipes the folder and builds everything again.
  runOrFail(process.execPath, [cmakeJs, 'build', '-O', inRoot(folder), ...args], { what: 'the native build' });
  if (before !== 0 && newestTime(addon) !== before) say('native', `built ${folder}/${output}/nomad_jit.node again`);
  return addon;
}

function filesUnder(folder) {
  return fs
    .readdirSync(inRoot(folder), { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile())
    .map((entry) => path.join(entry.parentPath ?? entry.path, entry.name))
    .sort();
}

function fingerprint(files) {
  const hash = createHash('sha256');
  for (const file of files) hash.update(`${path.relative(root, file)}\0`).update(fs.readFileSync(file));
  return hash.digest('hex');
}

/** dist/: CommonJS by tsc, and for `import` a module that passes the same objects on: there is one addon, so one Jit class. */
function buildTypeScript() {
  if (!fs.existsSync(inRoot('lib'))) return; // an installed package has dist/ only
  const stamp = inRoot('dist', '.fingerprint');
  const inputs = ['package-lock.json', 'tsconfig.json', 'tsconfig.build.json', 'scripts/build.js'].map((name) => inRoot(name));
  const now = fingerprint([...filesUnder('lib'), ...inputs]);
  if (fs.existsSync(stamp) && fs.readFileSync(stamp, 'utf8') === now) return;
  say('tsc', 'lib -> dist');
  fs.rmSync(inRoot('dist'), { recursive: true, force: true });
  runOrFail(process.execPath, [inRoot('node_modules/typescript/bin/tsc'), '-p', 'tsconfig.build.json'], { what: 'tsc' });
  for (const name of ['index.mjs', 'index.d.mts']) fs.writeFileSync(inRoot('dist', name), "export * from './index.js';\n");
  fs.writeFileSync(stamp, now);
}

module.exports = { inRoot, filesUnder, readerBeside, ensureModules, buildNative, buildTypeScript, dropForeignCache };
