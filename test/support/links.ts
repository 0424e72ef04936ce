/**
 * Links between documents.
 *
 * In: a page. Out: its relative links, and those that lead nowhere. Always true: what stands in code is no link.
 */
import { existsSync, readFileSync, statSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { root, type Page } from './pages';

/** Targets of the relative links in a Markdown text. */
export function linksOf(text: string): string[] {
  const prose = text.replace(/^```[^]*?^```/gm, '').replace(/`[^`\n]*`/g, '');
  return [...prose.matchAll(/\]\(([^)\s]+)\)/g)].map((match) => match[1]!).filter((target) => !/^[a-z]+:/.test(target));
}

/** Paths of sources that `page` names in code, such as `native/link/reach.h`, or `link/reach.h` for one in native/, and that don't exist. */
export function staleSources({ text }: Page): string[] {
  const named = [...text.matchAll(/`((?:[\w.-]+\/)+[\w.-]+\.(?:ts|h|cpp|js|md))`/g)].map((match) => match[1]!);
  return named.filter((path) => !existsSync(join(root, path)) && !existsSync(join(root, 'native', path)));
}

/** As hosts of Markdown name a heading. */
export function anchorsOf(text: string): string[] {
  const headings = [...text.replace(/^```[^]*?^```/gm, '').matchAll(/^#+ (.*)$/gm)].map((match) => match[1]!);
  return headings.map((heading) =>
    heading
      .toLowerCase()
      .replace(/[^\w\- ]/g, '')
      .trim()
      .replaceAll(' ', '-'),
  );
}

/** The links of `page` whose file, or heading in that file, does not exist. */
export function brokenLinks({ path, text }: Page): string[] {
  return linksOf(text).filter((link) => {
    const [file = '', anchor] = link.split('#');
    const target = file === '' ? join(root, path) : join(root, dirname(path), file);
    if (!existsSync(target)) return true;
    if (anchor === undefined) return false;
    return statSync(target).isDirectory() || !anchorsOf(readFileSync(target, 'utf8')).includes(anchor);
  });
}
