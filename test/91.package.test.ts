/**
 * The packed package, as an installation finds it: what is in it, and that `require` and `import` give the same.
 */
import { execFileSync } from 'node:child_process';
import { copyFileSync, existsSync, mkdirSync, mkdtempSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';

const root = join(__dirname, '..');
const folder = mkdtempSync(join(tmpdir(), 'nomad-jit-package-'));
const installed = join(folder, 'node_modules', 'nomad-jit');

/** What `npm run build` makes in an installed package. */
const built = ['nomad_jit.node', 'nomad_bitcode_reader'].map((name) => join('build-cmake', 'Release', name));

beforeAll(() => {
  mkdirSync(installed, { recursive: true });
  execFileSync('npm', ['pack', '--ignore-scripts', '--silent', '--pack-destination', folder], { cwd: root, encoding: 'utf8' });
  const tarball = readdirSync(folder).find((name) => name.endsWith('.tgz'))!;
  execFileSync('tar', ['-xzf', join(folder, tarball), '--strip-components=1', '-C', installed]);
});

afterAll(() => rmSync(folder, { recursive: true }));

/** Runs a module of somebody who has installed it; returns what it prints as JSON. */
function run(name: string, source: string): unknown {
  writeFileSync(join(folder, name), source);
  const environment = { ...process.env, NODE_OPTIONS: '', NOMAD_JIT_ADDON: '' };
  return JSON.parse(execFileSync(process.execPath, [name], { cwd: folder, encoding: 'utf8', env: environment }));
}

function filesIn(path: string): string[] {
  return readdirSync(path, { recursive: true, encoding: 'utf8' }).sort();
}

test('all that the build needs is there, and nothing that it does not', () => {
  expect(filesIn(join(installed, 'native'))).toEqual(filesIn(join(root, 'native')));
  expect(filesIn(join(installed, 'cmake'))).toEqual(filesIn(join(root, 'cmake')));
  const needed = [
    'CMakeLists.txt',
    'LICENSE',
    'README.md',
    'dist/index.js',
    'dist/index.mjs',
    'dist/index.d.ts',
    'dist/index.d.mts',
  ];
  expect(needed.filter((name) => !existsSync(join(installed, name)))).toEqual([]);
  expect(['lib', 'test', 'fuzz', 'bench', '.ci'].filter((name) => existsSync(join(installed, name)))).toEqual([]);
  // Each script of the build finds the others.
  const found = `console.log(JSON.stringify(Object.keys(require('nomad-jit/package.json').scripts).includes('build')
    && typeof require('./node_modules/nomad-jit/scripts/build.js').buildNative));`;
  expect(run('scripts.cjs', found)).toBe('function');
});

test('before it is built it says so', () => {
  const source = `try { new (require('nomad-jit').Jit)(); } catch ({ message }) { console.log(JSON.stringify(message)); }`;
  expect(run('unbuilt.cjs', source)).toMatch(/the native addon is not built/);
});

describe('built', () => {
  beforeAll(() => {
    for (const name of built) {
      mkdirSync(dirname(join(installed, name)), { recursive: true });
      copyFileSync(join(root, name), join(installed, name));
    }
  });

  const use = `const object = new nomad.Jit().load('define i32 @f(i32 %x) { %y = mul i32 %x, 3 ret i32 %y }');
    console.log(JSON.stringify([object.get('f')(14), Object.keys(nomad).filter((name) => name !== '__esModule').sort()]));`;

  test('require and import give the same names, which work', () => {
    const required = run('required.cjs', `const nomad = require('nomad-jit');\n${use}`) as [number, string[]];
    expect(required[0]).toBe(42);
    expect(required[1]).toContain('CopyingCollector');
    expect(run('imported.mjs', `import * as nomad from 'nomad-jit';\n${use}`)).toEqual(required);
  });

  test('both in one process have one Jit class', () => {
    const source = `import { createRequire } from 'node:module';\nimport { Jit, hostFunction } from 'nomad-jit';
      const required = createRequire(import.meta.url)('nomad-jit');
      console.log(JSON.stringify([required.Jit === Jit, required.hostFunction === hostFunction]));`;
    expect(run('both.mjs', source)).toEqual([true, true]);
  });

  test('nothing else can be imported', () => {
    const source = `import('nomad-jit/dist/core.js').catch(({ code }) => console.log(JSON.stringify(code)));`;
    expect(run('inside.mjs', source)).toBe('ERR_PACKAGE_PATH_NOT_EXPORTED');
  });
});
