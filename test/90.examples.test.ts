/**
 * The examples run as their headers say, and print what they should.
 */
import { execFileSync } from 'node:child_process';
import { readdirSync } from 'node:fs';
import { join } from 'node:path';

const root = join(__dirname, '..');

const printed: Record<string, string[]> = {
  '01-compile-and-call.ts': [
    'add: i32 (i32, i32)',
    'mean: double (ptr, i64)',
    'length: i64 (ptr)',
    '42 3 5n',
    'a mistake is an error, not the end of the process',
  ],
  '02-place-and-relocate.ts': ['moved by 50331648 bytes, and counts on: 42', 'one call moved 3 code objects'],
  '03-references.ts': ['either side has moved: 25 100', 'a stored address is stable', 'freed: the referring code first'],
  '05-tiers.ts': [
    'compiled at O0: 210 is what it should be',
    'called 500 times',
    'horner: O0 -> O2, less code: true',
    'caller: O0 -> O2, less code: true',
    'the same callables, and their callers: 210 211',
    'sources kept: 0 bytes; old versions kept: 0',
  ],
  '04-repl.ts': ['4000 expressions, 4000 live functions, 1.00 bytes of code space per live byte'],
};

function run(name: string): string[] {
  const output = execFileSync(process.execPath, ['--import', 'tsx', join('examples', name)], { cwd: root, encoding: 'utf8' });
  return output.trimEnd().split('\n');
}

test('every example is tested', () => {
  const names = readdirSync(join(root, 'examples')).filter((name) => name.endsWith('.ts'));
  expect(names.sort()).toEqual(Object.keys(printed).sort());
});

test.each(Object.keys(printed))('%s', (name) => {
  expect(run(name)).toEqual(printed[name]);
});
