/**
 * The programs in the documents.
 *
 * In: a page of Markdown. Out: the module that its `ts` blocks make, and what the module should print. Always true: a line of the module has the
 * number that it has in the page, so errors point there; each `console.log(…)` of a page ends its line with `// ` and what it prints.
 */
import { execFile } from 'node:child_process';
import { mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join, relative } from 'node:path';
import { promisify } from 'node:util';
import * as ts from 'typescript';

export const root = join(__dirname, '../..');

/** A page, by its path from the root. */
export interface Page {
  readonly path: string;
  readonly text: string;
}

export function readPage(path: string): Page {
  return { path, text: readFileSync(join(root, path), 'utf8') };
}

/** The Markdown files of a folder and of those in it. */
export function pagesIn(folder: string): Page[] {
  const entries = readdirSync(join(root, folder), { withFileTypes: true, recursive: true });
  const paths = entries
    .filter((entry) => entry.isFile() && entry.name.endsWith('.md'))
    .map((entry) => relative(root, join(entry.parentPath, entry.name)));
  return paths.sort().map(readPage);
}

/** The page's `ts` blocks, one after the other, with an empty line for each other line of the page. */
export function moduleOf({ text }: Page): string {
  let isCode = false;
  const lines = text.split('\n').map((line) => {
    const isFence = line.startsWith('```');
    if (isFence) isCode = !isCode && line === '```ts';
    return isCode && !isFence ? line : '';
  });
  return lines.join('\n');
}

/** The end of a line that prints. */
const printing = /\bconsole\.log\(.*\);(?: \/\/ (.*))?$/;

/** What the module says that it prints, line by line. Throws if a `console.log` does not say it. */
export function statedOutput(page: Page): string[] {
  return moduleOf(page)
    .split('\n')
    .flatMap((line, i) => {
      if (!line.includes('console.log(')) return [];
      const stated = printing.exec(line)?.[1];
      if (stated === undefined) throw new Error(`${page.path}:${i + 1}: a console.log says what it prints: ${line}`);
      return [stated];
    });
}

/** What the module prints, line by line: run by itself, with the built package. Throws with its stderr if it fails. */
export async function printedOutput(page: Page): Promise<string[]> {
  const folder = join(root, 'build-pages');
  const file = join(folder, `${page.path.replaceAll('/', '-')}.mjs`);
  mkdirSync(folder, { recursive: true });
  writeFileSync(file, transpiled(page));
  const { stdout } = await promisify(execFile)(process.execPath, ['--enable-source-maps', file], {
    cwd: root,
    env: { ...process.env, NODE_OPTIONS: '', NOMAD_ZEAL: '' },
  });
  return stdout.split('\n').slice(0, -1);
}

/** JavaScript whose source map leads to the page. */
function transpiled(page: Page): string {
  const { ES2022: module } = ts.ModuleKind;
  const compilerOptions = { target: ts.ScriptTarget.ES2022, module, inlineSourceMap: true, sourceRoot: `${root}/` };
  return ts.transpileModule(moduleOf(page), { compilerOptions, fileName: page.path }).outputText;
}

/** Errors of types in the modules of `pages`, with their places in the pages. */
export function typeErrors(pages: readonly Page[]): string[] {
  const file = ts.readConfigFile(join(root, 'tsconfig.json'), (path) => ts.sys.readFile(path));
  const { options } = ts.parseJsonConfigFileContent(file.config, ts.sys, root);
  const modules = new Map(pages.map((page) => [join(root, `${page.path}.mts`), moduleOf(page)]));
  const program = ts.createProgram([...modules.keys()], options, hostWith(modules, options));
  return ts.getPreEmitDiagnostics(program).map(described);
}

/** The file system, with `modules` in it. */
function hostWith(modules: ReadonlyMap<string, string>, options: ts.CompilerOptions): ts.CompilerHost {
  const host = ts.createCompilerHost(options);
  return {
    ...host,
    fileExists: (file) => modules.has(file) || host.fileExists(file),
    readFile: (file) => modules.get(file) ?? host.readFile(file),
    getSourceFile: (file, language, ...rest) => {
      const text = modules.get(file);
      return text === undefined ? host.getSourceFile(file, language, ...rest) : ts.createSourceFile(file, text, language);
    },
  };
}

function described({ file, start, messageText }: ts.Diagnostic): string {
  const message = ts.flattenDiagnosticMessageText(messageText, '\n');
  if (file === undefined) return message;
  const { line } = file.getLineAndCharacterOfPosition(start ?? 0);
  return `${relative(root, file.fileName).replace(/\.mts$/, '')}:${line + 1}: ${message}`;
}
