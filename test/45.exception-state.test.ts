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
