/**
 * What the documents say: their programs run and print what they state, their links lead somewhere, and nothing public is left out.
 */
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { dirname, join, relative } from 'node:path';
import { brokenLinks, linksOf, staleSources } from './support/links';
import { pagesIn, printedOutput, readPage, root, statedOutput, typeErrors, moduleOf } from './support/pages';
import { missingNames } from './support/public-names';

const readme = readPage('README.md');
const guide = pagesIn('docs/guide');
const reference = pagesIn('docs/reference');
const programs = [readme, ...guide].filter((page) => moduleOf(page).trim() !== '');
const documents = [readme, readPage('CONTRIBUTING.md'), readPage('CHANGELOG.md'), ...pagesIn('docs')];

function textsIn(folder: string, suffix: RegExp): string {
  return readdirSync(join(root, folder), { recursive: true, encoding: 'utf8' })
    .filter((name) => suffix.test(name))
    .map((name) => readFileSync(join(root, folder, name), 'utf8'))
    .join('\n');
}

const namesIn = (text: string, pattern: RegExp): string[] => [...new Set([...text.matchAll(pattern)].map((match) => match[1]!))];

describe('programs', () => {
  test('the README and each page of the guide but its index have one', () => {
    expect(programs.length).toBe(guide.length);
  });

  test('have no errors of types', () => {
    expect(typeErrors(programs)).toEqual([]);
  });

  test.each(programs.map((page) => [page.path, page] as const))('%s prints what it states', async (_, page) => {
    const stated = statedOutput(page);
    expect(stated).not.toEqual([]);
    expect(await printedOutput(page)).toEqual(stated);
  });
});

describe('the reference names', () => {
  test('every export, each of its members and options', () => {
    expect(missingNames(reference)).toEqual([]);
  });

  const text = reference.map((page) => page.text).join('\n');
  const unnamed = (names: readonly string[]): string[] => names.filter((name) => !text.includes(`\`${name}\``));

  test('every error code', () => {
    const codes = namesIn(textsIn('lib', /\.ts$/) + textsIn('native', /\.cpp$/), /['"](ERR_[A-Z_]+)['"]/g);
    expect(codes.length).toBeGreaterThan(12);
    expect(unnamed(codes)).toEqual([]);
  });

  test('every environment variable', () => {
    const ours = namesIn(textsIn('lib', /\.ts$/), /process\.env\.(NOMAD_\w+)/g);
    const native = namesIn(textsIn('native', /\.(cpp|h)$/), /getenv\("(NOMAD_\w+)"\)/g);
    expect(ours.length).toBeGreaterThan(4);
    expect(unnamed([...ours, ...native])).toEqual([]);
  });
});

describe('links', () => {
  test.each(documents.map((page) => [page.path, page] as const))('of %s lead to files and headings', (_, page) => {
    expect(brokenLinks(page)).toEqual([]);
  });

  test.each(documents.map((page) => [page.path, page] as const))('sources that %s names exist', (_, page) => {
    expect(staleSources(page)).toEqual([]);
  });

  test('of what the package contains lead to what it contains, so they work where it is installed', () => {
    const { files } = JSON.parse(readFileSync(join(root, 'package.json'), 'utf8')) as { files: string[] };
    const contained = [...files, 'README.md', 'LICENSE', 'package.json'];
    const isContained = (path: string): boolean => contained.some((each) => path === each || path.startsWith(`${each}/`));
    const pages = documents.filter(({ path }) => isContained(path));
    const targets = pages.flatMap(({ path, text }) =>
      linksOf(text).map((link) => relative(root, join(root, dirname(path), link.split('#')[0] ?? ''))),
    );
    expect(targets.filter((path) => path !== '' && existsSync(join(root, path)) && !isContained(path))).toEqual([]);
  });

  test('every page of docs/ can be reached from the README', () => {
    const seen = new Set<string>();
    const visit = (path: string): void => {
      if (seen.has(path) || !path.endsWith('.md')) return;
      seen.add(path);
      for (const link of linksOf(readPage(path).text)) visit(join(dirname(path), link.replace(/#.*/, '')));
    };
    visit('README.md');
    expect(pagesIn('docs').filter(({ path }) => !seen.has(path))).toEqual([]);
  });
});

describe('the README', () => {
  const lines = readme.text.trimEnd().split('\n');

  test('is short', () => {
    expect(lines.length).toBeLessThanOrEqual(120);
    expect(lines.filter((line) => line.length > 130)).toEqual([]);
  });

  test('has six figures, which are those of docs/figures.md', () => {
    const rowsOf = (text: string): string[][] =>
      text
        .split('\n')
        .filter((line) => line.startsWith('| '))
        .map((line) => line.split('|').map((cell) => cell.trim()));
    const figures = rowsOf(readPage('docs/figures.md').text);
    const table = readme.text.slice(readme.text.indexOf('<!-- bench: six -->'), readme.text.indexOf('<!-- end -->'));
    const six = rowsOf(table)
      .slice(2)
      .map(([, figure, ours, peer]) => [figure, ours, peer]);
    expect(six.length).toBe(6);
    for (const row of six) expect(figures.map(([, figure, ours, , peer]) => [figure, ours, peer])).toContainEqual(row);
  });
});
