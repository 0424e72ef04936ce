/**
 * Code objects that move between any two calls.
 *
 * In: IR, and what its `f` answers, call by call. Out: whether it does, in every mode. Always true: no code object is twice in one place.
 */
import type { CodeObject, CompileOptions, Jit, OptLevel } from 'nomad-jit';
import { makeJit } from './jits';

export interface Mode {
  optLevel: OptLevel;
  moves: 'code' | 'all';
}

export const modes: readonly Mode[] = [
  { optLevel: 0, moves: 'code' },
  { optLevel: 0, moves: 'all' },
  { optLevel: 2, moves: 'code' },
  { optLevel: 2, moves: 'all' },
];

const step = 65_536;
const rounds = 24;
const mostObjects = 5;

export interface Wanderers {
  readonly jit: Jit;
  /** Compiles and places: up to five, of up to 64 KiB each. */
  readonly add: (source: string, options?: CompileOptions) => CodeObject;
  /** All code objects to other places, megabytes away. */
  readonly move: () => void;
  /** Runs and moves, by turns. */
  readonly repeat: (times: number, run: (i: number) => void) => void;
}

export function makeWanderers({ optLevel, moves }: Mode): Wanderers {
  const jit = makeJit({ optLevel });
  const space = jit.createSpace();
  const objects: CodeObject[] = [];
  let round = 0;
  const place = (index: number) => {
    const offset = (((round * 53) % rounds) * mostObjects + index) * step;
    return { space, code: offset, constants: offset, data: offset };
  };
  const target = (index: number) => (moves === 'all' ? place(index) : { space, code: place(index).code });
  const move = () => {
    round++;
    const placed = objects.flatMap((object, index) => (object.state === 'placed' ? [[object, target(index)] as const] : []));
    jit.relocate(placed);
  };
  return {
    ...{ jit, move },
    repeat: (times, run) => {
      for (let i = 0; i < times; i++) {
        run(i);
        move();
      }
    },
    add: (source, options) => {
      const object = jit.compile(source, { name: 'wanderer', moves, ...options }).place(place(objects.length));
      objects.push(object);
      return object;
    },
  };
}

export interface Program {
  source: string;
  /** What `f` returns, call by call. */
  answers: readonly unknown[];
  args?: readonly unknown[];
}

/** Expects the answers in each mode, with a move after each call. */
export function expectWandering({ source, answers, args = [] }: Program): void {
  for (const mode of modes) {
    const { add, move } = makeWanderers(mode);
    const f = add(source).get<(...args: unknown[]) => unknown>('f');
    const answer = () => {
      const result = f(...args);
      move();
      return result;
    };
    expect({ ...mode, answers: answers.map(answer) }).toEqual({ ...mode, answers });
  }
}
