/**
 * The corpus: real programs as LLVM IR with known answers. It is not part of the repository.
 *
 * In: its folder (NOMAD_CORPUS, or beside the checkout). Out: one case for each program and variant, and `runCase`, which runs one in a
 * process of its own. Always true: without the corpus there are no cases, and under CI=true that is a failure.
 */
import { execFile } from 'node:child_process';
import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';

const folder = process.env.NOMAD_CORPUS ?? join(__dirname, '../../../shared/corpus');

/** One program in one variant, and what it must do. */
export interface CorpusCase {
  name: string;
  /** Gzipped IR texts of its modules. */
  files: string[];
  returns: number;
  /** What it prints when it runs the first time. */
  stdout: string;
  /** What it returns when it runs again; null where it can run only once or gives no known answer. */
  returnsAgain: number | null;
  /** How often a run calls `safepoint`, at least; each time each of its code objects moves or is pinned. */
  safepoints: number;
  /** Where the program counts its own steps: how many of them make a safepoint. */
  tickPeriod?: number;
  /** How often its code moves while it runs, at least, however many moves are forbidden. */
  leastMoves: number;
}

interface Program {
  name: string;
  returns_i32: number;
  second_run_in_same_load_returns?: number | null;
  stdout: string;
  variants: Record<string, { modules: string[]; safepoints: number; safepoints_exact: boolean; ticks?: number }>;
}

interface SmallProgram {
  name: string;
  file: string;
  returns_i32: number;
  stdout: string;
  safepoints: number;
}

export const isCorpusHere = existsSync(join(folder, 'manifest.json'));

function readManifest<T>(...path: string[]): T[] {
  if (!isCorpusHere) return [];
  const manifest = JSON.parse(readFileSync(join(folder, ...path, 'manifest.json'), 'utf8')) as { programs: T[] };
  return manifest.programs;
}

// Programs that tick are to move 100,000 times; two runs, and something for rounding and pins.
const movesOfTicks = 100_000;
const ticksPerRun = 55_000;

/** The big programs. */
export function programCases(): CorpusCase[] {
  return readManifest<Program>().flatMap((program) =>
    Object.entries(program.variants).map(([variant, { modules, safepoints, safepoints_exact, ticks }]) => ({
      name: `${program.name} ${variant}`,
      files: modules.map((file) => join(folder, file)),
      returns: program.returns_i32,
      stdout: readFileSync(join(folder, program.stdout), 'latin1'),
      returnsAgain: program.second_run_in_same_load_returns ?? null,
      ...(ticks === undefined
        ? { safepoints: safepoints_exact ? safepoints : Math.floor(safepoints / 2), leastMoves: 0 }
        : { safepoints: movesOfTicks / 2, tickPeriod: Math.max(1, Math.floor(ticks / ticksPerRun)), leastMoves: movesOfTicks }),
    })),
  );
}

/** A suite of small programs, each of which runs once. */
export function smallCases(suite: 'csmith' | 'uthash-tests'): CorpusCase[] {
  return readManifest<SmallProgram>(suite).map(({ name, file, returns_i32, stdout, safepoints }) => ({
    name,
    files: [join(folder, suite, file)],
    returns: returns_i32,
    stdout,
    returnsAgain: null,
    safepoints,
    leastMoves: 0,
  }));
}

/** What the process that ran a case tells. */
export interface CorpusResult {
  returns: number;
  returnsAgain: number | null;
  /** Moves while nothing ran. */
  movesBetween: number;
  /** All moves. */
  moves: number;
  /** Return addresses that were rewritten. */
  patched: number;
  /** Moves that the stack forbade, and how many of them for which causes together. */
  pinned: number;
  causes: Record<string, number>;
  stdout: string;
}

/** Other than the usual: code then moves at one of `movePeriod` safepoints. With a linker and a way to retain, each move is verified. */
export interface Linking {
  readonly linker?: 'jitlink' | 'runtimedyld';
  readonly retain?: 'relocations' | 'object';
  /** A code object for each function of the one module; of them a few move each time. */
  readonly granularity?: 'function';
  readonly movePeriod: number;
}

/** Runs a case in a process of its own, its code relocated before, between and at every safepoint. */
export function runCase(corpusCase: CorpusCase, optLevel: 0 | 2, linking?: Linking): Promise<CorpusResult> {
  const child = join(__dirname, 'corpus-child.mjs');
  const { files, returnsAgain, tickPeriod } = corpusCase;
  const request = JSON.stringify({ files, optLevel, runs: returnsAgain === null ? 1 : 2, tickPeriod, linking });
  return new Promise((resolve, reject) => {
    const options = { encoding: 'latin1' as const, maxBuffer: 64 << 20 };
    execFile(process.execPath, [child, request], options, (error, stdout, stderr) => {
      if (error) {
        reject(new Error(`${corpusCase.name}: ${error.message}\n${stderr}`));
        return;
      }
      // The program's output belongs to the program: the result comes on the last line of stderr.
      const report = JSON.parse(stderr.trimEnd().split('\n').at(-1) ?? '') as Omit<CorpusResult, 'stdout'>;
      resolve({ ...report, stdout });
    });
  });
}

// Constructors reach safepoints while their code object is being placed, and a second run need not do all that the first does.
const ofAllSafepoints = 0.9;

// A part of all moves that were tried: of 1,000 tries about 1 is forbidden at O2; at O0 up to 30, since frames have more words that nobody writes.
const leastMoved = 0.9;

/** One test for each case; none, with a notice, where the corpus is missing. */
export function testCases(cases: CorpusCase[], optLevel: 0 | 2): void {
  if (!isCorpusHere) {
    const report = process.env.CI === 'true' ? test : test.skip;
    report('the corpus is here (NOMAD_CORPUS, or shared/corpus beside the checkout)', () => expect(isCorpusHere).toBe(true));
    return;
  }
  const sum = { moves: 0, patched: 0, tries: 0 };
  test.each(cases.map((each) => [each.name, each] as const))(`%s at O${optLevel}`, async (_, each) => {
    const result = await runCase(each, optLevel);
    expect(result.returns).toBe(each.returns);
    expect(result.stdout.slice(0, each.stdout.length)).toBe(each.stdout);
    if (each.returnsAgain !== null) expect(result.returnsAgain).toBe(each.returnsAgain);
    expect(result.movesBetween).toBeGreaterThanOrEqual(100);
    const runs = each.returnsAgain === null ? 1 : 2;
    const tries = result.moves - result.movesBetween + result.pinned;
    expect(tries).toBeGreaterThanOrEqual(each.safepoints * runs * each.files.length * ofAllSafepoints);
    expect(result.moves - result.movesBetween).toBeGreaterThanOrEqual(each.leastMoves);
    sum.moves += result.moves - result.movesBetween;
    sum.patched += result.patched;
    sum.tries += tries;
  });
  test(`at O${optLevel} code moved while it ran`, () => {
    expect(sum.moves).toBeGreaterThan(sum.tries * leastMoved);
    expect(sum.patched).toBeGreaterThan(sum.moves);
  });
}
