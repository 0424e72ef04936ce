/**
 * A syntax tree that lives through edits, each followed by an incremental parse. Three code objects that refer to each other move on their
 * own. The TypeScript compiler counts the same nodes.
 */
import { createHash } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import ts from 'typescript';
import { root } from '../build';
import type { Program, Step } from '../program';

interface Driver {
  parse_open(): number;
  parse_all(text: Buffer, length: number): number;
  parse_edit(old: Buffer, text: Buffer, length: number, start: number, oldEnd: number, newEnd: number): number;
  count_matches(query: Buffer, length: number): number;
  write_tree(out: Buffer, capacity: number): number;
  parse_close(): number;
}

const edits = 28;

function* steps(driver: Driver): Generator<Step> {
  const count = (query: string): number => driver.count_matches(Buffer.from(query), query.length);
  let text = readFileSync(join(root, 'node_modules/tree-sitter-javascript/grammar.js'), 'latin1');
  yield { call: 'open', result: driver.parse_open(), expected: 0 };
  const bytes = bytesOf(text);
  yield { call: `parse ${bytes.length} bytes: nodes`, result: driver.parse_all(bytes, bytes.length) };
  for (let i = 0; i < edits; i++) {
    const old = bytesOf(text);
    const { start, end, replacement } = wrapLiteral(text, i);
    text = text.slice(0, start) + replacement + text.slice(end);
    const edited = bytesOf(text);
    const nodes = driver.parse_edit(old, edited, edited.length, start, end, start + replacement.length);
    if (i % 2 === 0) yield { call: `edit at ${start}: nodes`, result: nodes };
    else yield { call: `edit at ${start}: calls`, result: count('(call_expression) @it'), expected: countCalls(text) };
  }
  yield { call: 'errors', result: count('(ERROR) @it'), expected: 0 };
  const out = Buffer.alloc(2 ** 20);
  const length = driver.write_tree(out, out.length);
  yield { call: 'tree as text', result: createHash('sha256').update(out.subarray(0, length)).digest('hex').slice(0, 16) };
  const fresh = driver.parse_all(bytesOf(text), text.length);
  const same = Buffer.alloc(2 ** 20);
  const sameLength = driver.write_tree(same, same.length);
  const isSame = out.subarray(0, length).equals(same.subarray(0, sameLength));
  yield { call: 'parse afresh: same tree', result: fresh > 0 && isSame ? 'yes' : 'no', expected: 'yes' };
  yield { call: 'close', result: driver.parse_close(), expected: 0 };
}

/** Zero-terminated, although the parser is told the length. */
function bytesOf(text: string): Buffer {
  return Buffer.from(text, 'latin1');
}

function parse(text: string): ts.SourceFile {
  return ts.createSourceFile('grammar.js', text, ts.ScriptTarget.Latest, false, ts.ScriptKind.JS);
}

function* nodesOf(node: ts.Node): Generator<ts.Node> {
  yield node;
  const children: ts.Node[] = [];
  ts.forEachChild(node, (child) => void children.push(child));
  for (const child of children) yield* nodesOf(child);
}

function countCalls(text: string): number {
  return [...nodesOf(parse(text))].filter(ts.isCallExpression).length;
}

/** The edit that makes a call `edit_i('x')` of some literal 'x' in an argument list. */
function wrapLiteral(text: string, i: number): { start: number; end: number; replacement: string } {
  const file = parse(text);
  const literals = [...nodesOf(file)].filter(ts.isCallExpression).flatMap((call) => call.arguments.filter(ts.isStringLiteral));
  const literal = literals[(i * 7919 + 11) % literals.length]!;
  const [start, end] = [literal.getStart(file), literal.getEnd()];
  return { start, end, replacement: `edit_${i}(${text.slice(start, end)})` };
}

const grammar = 'node_modules/tree-sitter-javascript/src';
const runtime = 'node_modules/tree-sitter/vendor/tree-sitter/lib';

export const treeSitter: Program = {
  name: 'tree-sitter',
  about: 'incremental parsing of JavaScript by three code objects',
  packages: ['tree-sitter', 'tree-sitter-javascript'],
  licence: 'MIT',
  sources: [
    { name: 'scanner', file: `${grammar}/scanner.c`, include: [grammar] },
    { name: 'grammar', file: `${grammar}/parser.c`, include: [grammar] },
    {
      name: 'syntax',
      file: 'examples/demo/drivers/syntax.c',
      include: [`${runtime}/src`, `${runtime}/include`],
      defines: ['-D_GNU_SOURCE'],
    },
  ],
  moves: 'code',
  optLevel: 1,
  steps: (functions) => steps(functions as unknown as Driver),
};
