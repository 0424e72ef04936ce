/**
 * What the compiler must accept and refuse. Only type-checked, never run.
 */
import {
  type Allocator,
  BumpAllocator,
  type Callable,
  CodeObject,
  CodeSpace,
  FreeListAllocator,
  Jit,
  type MoveReport,
  type Placement,
} from 'nomad-jit';

type Add = (a: number, b: number) => number;

export function accepted(jit: Jit, object: CodeObject, space: CodeSpace): void {
  const add: Callable<Add> = object.get<Add>('add');
  const sum: number = add(1, 2);
  const entry: bigint = add.entry;
  const owner: CodeObject = add.codeObject;
  const plain: Add = add;
  const placement: Placement = { space, code: 0 };
  const report: MoveReport = jit.relocate([[object, placement]]);
  const reports: MoveReport = jit.relocate(new Map([[object, placement]]));
  const promised: Promise<CodeObject> = jit.compileAsync(new Uint8Array(4), { imports: { add, base: 16n } });
  const allocators: Allocator[] = [new FreeListAllocator(64), new BumpAllocator(64)];
  const untyped: Callable = object.get('add');
  jit.define('add', add);
  jit.define('base', 16n);
  object.writeGlobal('callback', add);
  object.place(placement).relocate({ space, code: 16, data: undefined }).free();
  using scoped = new Jit({ symbols: ['puts'], optLevel: 0 });
  console.log(sum, entry, owner, plain, report, reports, promised, allocators, untyped(1, 'x'), scoped);
}

export function refused(jit: Jit, object: CodeObject, space: CodeSpace): void {
  const add = object.get<Add>('add');
  // @ts-expect-error -- too few arguments
  add(1);
  // @ts-expect-error -- wrong type of argument
  add(1, '2');
  // @ts-expect-error -- read-only
  add.symbol = 'sub';
  // @ts-expect-error -- not a function type
  object.get<number>('add');
  // @ts-expect-error -- only jit.compile makes code objects
  new CodeObject();
  // @ts-expect-error -- only jit.createSpace makes spaces
  new CodeSpace();
  // @ts-expect-error -- there is no level 4
  jit.compile('', { optLevel: 4 });
  // @ts-expect-error -- an address is a bigint
  jit.compile('', { imports: { base: 16 } });
  // @ts-expect-error -- not a linker
  new Jit({ linker: 'ld' });
  // @ts-expect-error -- a code offset is needed
  object.place({ space });
  // @ts-expect-error -- a pair, not a placement
  jit.relocate([{ space, code: 0 }]);
  // @ts-expect-error -- read-only
  object.state = 'placed';
  // @ts-expect-error -- not a policy
  jit.createSpace({ allocator: 'buddy' });
  // @ts-expect-error -- a buffer has an address only during a call
  object.writeGlobal('bytes', new Uint8Array(1));
}
