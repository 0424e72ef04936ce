/**
 * The table.
 *
 * In: rows. Out: text, or plain objects for JSON. Always true: a row is reached if and only if its median, or ratio of medians, is at most
 * its reach; a row without a reach is there to compare with.
 */
import { arch, cpus, release } from 'node:os';
import { Jit } from 'nomad-jit';
import type { Sample } from './measure';

/** One line of the table. */
export interface Row {
  readonly figure: string;
  readonly unit: string;
  readonly ours: Sample;
  readonly peer?: { readonly name: string; readonly sample: Sample };
  /** The most that `ours`, or ours divided by the peer's, may be. */
  readonly reach?: { readonly of: 'ours' | 'ratio'; readonly most: number };
  /** What the numbers stand for, where that is not plain. */
  readonly note?: string;
}

/** What one group of figures measured. */
export type Figure = () => Promise<Row[]>;

/** The machine and the versions, for the head of the table. */
export function machine(peers: Readonly<Record<string, string>>): Record<string, string> {
  const processors = cpus();
  return {
    cpu: `${processors.length} x ${processors[0]?.model.trim() ?? 'unknown'}`,
    system: `Linux ${release()} ${arch()}`,
    node: process.version,
    llvm: Jit.llvmVersion,
    ...peers,
  };
}

export function ratioOf({ ours, peer }: Row): number | undefined {
  return peer === undefined ? undefined : ours.median / peer.sample.median;
}

/** Undefined for a row without a reach. */
export function isReached(row: Row): boolean | undefined {
  if (row.reach === undefined) return undefined;
  const value = row.reach.of === 'ours' ? row.ours.median : ratioOf(row);
  return value !== undefined && value <= row.reach.most;
}

const heads = ['figure', 'ours', 'peer', '', 'ratio', 'reach', 'reached'];
const isNumeric = [false, true, false, true, true, true, false];

/** The rows as a padded table, then the rounds' spread. */
export function table(rows: readonly Row[]): string {
  const cells = rows.map(cellsOf);
  const spread = rows.filter(({ ours }) => ours.count > 1).map(spreadOf);
  const notes = rows.filter(({ note }) => note !== undefined).map(({ figure, note }) => [figure, note!]);
  return [
    ...padded([heads, ...cells], isNumeric),
    ...(spread.length === 0 ? [] : ['', 'Noise: medians above; least and most of the rounds here.', ...padded(spread, [])]),
    ...(notes.length === 0 ? [] : ['', ...padded(notes, [])]),
  ].join('\n');
}

function cellsOf(row: Row): string[] {
  const { figure, ours, unit, peer } = row;
  const ratio = ratioOf(row);
  const reached = isReached(row);
  return [
    figure,
    quantity(ours.median, unit),
    peer?.name ?? '-',
    peer === undefined ? '' : quantity(peer.sample.median, unit),
    ratio === undefined ? '' : `${digits(ratio)}x`,
    reachText(row),
    reached === undefined ? '' : reached ? 'yes' : 'NO',
  ];
}

function reachText({ reach, unit }: Row): string {
  if (reach === undefined) return '';
  return `<= ${reach.of === 'ours' ? quantity(reach.most, unit) : `${reach.most}x`}`;
}

function spreadOf({ figure, ours, peer, unit }: Row): string[] {
  const theirs = peer === undefined || peer.sample.count === 1 ? '' : `${peer.name} ${range(peer.sample)} ${unit}`;
  return [`  ${figure}`, `${ours.count} rounds`, `ours ${range(ours)} ${unit}`, theirs];
}

function range({ minimum, maximum }: Sample): string {
  return `${digits(minimum)}-${digits(maximum)}`;
}

export function quantity(value: number, unit: string): string {
  return `${digits(value)} ${unit}`;
}

/** Three digits that mean something. */
export function digits(value: number): string {
  if (value >= 1000) return Math.round(value).toLocaleString('en');
  return Number(value.toPrecision(3)).toString();
}

function padded(lines: ReadonlyArray<readonly string[]>, right: readonly boolean[]): string[] {
  const columns = Math.max(...lines.map((line) => line.length));
  const widths = Array.from({ length: columns }, (_, i) => Math.max(...lines.map((line) => line[i]?.length ?? 0)));
  return lines.map((line) =>
    widths
      .map((width, i) => (right[i] === true ? (line[i] ?? '').padStart(width) : (line[i] ?? '').padEnd(width)))
      .join('  ')
      .trimEnd(),
  );
}

/** A row for JSON. */
export function plain(row: Row): Record<string, unknown> {
  const { figure, unit, ours, peer, reach, note } = row;
  return {
    ...{ figure, unit, ours: plainSample(ours), peer: peer && { name: peer.name, ...plainSample(peer.sample) } },
    ...{ ratio: ratioOf(row), reach, reached: isReached(row), note },
  };
}

function plainSample({ median, minimum, maximum, count }: Sample): Record<string, number> {
  return { median, minimum, maximum, rounds: count };
}
