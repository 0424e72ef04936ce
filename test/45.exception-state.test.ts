/**
 * What the C++ runtime holds of exceptions that were being handled, or on their way, when code was left. Oracle: a count of objects
 * in the code itself, and what the standard says of `throw;`, `std::current_exception` and `std::uncaught_exceptions`.
 */
import { hostFunction, type Callable } from 'nomad-jit';
import { makeJit } from './support/jits';
import { compileC } from './support/tools';

const source = compileC(
  'c++',
  `
#include <exception>
#include <stdexcept>
extern "C" int host(int);
int alive;
struct Value { int x; Value(int x) : x(x) { alive++; } Value(const Value &other) : x(other.x) { alive++; } ~Value() { alive--; } };
struct Deadly { Deadly() { alive++; } Deadly(const Deadly &) { alive++; } ~Deadly() { alive--; __builtin_trap(); } };
struct Leaving { int how; ~Leaving() noexcept(false); };
[[gnu::noinline]] void leave(int how) { if (how == 0) __builtin_trap(); host(how); }
Leaving::~Leaving() noexcept(false) { leave(how); }
extern "C" {
int state() { return std::uncaught_exceptions() * 10 + (std::current_exception() ? 1 : 0); }
int living() { return alive; }
void handling(int how) { try { throw Value(1); } catch (Value &) { leave(how); } }
void handlingTwo(int how) { try { throw Value(1); } catch (...) { try { throw Value(2); } catch (Value &) { leave(how); } } }
void belowCatchAll(int how) { try { try { throw Value(1); } catch (Value &) { leave(how); } } catch (...) { } }
void handlingDeadly(int how) { try { throw Deadly(); } catch (Deadly &) { leave(how); } }
void unwinding(int how) { try { Leaving leaving{how}; throw 1; } catch (int) { } }
void rethrown(int how) { try { try { throw Value(1); } catch (...) { Leaving leaving{how}; throw; } } catch (int) { } }
struct Text : std::exception { Text() { alive++; } Text(const Text &) { alive++; } ~Text() { alive--; } const char *what() const noexcept override { __builtin_trap(); } };
void uncaught(int) { throw Text(); }
int rethrows() { try { try { throw Value(7); } catch (...) { host(2); throw; } } catch (Value &value) { return value.x; } return 0; }
int counts() { struct Count { int &n; ~Count() { host(2); n = std::uncaught_exceptions(); } }; int n = 0; try { Count count{n}; throw 1; } catch (int) { } return n; }
}`,
  '-fexceptions',
);

const leaving = ['handling', 'handlingTwo', 'belowCatchAll', 'handlingDeadly', 'unwinding', 'rethrown', 'uncaught'] as const;
const howMany = 40;

describe.each(['jitlink', 'runtimedyld'] as const)('%s', (linker) => {
  function load(): (name: string) => Callable {
    const leaveAll = () => {
      for (const name of leaving) for (const how of [0, 1]) expect(() => get(name)(how)).toThrow();
    };
    const host = hostFunction('i32 (i32)', (how: number) => {
      if (how === 1) throw new Error('of JS');
      leaveAll();
      return 0;
    });
    const code = makeJit({ linker }).load(source, { imports: { host } });
    const get = (name: string): Callable => code.get(name);
    return get;
  }

  test.each(leaving)('%s: by a trap, and by what a host function throws, nothing is left', (name) => {
    const get = load();
    for (let i = 0; i < howMany; i++)
      for (const how of [0, 1]) {
        expect(() => get(name)(how)).toThrow();
        expect(get('state')()).toBe(0);
      }
  });

  test('what was being handled is destroyed once', () => {
    const get = load();
    for (const name of ['handling', 'handlingTwo', 'belowCatchAll', 'handlingDeadly'])
      for (const how of [0, 1]) expect(() => get(name)(how)).toThrow();
    expect(get('living')()).toBe(0);
  });

  test('code that waits meanwhile keeps its own', () => {
    const get = load();
    for (let i = 0; i < howMany; i++) expect([get('rethrows')(), get('counts')(), get('state')()]).toEqual([7, 1, 0]);
  });
});

// libstdc++ catches all there, and sets a bit of the stream.
describe('what leaves code by way of streams', () => {
  const streams = compileC(
    'c++',
    `
#include <cstdlib>
#include <exception>
#include <iostream>
extern "C" int host(int);
static int how;
static volatile int spins;
static void fail() {
  switch (how) {
  case 0: *(volatile int *)8 = 1; break;
  case 1: abort();
  case 2: for (;;) spins++;
  case 3: host(1); break;
  case 4: std::terminate();
  }
}
struct Buffer : std::streambuf {
  int overflow(int c) override { fail(); return c; }
  std::streamsize xsputn(const char *, std::streamsize n) override { fail(); return n; }
  int underflow() override { fail(); return -1; }
  int sync() override { fail(); return 0; }
};
extern "C" {
int out(int h) { how = h; Buffer buffer; std::ostream stream(&buffer); stream << "text" << 42; return stream.bad(); }
int in(int h) { how = h; Buffer buffer; std::istream stream(&buffer); int x; stream >> x; return stream.bad(); }
int flush(int h) { how = h; Buffer buffer; std::ostream stream(&buffer); stream.flush(); return stream.bad(); }
int ofTheirOwn() { how = 5; Buffer buffer; std::ostream stream(&buffer); stream << 1; return stream.good() ? 7 : 0; }
int state() { return std::uncaught_exceptions() * 10 + (std::current_exception() ? 1 : 0); }
}`,
    '-fexceptions',
  );

  test.each(['out', 'in', 'flush'])('%s', (name) => {
    const jit = makeJit();
    const host = hostFunction('i32 (i32)', () => {
      throw new RangeError('of the host function');
    });
    const object = jit.load(streams, { imports: { host } });
    const messages = [
      'memory fault at 0x8',
      'abort() was called',
      'stopped, because',
      'of the host function',
      'std::terminate()',
    ];
    for (const [how, message] of messages.entries()) {
      expect(() => jit.withTimeout(20, () => object.get(name)(how))).toThrow(message);
      expect([object.get('state')(), object.get('ofTheirOwn')()]).toEqual([0, 7]);
    }
  });
});
