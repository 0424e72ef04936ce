/**
 * What the demo prints. In: numbers. Out: lines of a table, plain unless standard output is a terminal.
 */
import { styleText } from 'node:util';
import type { Batch } from './mover';
import type { Step } from './program';

type Style = Parameters<typeof styleText>[0];

const isPlain = !process.stdout.isTTY || process.env.NO_COLOR !== undefined;
const paint = (style: Style, text: string): string => (isPlain ? text : styleText(style, text));
const right = (text: string, width: number): string => text.padStart(width);

export const say = (text = ''): void => console.log(text);

export function heading(name: string, text: string): void {
  say(`\n${paint('bold', name)}  ${text}`);
}

export const note = (text: string): void => say(`  ${paint('dim', text)}`);

export function seconds(milliseconds: number): string {
  return `${(milliseconds / 1000).toFixed(1)} s`;
}

export function bytes(count: number): string {
  if (count < 10_000) return `${count} B`;
  return count < 10_000_000 ? `${Math.round(count / 1000)} kB` : `${(count / 1e6).toFixed(1)} MB`;
}

export function columns(): void {
  note(
    `${'code object'.padEnd(13)} ${'from'.padEnd(14)}    ${'to'.padEnd(14)} ${right('moves', 5)} ${right('bytes', 8)} ${right('relocations', 11)} ${right('time', 9)} ${right('rate', 9)}   then`,
  );
}

/** A batch of moves, and the call that came after it. */
export function row(batch: Batch | undefined, step: Step, verdict: string | undefined): void {
  const moves = batch === undefined ? 'before the first move'.padEnd(94) : movesColumns(batch);
  const outcome = verdict === undefined ? paint('green', 'ok') : paint('red', `WRONG: ${verdict}`);
  say(`  ${moves}   ${step.call}: ${shortened(String(step.result))} ${outcome}`);
}

function movesColumns({ objects, from, to, moved, bytes: size, relocations, nanoseconds }: Batch): string {
  const time = `${(nanoseconds / 1000).toFixed(0)} µs`;
  const rate = `${(size / nanoseconds).toFixed(1)} GB/s`;
  const [first, ...others] = objects.map(({ name }) => name);
  const names = others.length === 0 ? `${first}` : `${first} + ${others.length}`;
  return `${names.padEnd(13)} ${hex(from)} -> ${hex(to)} ${right(`${moved}`, 5)} ${right(bytes(size), 8)} ${right(`${relocations}`, 11)} ${right(time, 9)} ${right(rate, 9)}`;
}

const hex = (address: bigint): string => `0x${address.toString(16)}`;
const shortened = (text: string): string => (text.length > 34 ? `${text.slice(0, 31)}...` : text);

/** One program's line in the summary. */
export interface Summary {
  readonly name: string;
  readonly codeBytes: number;
  readonly moves: number;
  readonly bytes: number;
  readonly relocations: number;
  readonly medianMicroseconds: number;
  readonly calls: number;
  readonly wrong: number;
}

export function summary(all: readonly Summary[]): void {
  heading('summary', '');
  note(
    `${'program'.padEnd(12)} ${right('code', 8)} ${right('moves', 6)} ${right('moved', 9)} ${right('relocations', 11)} ${right('median move', 12)} ${right('results', 8)}   all right`,
  );
  for (const { name, codeBytes, moves, bytes: size, relocations, medianMicroseconds, calls, wrong } of all) {
    const verdict = wrong === 0 ? paint('green', 'yes') : paint('red', `no: ${wrong} wrong`);
    const median = `${medianMicroseconds.toFixed(1)} µs`;
    say(
      `  ${name.padEnd(12)} ${right(bytes(codeBytes), 8)} ${right(`${moves}`, 6)} ${right(bytes(size), 9)} ${right(`${relocations}`, 11)} ${right(median, 12)} ${right(`${calls}`, 8)}   ${verdict}`,
    );
  }
}

export function conclusion(isRight: boolean, milliseconds: number): void {
  const answer = isRight ? paint('green', 'yes') : paint('red', 'no');
  say(`\nall results equal to native: ${answer}   (${seconds(milliseconds)})`);
}
