/**
 * npm run demo [-- --only=sqlite] [--moves=4] [--seed=1]
 *
 * C sources from npm packages, compiled by clang to IR, run as code objects that move between calls. Each call's result is compared with that
 * of a native build of the same C, and where JavaScript knows the answer by itself, with that.
 */
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { isDeepStrictEqual, parseArgs } from 'node:util';
import { Jit, type Callable, type CodeObject } from 'nomad-jit';
import { buildBitcode, buildNative, root, type Built } from './build';
import { Mover, type Batch } from './mover';
import { movingFunctions, nativeFunctions } from './native';
import type { Program, Step } from './program';
import { keccak } from './programs/keccak';
import { lz4 } from './programs/lz4';
import { sqlite } from './programs/sqlite';
import { treeSitter } from './programs/tree-sitter';
import * as show from './show';

const { values: options } = parseArgs({
  options: {
    only: { type: 'string' },
    moves: { type: 'string', default: '4' },
    seed: { type: 'string', default: '1' },
  },
});
const movesBetweenCalls = Number(options.moves);
const seed = Number(options.seed);
const largestArenaBytes = 2 ** 31 - 65536;

interface Outputs {
  readonly bitcode: Built<string[]>;
  readonly native: Built<string>;
}

async function main(): Promise<boolean> {
  const start = performance.now();
  const programs = chosen([keccak, lz4, treeSitter, sqlite]);
  show.say(
    `nomad-jit on LLVM ${Jit.llvmVersion}: C from npm packages, moved ${movesBetweenCalls} times between any two calls, seed ${seed}`,
  );
  // The last program takes clang longest: it comes first, and the others run meanwhile.
  const outputs = new Map([...programs].reverse().map((program) => [program, build(program)]));
  const summaries: show.Summary[] = [];
  for (const program of programs) summaries.push(await demonstrate(program, await outputs.get(program)!));
  show.summary(summaries);
  const isRight = summaries.every(({ wrong }) => wrong === 0);
  show.conclusion(isRight, performance.now() - start);
  return isRight;
}

function chosen(programs: readonly Program[]): readonly Program[] {
  const { only } = options;
  const found = programs.filter(({ name }) => only === undefined || name === only);
  if (found.length === 0) throw new Error(`--only=${only}: one of ${programs.map(({ name }) => name).join(', ')}`);
  return found;
}

async function build(program: Program): Promise<Outputs> {
  const [bitcode, native] = await Promise.all([buildBitcode(program), buildNative(program)]);
  return { bitcode, native };
}

async function demonstrate(program: Program, { bitcode, native }: Outputs): Promise<show.Summary> {
  show.heading(program.name, `${program.about} (${program.packages.map(described).join(', ')}: ${program.licence})`);
  using jit = new Jit({ arenaBytes: largestArenaBytes });
  const start = performance.now();
  const objects = await compileAll(jit, program, bitcode.made);
  const clang = bitcode.cached ? 'cached' : show.seconds(bitcode.milliseconds);
  show.note(`clang ${clang}, compile and link ${show.seconds(performance.now() - start)}`);
  for (const { name, sizes, relocationCount, relocationBytes } of objects) {
    const { code, constants, data } = sizes;
    show.note(
      `${name}: code ${show.bytes(code)}, constants ${show.bytes(constants)}, data ${show.bytes(data)}; keeps ${show.bytes(relocationBytes)} for ${relocationCount} relocations`,
    );
  }
  const mover = new Mover(jit, jit.createSpace({ codeBytes: 960 * 2 ** 20, constantBytes: 2 ** 24, dataBytes: 2 ** 24 }), seed);
  mover.place(objects);
  const driver = objects.at(-1)!;
  const moving = program.steps(movingFunctions(driver));
  const known = program.steps(nativeFunctions(native.made, driver));
  return { name: program.name, codeBytes: codeBytesOf(objects), ...compare(moving, known, mover, objects) };
}

function described(name: string): string {
  const { version } = JSON.parse(readFileSync(join(root, 'node_modules', name, 'package.json'), 'utf8')) as { version: string };
  return `${name} ${version}`;
}

async function compileAll(jit: Jit, { sources, moves, optLevel }: Program, files: readonly string[]): Promise<CodeObject[]> {
  const objects: CodeObject[] = [];
  for (const [i, { name }] of sources.entries()) {
    const imports = Object.fromEntries(objects.flatMap(exportedBy));
    objects.push(await jit.compileAsync(readFileSync(files[i]!), { name, moves, optLevel, imports }));
  }
  return objects;
}

function exportedBy(object: CodeObject): Array<[string, Callable]> {
  return [...object.functions.keys()].map((name) => [name, object.get(name)]);
}

function codeBytesOf(objects: readonly CodeObject[]): number {
  return objects.reduce((sum, { sizes }) => sum + sizes.code, 0);
}

/** Makes both iterators' steps in turn; the code of the first moves before each of its steps but the first. */
function compare(moving: Iterator<Step>, known: Iterator<Step>, mover: Mover, objects: readonly CodeObject[]) {
  const batches: Batch[] = [];
  let calls = 0;
  let wrong = 0;
  show.columns();
  for (;;) {
    const batch = calls === 0 ? undefined : mover.move(someOf(objects, calls), movesBetweenCalls);
    const [mine, theirs] = [moving.next(), known.next()];
    if (mine.done === true) break;
    const verdict = theirs.done === true ? 'native has ended' : verdictOn(mine.value, theirs.value);
    show.row(batch, mine.value, verdict);
    if (batch !== undefined) batches.push(batch);
    calls++;
    if (verdict !== undefined) wrong++;
  }
  const total = (of: (batch: Batch) => number): number => batches.reduce((sum, batch) => sum + of(batch), 0);
  const perMove = batches.map(({ nanoseconds, moved }) => nanoseconds / 1000 / moved).sort((a, b) => a - b);
  return {
    moves: total(({ moved }) => moved),
    bytes: total(({ bytes }) => bytes),
    relocations: total(({ relocations }) => relocations),
    medianMicroseconds: perMove[Math.floor(perMove.length / 2)] ?? 0,
    calls,
    wrong,
  };
}

/** In turn: all together, then each alone, so that those which refer to each other are at every distance. */
function someOf(objects: readonly CodeObject[], turn: number): readonly CodeObject[] {
  const alone = objects[turn % (objects.length + 1)];
  return alone === undefined ? objects : [alone];
}

/** What is wrong with a result, if anything. */
function verdictOn(mine: Step, native: Step): string | undefined {
  if (!isDeepStrictEqual(mine.result, native.result)) return `native has ${native.result}`;
  if (mine.expected !== undefined && !isDeepStrictEqual(mine.result, mine.expected)) return `expected ${mine.expected}`;
  return undefined;
}

void main().then((isRight) => (process.exitCode = isRight ? 0 : 1));
