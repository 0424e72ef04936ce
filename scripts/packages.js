/**
 * System packages. In: the purpose. Out: they are installed, or the process has ended with the command that installs them.
 */
'use strict';
const { say, fail, run } = require('./step.js');

const build = ['g++', 'cmake', 'ninja-build', 'llvm-22-dev'];
const wanted = {
  build,
  test: [...build, 'clang-22'],
  demo: [...build, 'clang-22'],
  bench: [...build, 'clang-22', 'chezscheme'],
  native: [...build, 'doctest-dev'],
  fuzz: [...build, 'clang-22', 'libclang-rt-22-dev'],
  gyp: [...build, 'python3', 'make'],
  lint: ['clang-format-22'],
  tidy: [...build, 'doctest-dev', 'clang-tidy-22'],
};

function missing(packages) {
  return packages.filter((name) => !run('dpkg-query', ['-W', '-f=${db:Status-Status}', name]).stdout.startsWith('installed'));
}

/** The prefix that makes a command run as root, or undefined. */
function asRoot() {
  if (process.getuid() === 0) return [];
  return run('sudo', ['-n', 'true']).status === 0 ? ['sudo', '-n'] : undefined;
}

function apt(prefix, ...args) {
  const command = [
    ...prefix,
    'env',
    'DEBIAN_FRONTEND=noninteractive',
    'apt-get',
    '-q',
    '-y',
    '-o',
    'DPkg::Lock::Timeout=300',
    ...args,
  ];
  return run(command[0], command.slice(1), { stdio: ['ignore', 'pipe', 'pipe'] });
}

function ensurePackages(purpose) {
  if (run('dpkg-query', ['--version']).error)
    return say('system', `no Debian package manager here; needed: ${wanted[purpose].join(' ')}`);
  const names = missing(wanted[purpose]);
  if (names.length === 0) return undefined;
  const byHand = `apt-get update && apt-get install -y --no-install-recommends ${names.join(' ')}`;
  const prefix = asRoot();
  if (prefix === undefined)
    return fail(`system packages are missing, and installing them needs root. Run:\n\n  sudo sh -c '${byHand}'\n`);
  say('system', `installing ${names.join(' ')} (apt-get; a minute on a fresh machine)`);
  // A stale index can still be good enough, so only the installation decides.
  apt(prefix, 'update');
  const result = apt(prefix, 'install', '--no-install-recommends', ...names);
  if (result.status === 0) return undefined;
  process.stderr.write(`${result.stdout ?? ''}${result.stderr ?? ''}`);
  return fail(
    `apt-get could not install the packages above. They are in Debian 12 with its security suite. By hand, as root:\n\n  ${byHand}\n`,
  );
}

module.exports = { ensurePackages, purposes: Object.keys(wanted) };
