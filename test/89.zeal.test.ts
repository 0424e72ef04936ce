/**
 * Zeal in a Jit's own spaces: all code moves at every host function call, and no place is lost.
 */
import type { CodeObject, Jit } from 'nomad-jit';
import { callingHost, i32Host } from './support/hosts';
import { makeJit } from './support/jits';
import { multiplying } from './support/programs';

function makeZealous(): Jit {
  const before = process.env.NOMAD_ZEAL;
  process.env.NOMAD_ZEAL = '1';
  try {
    return makeJit();
  } finally {
    if (before === undefined) delete process.env.NOMAD_ZEAL;
    else process.env.NOMAD_ZEAL = before;
  }
}

test('code goes to and fro for ever in a space of one page; what was placed by hand stays', () => {
  const jit = makeZealous();
  const space = jit.createSpace({ codeBytes: 4096 });
  const places: bigint[][] = [];
  const host = i32Host((x) => {
    places.push([object, other].map((each) => each.addressOf([...each.functions.keys()][0]!)));
    return x;
  });
  const object: CodeObject = jit.compile(callingHost('f'), { imports: { host } });
  object.place(space.allocate(object));
  const other = jit.compile(multiplying('g', 3)).place({ space: jit.createSpace(), code: 0, data: 0 });
  const first = [object, other].map((each) => each.addressOf([...each.functions.keys()][0]!));
  for (let i = 0; i < 300; i++) expect(object.get('f')(i)).toBe(i + 1);
  const moves = places.map(([address], i) => address !== (places[i - 1] ?? first)[0]);
  expect(moves).toEqual(Array(300).fill(true));
  expect(new Set(places.map(([, address]) => address))).toEqual(new Set([first[1]]));
  expect(space.usedBytes).toBeLessThan(4 * object.sizes.code);
  object.free();
  expect(space.usedBytes).toBe(0);
});
