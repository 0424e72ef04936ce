/**
 * The tables of docs/figures.md, and the six figures of the README.
 *
 * In: the rows of one whole run. Out: both files with what stands between `<!-- bench: name -->` and `<!-- end -->` written anew. Always true:
 * nobody types a figure, and all of them are of one run.
 */
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { root } from './peers';
import { digits, isReached, quantity, ratioOf, type Row } from './report';

/** What the README shows: of each the first row that begins so. */
const six = [
  'relocate 1.',
  'relocate 10,000 tiny code objects as one batch',
  'resident bytes per tiny function',
  'call i32 (i32, i32)',
  'full collection',
  'compile one tiny function, O0',
];

const isOfLinkers = ({ figure }: Row): boolean => /: (jitlink|runtimedyld), /.test(figure);

/** Writes the tables. Throws if a file has no place for one of them; then nothing is written. */
export function writeDocuments(rows: readonly Row[], about: Readonly<Record<string, string>>): void {
  const machine = Object.entries(about).map(([name, value]) => `${name} ${value}`);
  const shown = rows.filter((row) => !isOfLinkers(row) || row.reach !== undefined);
  const texts = {
    'docs/figures.md': {
      machine: [`This run: ${machine.join(', ')}.`],
      figures: figures(shown),
      linkers: linkers(rows.filter(isOfLinkers)),
    },
    'README.md': { six: sixFigures(shown) },
  };
  const written = Object.entries(texts).map(([file, blocks]) => [join(root, file), rewritten(file, blocks)] as const);
  for (const [file, text] of written) writeFileSync(file, text);
}

function rewritten(file: string, blocks: Readonly<Record<string, readonly string[]>>): string {
  let text = readFileSync(join(root, file), 'utf8');
  for (const [name, lines] of Object.entries(blocks)) text = replaced(file, text, name, lines);
  return text;
}

function replaced(file: string, text: string, name: string, lines: readonly string[]): string {
  const start = `<!-- bench: ${name} -->\n`;
  const from = text.indexOf(start);
  const to = text.indexOf('<!-- end -->', from);
  if (from < 0 || to < 0) throw new Error(`${file} has no place for '${name}'`);
  return `${text.slice(0, from) + start}\n${lines.join('\n')}\n\n${text.slice(to)}`;
}

function markdown(heads: readonly string[], lines: ReadonlyArray<readonly string[]>): string[] {
  return [heads, heads.map(() => '---'), ...lines].map((cells) => `| ${cells.join(' | ')} |`);
}

const inUnit = (value: number, unit: string): string => quantity(value, unit === 'us' ? 'µs' : unit);

const figureOf = ({ figure }: Row): string => figure.replace(/^ +/, '… ');

function peerOf({ peer, unit }: Row): string {
  return peer === undefined ? '' : `${peer.name}, ${inUnit(peer.sample.median, unit)}`;
}

function sixFigures(rows: readonly Row[]): string[] {
  const lines = six.map((beginning) => {
    const row = rows.find(({ figure }) => figure.startsWith(beginning));
    if (row === undefined) throw new Error(`no figure begins with '${beginning}'`);
    return [figureOf(row), inUnit(row.ours.median, row.unit), peerOf(row)];
  });
  return markdown(['Figure', 'nomad-jit', 'Peer in the same run'], lines);
}

function figures(rows: readonly Row[]): string[] {
  const lines = rows.map((row) => {
    const { ours, unit } = row;
    const ratio = ratioOf(row);
    const spread = ours.count === 1 ? '' : `${digits(ours.minimum)} to ${digits(ours.maximum)}`;
    const text = ratio === undefined ? '' : digits(ratio);
    return [figureOf(row), inUnit(ours.median, unit), spread, peerOf(row), text, aim(row)];
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
