// Runs one corpus program in this process: corpus-child.mjs REQUEST, a JSON object { files, optLevel, runs, tickPeriod, linking }. Its code moves at
// every safepoint, and 120 times before each run; with `linking`, which names a linker and what to retain, at some safepoints, and each move is
// compared with a fresh link; the program's constants and data stay (moves: 'code'). Prints the result as JSON on
// stderr, because stdout is the program's.
import { readFileSync } from 'node:fs';
import { gunzipSync } from 'node:zlib';
import { hostFunction, Jit } from 'nomad-jit';
import { loadModules } from './linked-modules.mjs';
import { loadParts, MovingParts } from './moving-parts.mjs';
import { MovingProgram } from './moving-program.mjs';

const { files, optLevel, runs, tickPeriod, linking } = JSON.parse(process.argv[2]);
const movesBeforeRun = linking === undefined ? 120 : 3;
const movePeriod = linking?.movePeriod ?? 1;
const retain = linking?.retain ?? 'relocations';

const jit = new Jit(linking?.retain === undefined ? {} : { linker: linking.linker, verifyMoves: true });
let reached = 0;
const space = jit.createSpace({ codeBytes: 256 << 20, constantBytes: 16 << 20, dataBytes: 64 << 20 });
let program;
const safepoint = hostFunction('void ()', () => (reached++ % movePeriod === 0 ? program?.move() : undefined)); // constructors run while nothing moves yet
const texts = files.map((file) => gunzipSync(readFileSync(file)).toString('latin1'));
const byFunction = linking?.granularity === 'function';
const load = byFunction ? loadParts : loadModules;
const objects = load(jit, space, texts, { optLevel, retain, imports: { safepoint } });
program = byFunction ? new MovingParts(jit, space, objects) : new MovingProgram(jit, space, objects);
const main = objects.find((object) => object.functions.has('run'));
if (tickPeriod !== undefined) main.writeGlobal('corpus_tick_period', tickPeriod);

const run = main.get('run');
const results = [];
let movesBetween = 0;
for (let i = 0; i < runs; i++) {
  const before = program.counts.moves;
  for (let j = 0; j < movesBeforeRun; j++) program.move();
  movesBetween += program.counts.moves - before;
  results.push(run());
}
const [returns, returnsAgain] = results;
process.stderr.write(`\n${JSON.stringify({ returns, returnsAgain: returnsAgain ?? null, movesBetween, ...program.counts })}\n`);
