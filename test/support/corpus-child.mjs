// Runs one corpus program in this process: corpus-child.mjs FILE OPTLEVEL once|twice. Its code moves 120 times before each run, to
// places all over the arena; the program's constants and data stay (moves: 'code'). Prints the result as JSON on stderr, because
// stdout is the program's.
import { readFileSync } from 'node:fs';
import { gunzipSync } from 'node:zlib';
import { Jit } from 'nomad-jit';

const [file, optLevel, runs] = process.argv.slice(2);
const movesBeforeRun = 120;
const stride = 0x2_10_00 + 0x40; // neither a page nor a power of two

const jit = new Jit();
const space = jit.createSpace({ codeBytes: 256 << 20, constantBytes: 16 << 20, dataBytes: 64 << 20 });
const safepoint = jit.load('define void @safepoint() { ret void }').get('safepoint');
const program = jit.compile(gunzipSync(readFileSync(file)), { name: file, optLevel: Number(optLevel), imports: { safepoint } });
program.place(space.allocate(program));

const places = Math.floor(((256 << 20) - program.sizes.code) / stride);
let moves = 0;
function moveAround() {
  for (let i = 0; i < movesBeforeRun; i++) {
    moves++;
    program.relocate({ space, code: ((moves * 7919) % places) * stride });
  }
}

const run = program.get('run');
moveAround();
const returns = run();
moveAround();
const returnsAgain = runs === 'twice' ? run() : null;
process.stderr.write(`\n${JSON.stringify({ returns, returnsAgain, moves })}\n`);
