/**
 * Finding code by address: for each frame of a stack, and for each frame that an exception passes.
 *
 * In: a Jit, with however many code objects. Out: microseconds. Always true: what is found is checked.
 */
import { hostFunction, type Jit } from 'nomad-jit';
import { nanoseconds, requireEqual } from './measure';

/** Microseconds of each round. */
export interface FindingTimes {
  /** A look at a stack of a hundred frames: `stackRoots`. */
  readonly stack: readonly number[];
  /** A C++ exception, through ten frames. */
  readonly exception: readonly number[];
}

const frames = 100;
const rounds = 41;
const exceptions = 100;

const descending = `declare void @look()
define i32 @down(i32 %n) noinline {
  %is.last = icmp eq i32 %n, 0
  br i1 %is.last, label %last, label %deeper
deeper:
  %m = sub i32 %n, 1
  %d = call i32 @down(i32 %m)
  %e = add i32 %d, 1
  ret i32 %e
last:
  call void @look()
  ret i32 1
}`;

const throwing = `@_ZTIi = external constant ptr
declare ptr @__cxa_allocate_exception(i64)
declare void @__cxa_throw(ptr, ptr, ptr)
declare ptr @__cxa_begin_catch(ptr)
declare void @__cxa_end_catch()
declare i32 @__gxx_personality_v0(...)
define i32 @fall(i32 %n, i32 %value) noinline uwtable {
  %is.last = icmp eq i32 %n, 0
  br i1 %is.last, label %last, label %deeper
deeper:
  %m = sub i32 %n, 1
  %d = call i32 @fall(i32 %m, i32 %value)
  %e = add i32 %d, 1
  ret i32 %e
last:
  %thrown = call ptr @__cxa_allocate_exception(i64 4)
  store i32 %value, ptr %thrown
  call void @__cxa_throw(ptr %thrown, ptr @_ZTIi, ptr null)
  unreachable
}
define i32 @caught(i32 %value) personality ptr @__gxx_personality_v0 {
  %never = invoke i32 @fall(i32 9, i32 %value) to label %over unwind label %pad
over:
  ret i32 -1
pad:
  %landed = landingpad { ptr, i32 } catch ptr null
  %exception = extractvalue { ptr, i32 } %landed, 0
  %object = call ptr @__cxa_begin_catch(ptr %exception)
  %found = load i32, ptr %object
  call void @__cxa_end_catch()
  ret i32 %found
}`;

function stackTimes(jit: Jit): number[] {
  const times: number[] = [];
  const look = hostFunction('void ()', () => {
    let found = 0;
    times.push(nanoseconds(() => (found = jit.stackRoots().exact.length)) / 1000);
    requireEqual('return addresses', found, frames);
  });
  const object = jit.load(descending, { imports: { look } });
  const down = object.get('down');
  for (let i = 0; i < 2 * rounds; i++) requireEqual('frames', down(frames - 1), frames);
  return times.slice(rounds);
}

function exceptionTimes(jit: Jit): number[] {
  const caught = jit.load(throwing).get('caught');
  const once = (): number =>
    nanoseconds(() => {
      for (let i = 0; i < exceptions; i++) requireEqual('caught', caught(i), i);
    }) /
    exceptions /
    1000;
  return Array.from({ length: 2 * rounds }, once).slice(rounds);
}

export function findingTimes(jit: Jit): FindingTimes {
  return { stack: stackTimes(jit), exception: exceptionTimes(jit) };
}
