/**
 * clang, which the tests' set-up installs.
 *
 * In: IR text, C, C++. Out: bitcode, IR text. Always true: the same source gives the same bytes.
 */
import { execFileSync } from 'node:child_process';

const clang = process.env.CLANG ?? 'clang-22';

/** IR text as bitcode. */
export function assemble(ir: string): Buffer {
  const flags = ['-x', 'ir', '-c', '-emit-llvm', '-O0', '-Wno-override-module', '-o', '-', '-'];
  return execFileSync(clang, flags, { input: ir, maxBuffer: 1 << 28 });
}

/** C or C++ as IR text. */
export function compileC(language: 'c' | 'c++', source: string, ...flags: string[]): string {
  const fixed = ['-x', language, '-S', '-emit-llvm', '-O1'];
  return execFileSync(clang, [...fixed, ...flags, '-o', '-', '-'], { input: source, encoding: 'utf8', maxBuffer: 1 << 28 });
}
