/**
 * Fuzzing the core: builds build-fuzz/fuzz_*, and runs one target or all of them.
 * npm run fuzz [-- target ...] [--seconds=600] [--seed=0] [--short]
 *
 * In: seeds in fuzz/seeds/<target>, and what earlier runs have found in build-fuzz/corpus/<target>. Out: an input for each defect in
 * build-fuzz/defects, and how to reproduce it. `--short` is CI's: seeds, then so many
 * inputs from a fixed seed that the same commit always sees the same ones, and nothing is kept.
 */
'use strict';
const { spawn } = require('node:child_process');
const fs = require('node:fs');
const os = require('node:os');
const path = require('node:path');
const { parseArgs } = require('node:util');
const { root, say, fail, runOrFail } = require('./step.js');
const { inRoot, dropForeignCache } = require('./build.js');

const { values, positionals } = parseArgs({
  options: { seconds: { type: 'string' }, seed: { type: 'string' }, short: { type: 'boolean', default: false } },
  allowPositionals: true,
});
const isShort = values.short;
const seconds = Number(values.seconds ?? 600);
/** Some twenty seconds each; 1,000 for a target that is not named. */
const shortRuns = { api_sequence: 600, deserialize: 600, ir_text: 8000, random_program: 900, signature: 300_000 };
const seed = Number(values.seed ?? (isShort ? 1 : 0)); // 0: another one each time
if (!(seconds > 0) || !Number.isInteger(seed)) fail('--seconds and --seed are numbers');

const targets = fs.readdirSync(inRoot('fuzz', 'targets')).map((name) => path.parse(name).name);
for (const name of positionals) if (!targets.includes(name)) fail(`no target ${name}; there are ${targets.join(', ')}`);
const chosen = positionals.length > 0 ? positionals : targets;

const folder = inRoot('build-fuzz');

function build() {
  dropForeignCache(folder);
  if (!fs.existsSync(path.join(folder, 'build.ninja'))) {
    const compilers = ['-DCMAKE_C_COMPILER=clang-22', '-DCMAKE_CXX_COMPILER=clang++-22', '-DCMAKE_BUILD_TYPE=None'];
    runOrFail('cmake', ['-G', 'Ninja', '-S', root, '-B', folder, '-DNOMAD_FUZZ=ON', ...compilers], { what: 'cmake' });
  }
  say('fuzz', 'building build-fuzz (two minutes the first time)');
  runOrFail('cmake', ['--build', folder, '--target', ...chosen.map((name) => `fuzz_${name}`)], {
    what: 'the build of the fuzz targets',
  });
}

/** libFuzzer's options for a run that starts from `corpus`. */
function optionsOf(target, corpus) {
  const dictionary = inRoot('fuzz', `${target}.dict`);
  return [
    ...(fs.existsSync(dictionary) ? [`-dict=${dictionary}`] : []),
    `-artifact_prefix=${inRoot('build-fuzz', 'defects')}/${target}-`,
    isShort ? `-runs=${shortRuns[target] ?? 1000}` : `-max_total_time=${seconds}`,
    `-seed=${seed}`,
    '-max_len=4096',
    '-timeout=60',
    '-rss_limit_mb=6000',
    '-print_final_stats=1',
    // LLVM may take its time, and the memory that it loses when it is rescued adds up: neither is a defect. A process of its own for each
    // few inputs forgets both.
    ...(target === 'ir_text' && !isShort ? ['-fork=1', '-ignore_timeouts=1', '-ignore_ooms=1'] : []),
    ...corpus,
  ];
}

/** Resolves to what went wrong, if anything. */
function runTarget(target, corpus) {
  return new Promise((resolve) => {
    const log = path.join(folder, `${target}.log`);
    const out = fs.openSync(log, 'w');
    const child = spawn(inRoot('build-fuzz', `fuzz_${target}`), optionsOf(target, corpus), { stdio: ['ignore', out, out] });
    child.on('error', (error) => resolve(`${target}: ${error.message}`));
    child.on('exit', (status, signal) => {
      fs.closeSync(out);
      const text = fs.readFileSync(log, 'utf8');
      const runs = /stat::number_of_executed_units: (\d+)/.exec(text)?.[1];
      if (status === 0) say('fuzz', `${target}: no defect${runs === undefined ? '' : ` in ${runs} runs`}`);
      resolve(status === 0 ? undefined : describe(target, text, status ?? signal));
    });
  });
}

function describe(target, text, status) {
  const input = /Test unit written to (\S+)/.exec(text)?.[1];
  const reason = /^(defect: .*|SUMMARY: .*|==\d+== ERROR: .*|ALARM: .*)$/m.exec(text)?.[0] ?? `exit code ${status}`;
  const reproduce = input === undefined ? '' : `\n  reproduce: build-fuzz/fuzz_${target} ${path.relative(root, input)}`;
  const bytes = input === undefined ? '' : `\n  its bytes, base64: ${fs.readFileSync(input).toString('base64').slice(0, 6000)}`;
  return `${target}: ${reason}${reproduce}${bytes}\n  the whole log: build-fuzz/${target}.log`;
}

/** Two targets at a time; returns the defects. */
async function runAll(corpusOf) {
  const waiting = [...chosen];
  const defects = [];
  const worker = async () => {
    for (let target = waiting.shift(); target !== undefined; target = waiting.shift()) {
      const defect = await runTarget(target, corpusOf(target));
      if (defect !== undefined) defects.push(defect);
    }
  };
  await Promise.all(Array.from({ length: Math.min(2, os.availableParallelism()) }, worker));
  return defects;
}

async function main() {
  build();
  fs.mkdirSync(path.join(folder, 'defects'), { recursive: true });
  const scratch = fs.mkdtempSync(path.join(os.tmpdir(), 'nomad-fuzz-'));
  let defects;
  try {
    defects = await runAll((target) => {
      // The first folder is the one that is written to.
      const kept = isShort ? path.join(scratch, target) : path.join(folder, 'corpus', target);
      fs.mkdirSync(kept, { recursive: true });
      return [kept, inRoot('fuzz', 'seeds', target)];
    });
  } finally {
    fs.rmSync(scratch, { recursive: true, force: true });
  }
  if (defects.length > 0) fail(`defects found:\n\n${defects.join('\n\n')}\n`);
}

main().catch((error) => fail(error.stack));
