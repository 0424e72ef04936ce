/**
 * npm run bench [-- [--json file] [--readme | figure ...]]
 *
 * In: names of figures; all of them if none is given. Out: the table on standard output, in a file as JSON, in docs/figures.md and the README. Always true: each
 * ratio is measured in one run beside its peer.
 */
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { array } from './array';
import { cache } from './cache';
import { call, hostCall } from './call';
import { collect } from './collect';
import { compile } from './compile';
import { writeDocuments } from './documents';
import { functions } from './functions';
import { relocateLarge, relocationBytes } from './large';
import { linkers } from './linkers';
import { memory } from './memory';
import { pauses } from './pauses';
import { LlvmPeer, root } from './peers';
import { relocateTiny } from './relocate-tiny';
import { repl } from './repl';
import { isReached, machine, plain, table, type Figure, type Row } from './report';

const figures: Readonly<Record<string, Figure>> = {
  'relocate-large': relocateLarge,
  'relocate-tiny': relocateTiny,
  linkers,
  'relocation-bytes': relocationBytes,
  memory,
  call,
  'host-call': hostCall,
  array,
  compile,
  functions,
  cache,
  collect,
  pauses,
  repl,
};

function usage(message: string): never {
  console.error(
    `${message}\nnpm run bench [-- [--json file] [--readme | figure ...]], where figure is one of ${Object.keys(figures).join(', ')}`,
  );
  process.exit(2);
}

async function versions(): Promise<Record<string, string>> {
  const peer = new LlvmPeer();
  const llvm = await peer.ask('version');
  await peer.stop();
  const { version } = JSON.parse(readFileSync(join(root, 'node_modules/koffi/package.json'), 'utf8')) as { version: string };
  return { 'peers: llvm': llvm, koffi: version, v8: process.versions.v8 };
}

/** A transpiler's version of lib/ is slower than the built package: its exports are getters. */
function requireBuilt(): void {
  const found = require.resolve('nomad-jit');
  if (found !== join(root, 'dist/index.js'))
    throw new Error(`the bench measures the built package, not ${found}: start it with npm run bench`);
}

async function main(): Promise<void> {
  requireBuilt();
  const { values, positionals } = parseArgs({
    options: { json: { type: 'string' }, readme: { type: 'boolean' } },
    allowPositionals: true,
  });
  const unknown = positionals.find((name) => !(name in figures));
  if (unknown !== undefined) usage(`no figure '${unknown}'`);
  if (values.readme === true && positionals.length > 0) usage('--readme is for a whole run');
  const names = positionals.length === 0 ? Object.keys(figures) : positionals;
  const about = machine(await versions());
  console.log(
    Object.entries(about)
      .map(([name, value]) => `${name} ${value}`)
      .join(', ') + '\n',
  );
  const rows: Row[] = [];
  for (const name of new Set(names)) {
    console.error(`bench   ${name}`);
    rows.push(...(await figures[name]!()));
  }
  console.log(table(rows));
  const judged = rows.filter(({ reach }) => reach !== undefined);
  console.log(`\n${judged.filter(isReached).length} of ${judged.length} reached`);
  if (values.readme === true) writeDocuments(rows, about);
  if (values.json !== undefined)
    writeFileSync(values.json, `${JSON.stringify({ machine: about, rows: rows.map(plain) }, undefined, 2)}\n`);
}

main().catch((error: unknown) => {
  console.error(error);
  process.exitCode = 1;
});
