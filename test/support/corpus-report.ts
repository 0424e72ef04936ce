/**
 * How often code of the corpus moved while it ran, how many return addresses were rewritten, and what pinned it. Run with
 * `node --import tsx test/support/corpus-report.ts [0|2] [part of a name]`, after a build.
 */
import { programCases, runCase, smallCases, type CorpusCase, type CorpusResult } from './corpus';

interface Row {
  moves: number;
  patched: number;
  pinned: number;
  causes: Map<string, number>;
}

function rowOf({ moves, movesBetween, patched, pinned, causes }: CorpusResult): Row {
  return { moves: moves - movesBetween, patched, pinned, causes: new Map(Object.entries(causes)) };
}

function add(sum: Row, row: Row): Row {
  for (const [cause, count] of row.causes) sum.causes.set(cause, (sum.causes.get(cause) ?? 0) + count);
  return { ...sum, moves: sum.moves + row.moves, patched: sum.patched + row.patched, pinned: sum.pinned + row.pinned };
}

function print(name: string, { moves, patched, pinned, causes }: Row): void {
  const list = [...causes].sort(([, a], [, b]) => b - a).map(([cause, count]) => `${cause} ${count}`);
  console.log(`| ${name} | ${moves} | ${patched} | ${pinned} | ${list.join(', ')} |`);
}

async function report(title: string, cases: CorpusCase[], optLevel: 0 | 2, showsEach: boolean): Promise<void> {
  let sum: Row = { moves: 0, patched: 0, pinned: 0, causes: new Map() };
  for (const each of cases) {
    const row = rowOf(await runCase(each, optLevel));
    if (showsEach) print(each.name, row);
    sum = add(sum, row);
  }
  print(title, sum);
}

async function main(): Promise<void> {
  const optLevel = process.argv[2] === '0' ? 0 : 2;
  const part = process.argv[3] ?? '';
  console.log('| program | moves | return addresses patched | pinned | by what |\n|---|---|---|---|---|');
  const isWanted = ({ name }: CorpusCase): boolean => name.includes(part);
  await report('all programs', programCases().filter(isWanted), optLevel, true);
  for (const suite of ['csmith', 'uthash-tests'] as const)
    await report(suite, smallCases(suite).filter(isWanted), optLevel, false);
}

void main();
