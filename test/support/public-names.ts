/**
 * What lib/index.ts exports, and whether the reference has it.
 *
 * In: the pages of the reference. Out: names that they leave out. Always true: an export has a heading of its own or begins a row of a table;
 * its members that lib/ declares stand in code in the section of that heading, or in that row.
 */
import { join } from 'node:path';
import * as ts from 'typescript';
import { root, type Page } from './pages';

/** `Export`, or `Export.member`. */
export function missingNames(pages: readonly Page[]): string[] {
  const file = join(root, 'lib/index.ts');
  const config = ts.readConfigFile(join(root, 'tsconfig.json'), (path) => ts.sys.readFile(path));
  const { options } = ts.parseJsonConfigFileContent(config.config, ts.sys, root);
  const program = ts.createProgram([file], options);
  const checker = program.getTypeChecker();
  const exported = checker.getExportsOfModule(checker.getSymbolAtLocation(program.getSourceFile(file)!)!);
  return exported.flatMap((symbol) => missingOf(symbol.name, membersOf(checker, symbol), pages));
}

function missingOf(name: string, members: readonly string[], pages: readonly Page[]): string[] {
  const section = pages.map(({ text }) => sectionOf(name, text)).find((text) => text !== undefined);
  if (section === undefined) return [name];
  const words = new Set(
    [...section.matchAll(/`([^`\n]+)`/g)].flatMap((match) => match[1]!.match(/[\w$-]+|\[Symbol\.\w+\]/g) ?? []),
  );
  return members.filter((member) => !words.has(member)).map((member) => `${name}.${member}`);
}

/** From its heading to the next one that is no deeper; or its row. */
function sectionOf(name: string, text: string): string | undefined {
  const lines = text.split('\n');
  const start = lines.findIndex((line) => line.startsWith('#') && line.includes(`\`${name}\``));
  if (start < 0) return lines.find((line) => line.startsWith(`| \`${name}\``));
  const depth = /^#+/.exec(lines[start]!)![0].length;
  const after = lines.findIndex((line, i) => i > start && /^#+ /.test(line) && /^#+/.exec(line)![0].length <= depth);
  return lines.slice(start, after < 0 ? undefined : after).join('\n');
}

/** Public members of a class, static ones too, or of an interface. Symbols are disposal everywhere, and left out. */
function membersOf(checker: ts.TypeChecker, exported: ts.Symbol): string[] {
  const symbol = exported.flags & ts.SymbolFlags.Alias ? checker.getAliasedSymbol(exported) : exported;
  const declarations = symbol.declarations ?? [];
  const owners = declarations.filter((each) => ts.isClassDeclaration(each) || ts.isInterfaceDeclaration(each));
  const names = owners.flatMap((owner) => owner.members.map(nameOf)).filter((name) => name !== undefined);
  return [...new Set(names)];
}

function nameOf(member: ts.ClassElement | ts.TypeElement): string | undefined {
  const { name } = member;
  if (name === undefined || !(ts.isIdentifier(name) || ts.isStringLiteral(name))) return undefined;
  const isPrivate = ts.canHaveModifiers(member) && member.modifiers?.some(({ kind }) => kind === ts.SyntaxKind.PrivateKeyword);
  return isPrivate === true ? undefined : name.text;
}
