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
  /** Gzipped IR text. */
  file: string;
  returns: number;
  /** What it prints when it runs the first time. */
  stdout: string;
  /** What it returns when it runs again; null where it can run only once or gives no known answer. */
  returnsAgain: number | null;
}

interface Program {
  name: string;
  returns_i32: number;
  second_run_in_same_load_returns?: number | null;
  stdout: string;
  variants: Record<string, { modules: string[] }>;
}

interface SmallProgram {
  name: string;
  file: string;
  returns_i32: number;
  stdout: string;
}

export const isCorpusHere = existsSync(join(folder, 'manifest.json'));

function readManifest<T>(...path: string[]): T[] {
  if (!isCorpusHere) return [];
  const manifest = JSON.parse(readFileSync(join(folder, ...path, 'manifest.json'), 'utf8')) as { programs: T[] };
  return manifest.programs;
}

/** The big programs. Variants of several modules that refer to each other need forward references, so they are not here yet. */
export function programCases(): CorpusCase[] {
  return readManifest<Program>().flatMap((program) =>
    Object.entries(program.variants)
      .filter(([, { modules }]) => modules.length === 1)
      .map(([variant, { modules }]) => ({
        name: `${program.name} ${variant}`,
        file: join(folder, modules[0] ?? ''),
        returns: program.returns_i32,
        stdout: readFileSync(join(folder, program.stdout), 'latin1'),
        returnsAgain: program.second_run_in_same_load_returns ?? null,
      })),
  );
}

/** A suite of small programs, each of which runs once. */
export function smallCases(suite: 'csmith' | 'uthash-tests'): CorpusCase[] {
  return readManifest<SmallProgram>(suite).map(({ name, file, returns_i32, stdout }) => ({
    name,
    file: join(folder, suite, file),
    returns: returns_i32,
    stdout,
    returnsAgain: null,
  }));
}

/** What the process that ran a case tells. */
export interface CorpusResult {
  returns: number;
  returnsAgain: number | null;
  moves: number;
  stdout: string;
}

/** Runs a case in a process of its own, its code relocated before and between. */
export function runCase(corpusCase: CorpusCase, optLevel: 0 | 2): Promise<CorpusResult> {
  const child = join(__dirname, 'corpus-child.mjs');
  const { file, returnsAgain } = corpusCase;
  const again = returnsAgain === null ? 'once' : 'twice';
  return new Promise((resolve, reject) => {
    const options = { encoding: 'latin1' as const, maxBuffer: 64 << 20 };
    execFile(process.execPath, [child, file, String(optLevel), again], options, (error, stdout, stderr) => {
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

/** One test for each case; none, with a notice, where the corpus is missing. */
export function testCases(cases: CorpusCase[], optLevel: 0 | 2): void {
  if (!isCorpusHere) {
    const report = process.env.CI === 'true' ? test : test.skip;
    report('the corpus is here (NOMAD_CORPUS, or shared/corpus beside the checkout)', () => expect(isCorpusHere).toBe(true));
    return;
  }
  test.each(cases.map((each) => [each.name, each] as const))(`%s at O${optLevel}`, async (_, each) => {
    const result = await runCase(each, optLevel);
    expect(result.returns).toBe(each.returns);
    expect(result.stdout.slice(0, each.stdout.length)).toBe(each.stdout);
    if (each.returnsAgain !== null) expect(result.returnsAgain).toBe(each.returnsAgain);
    expect(result.moves).toBeGreaterThanOrEqual(100);
  });
}
