/**
 * The README's tables.
 *
 * In: the rows of one whole run. Out: README.md with what stands between `<!-- bench: name -->` and `<!-- end -->` written anew. Always true:
 * nobody types a figure, and all of them are of one run.
 */
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { root } from './peers';
import { digits, isReached, quantity, ratioOf, type Row } from './report';

const isOfLinkers = ({ figure }: Row): boolean => /: (jitlink|runtimedyld), /.test(figure);

/** Writes the tables. Throws if the README has no place for one of them; then nothing is written. */
export function writeReadme(rows: readonly Row[], about: Readonly<Record<string, string>>): void {
  const file = join(root, 'README.md');
  const machine = Object.entries(about).map(([name, value]) => `${name} ${value}`);
  const blocks = {
    machine: [`This run: ${machine.join(', ')}.`],
    figures: figures(rows.filter((row) => !isOfLinkers(row) || row.reach !== undefined)),
    linkers: linkers(rows.filter(isOfLinkers)),
  };
  let text = readFileSync(file, 'utf8');
  for (const [name, lines] of Object.entries(blocks)) text = replaced(text, name, lines);
  writeFileSync(file, text);
}

function replaced(text: string, name: string, lines: readonly string[]): string {
  const start = `<!-- bench: ${name} -->\n`;
  const from = text.indexOf(start);
  const to = text.indexOf('<!-- end -->', from);
  if (from < 0 || to < 0) throw new Error(`README.md has no place for '${name}'`);
  return `${text.slice(0, from) + start}\n${lines.join('\n')}\n\n${text.slice(to)}`;
}

function markdown(heads: readonly string[], lines: ReadonlyArray<readonly string[]>): string[] {
  return [heads, heads.map(() => '---'), ...lines].map((cells) => `| ${cells.join(' | ')} |`);
}

const inUnit = (value: number, unit: string): string => quantity(value, unit === 'us' ? 'µs' : unit);

function figures(rows: readonly Row[]): string[] {
  const lines = rows.map((row) => {
    const { figure, ours, unit, peer } = row;
    const ratio = ratioOf(row);
    const spread = ours.count === 1 ? '' : `${digits(ours.minimum)} to ${digits(ours.maximum)}`;
    return [
      figure.replace(/^ +/, '… '),
      inUnit(ours.median, unit),
      spread,
      peer === undefined ? '' : `${peer.name}, ${inUnit(peer.sample.median, unit)}`,
      ratio === undefined ? '' : digits(ratio),
      aim(row),
    ];
  });
  return markdown(['Figure', 'nomad-jit', 'least to most', 'Peer in the same run', 'Ratio', 'Aim'], lines);
}

function aim(row: Row): string {
  const { reach, unit } = row;
  if (reach === undefined) return '';
  const most = reach.of === 'ours' ? inUnit(reach.most, unit) : String(reach.most);
  return `≤ ${most}${isReached(row) === true ? '' : ', **missed**'}`;
}

/** A line for each linker and what it keeps, a column for each figure. */
function linkers(rows: readonly Row[]): string[] {
  const nameOf = ({ figure }: Row): string => figure.slice(figure.lastIndexOf(': ') + 2);
  // The two linkers' large code differs by a hundredth.
  const columnOf = ({ figure }: Row): string => figure.slice(0, figure.lastIndexOf(': ')).replace(/[\d.]+ MB/, 'SQLite, 2 MB');
  const columns = [...new Set(rows.map(columnOf))];
  const lines = [...new Set(rows.map(nameOf))].map((name) => [
    name,
    ...columns.map((column) => {
      const row = rows.find((each) => nameOf(each) === name && columnOf(each) === column);
      return row === undefined ? 'never' : inUnit(row.ours.median, row.unit);
    }),
  ]);
  return markdown(['linker, kept', ...columns], lines);
}
