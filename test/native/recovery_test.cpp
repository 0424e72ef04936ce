// Fatal errors and faults in recoverable work become errors (I14), and those of others reach whom they concern.
//
// All of it runs under AddressSanitizer: its handler for SIGSEGV is the one that was installed before ours, and a test's own
// handler takes its place for the time of the test.
#include "support.h"

#include "base/recovery.h"

#include "llvm/Support/ErrorHandling.h"

#include <atomic>
#include <csetjmp>
#include <csignal>
#include <exception>
#include <new>
#include <stdexcept>
#include <sys/wait.h>
#include <thread>
#include <unistd.h>

using namespace nomad;
using namespace nomad::test;

namespace {

struct Outcome {
  Failure failure;
  bool abandoned;
};

Outcome run(llvm::function_ref<llvm::Error()> work) {
  AbandonedIsLeaked leaked;
  bool abandoned = true;
  Failure failure = failureOf(runRecoverably("some work", work, abandoned));
  return {failure, abandoned};
}

// Page 0 is never mapped. Volatile, and hidden from the sanitizers, which would report it as their own find.
__attribute__((no_sanitize("address", "undefined"))) void fault() { *reinterpret_cast<volatile int *>(std::uintptr_t{16}) = 1; }

// Reads through `depth`, so that the compiler can see an end that never comes.
__attribute__((noinline, no_sanitize("address", "undefined"))) int recurse(volatile int *depth) {
  if (*depth < 0)
    return 0;
  volatile char frame[256];
  frame[0] = static_cast<char>(*depth);
  *depth = *depth + 1;
  return recurse(depth) + frame[0];
}

llvm::Error succeed() { return llvm::Error::success(); }

// As LLVM's linker has returned one, of an object file that was damaged.
class DamagedError : public llvm::ErrorInfo<DamagedError> {
public:
  static char ID;
  void log(llvm::raw_ostream &) const override { fault(); }
  std::error_code convertToErrorCode() const override { return llvm::inconvertibleErrorCode(); }
};
char DamagedError::ID;

} // namespace

TEST_CASE("recovery: work that succeeds or fails by itself passes through") {
  Outcome good = run(succeed);
  CHECK(good.failure.code.empty());
  CHECK_FALSE(good.abandoned);
  Outcome bad = run([] { return fail(ErrorCode::IRParse, "nothing"); });
  CHECK(bad.failure.code == "ERR_IR_PARSE");
  CHECK_FALSE(bad.abandoned);
}

TEST_CASE("recovery: an error is read where a fault can be survived, and gets the code") {
  Outcome damaged = run([] { return llvm::make_error<DamagedError>(); });
  CHECK(damaged.failure.code == "ERR_CODEGEN");
  CHECK(damaged.abandoned);
  Outcome plain = run([] { return llvm::createStringError("no reason"); });
  CHECK(plain.failure.code == "ERR_CODEGEN");
  CHECK(plain.failure.message.find("some work: no reason") != std::string::npos);
  CHECK_FALSE(plain.abandoned);
}

TEST_CASE("recovery: report_fatal_error becomes an error that gives LLVM's reason") {
  Outcome outcome = run([]() -> llvm::Error { llvm::report_fatal_error("no such instruction", false); });
  CHECK(outcome.failure.code == "ERR_CODEGEN");
  CHECK(contains(outcome.failure.message, "some work"));
  CHECK(contains(outcome.failure.message, "no such instruction"));
  CHECK(outcome.abandoned);
}

TEST_CASE("recovery: a reason longer than any buffer is cut, not overrun") {
  std::string reason(100'000, 'x');
  Outcome outcome = run([&]() -> llvm::Error { llvm::report_fatal_error(llvm::StringRef(reason), false); });
  CHECK(contains(outcome.failure.message, "xxxxxxxx"));
  CHECK(outcome.abandoned);
}

TEST_CASE("recovery: a fault becomes an error, every time") {
  for (int round = 0; round < 100; ++round) {
    Outcome outcome = run([]() -> llvm::Error { return fault(), succeed(); });
    CHECK(outcome.failure.code == "ERR_CODEGEN");
    CHECK(outcome.abandoned);
  }
}

TEST_CASE("recovery: abort, division by zero and illegal instructions too") {
  CHECK(run([]() -> llvm::Error { std::abort(); }).abandoned);
  CHECK(run([]() -> llvm::Error { return raise(SIGFPE), succeed(); }).abandoned);
  auto illegal = [] { asm volatile("ud2"); };
  auto breakpoint = [] { asm volatile("int3"); };
  CHECK(run([&]() -> llvm::Error { return illegal(), succeed(); }).abandoned);
  CHECK(run([&]() -> llvm::Error { return breakpoint(), succeed(); }).abandoned);
}

TEST_CASE("recovery: a C++ exception ends the work, also where it must not be thrown, and is nobody's afterwards") {
  auto throws = []() -> llvm::Error { throw std::bad_alloc(); };
  auto terminates = [] {
    auto raise = [] { throw std::runtime_error("no such thing"); };
    auto mustNot = [&]() noexcept { raise(); };
    return mustNot(), succeed();
  };
  for (int round = 0; round < 20; ++round) {
    Outcome thrown = run(throws), terminated = run(terminates);
    CHECK(thrown.abandoned);
    CHECK(contains(thrown.failure.message, "out of memory"));
    CHECK(terminated.abandoned);
    CHECK(contains(terminated.failure.message, "no such thing"));
    CHECK(std::uncaught_exceptions() == 0);
    CHECK_FALSE(std::current_exception());
  }
}

TEST_CASE("recovery: the error has the code that was asked for, and abandoned work is counted") {
  AbandonedIsLeaked leaked;
  size_t before = abandonedCount();
  bool abandoned = false;
  auto work = []() -> llvm::Error { llvm::report_fatal_error("no", false); };
  CHECK(failureOf(runRecoverably("link", work, abandoned, ErrorCode::Link)).code == "ERR_LINK");
  CHECK(failureOf(runRecoverably("link", succeed, abandoned, ErrorCode::Link)).code.empty());
  CHECK(abandonedCount() == before + 1);
}

TEST_CASE("recovery: a stack that overflows becomes an error, on this thread and on one of its own") {
  auto overflow = [] {
    volatile int depth = 0;
    Outcome outcome = run([&]() -> llvm::Error { return recurse(&depth), succeed(); });
    return outcome.abandoned && outcome.failure.code == "ERR_CODEGEN" && depth > 1000;
  };
  CHECK(overflow());
  CHECK(overflow());
  std::atomic<bool> onThread = false;
  std::thread([&] { onThread = overflow() && overflow(); }).join();
  CHECK(onThread);
}

TEST_CASE("recovery: nested work ends alone, and the outer one goes on or ends after it") {
  bool after = false;
  Outcome outer = run([&]() -> llvm::Error {
    Outcome inner = run([]() -> llvm::Error { return fault(), succeed(); });
    after = inner.abandoned && inner.failure.code == "ERR_CODEGEN";
    return succeed();
  });
  CHECK(after);
  CHECK_FALSE(outer.abandoned);
  outer = run([&]() -> llvm::Error { return run(succeed), fault(), succeed(); });
  CHECK(outer.abandoned);
}

TEST_CASE("recovery: two threads at once, each gets its own error") {
  std::atomic<int> right = 0;
  auto work = [&](const char *reason) {
    for (int round = 0; round < 200; ++round) {
      Outcome fatal = run([&]() -> llvm::Error { llvm::report_fatal_error(reason, false); });
      Outcome faulty = run([]() -> llvm::Error { return fault(), succeed(); });
      right += contains(fatal.failure.message, reason) && faulty.abandoned;
    }
  };
  std::thread first(work, "first thread"), second(work, "second thread");
  first.join();
  second.join();
  CHECK(right == 400);
}

// ---- whose fault it is ----

namespace {

thread_local sigjmp_buf escape;
std::atomic<int> handled = 0;

void ownHandler(int, siginfo_t *, void *) {
  ++handled;
  siglongjmp(escape, 1);
}

// The test's handler for SIGSEGV while it lives; afterwards that of before.
class OwnHandler {
public:
  OwnHandler() {
    struct sigaction action = {};
    action.sa_sigaction = ownHandler;
    action.sa_flags = SA_SIGINFO | SA_NODEFER;
    sigaction(SIGSEGV, &action, &before_);
    handled = 0;
  }
  ~OwnHandler() { sigaction(SIGSEGV, &before_, nullptr); }
  OwnHandler(const OwnHandler &) = delete;
  OwnHandler &operator=(const OwnHandler &) = delete;

private:
  struct sigaction before_ = {};
};

void faultAndEscape() {
  if (sigsetjmp(escape, 1) == 0)
    fault();
}

bool isOwnHandlerInstalled() {
  struct sigaction action = {};
  sigaction(SIGSEGV, nullptr, &action);
  return (action.sa_flags & SA_SIGINFO) != 0 && action.sa_sigaction == ownHandler;
}

} // namespace

TEST_CASE("recovery: a fault in another thread goes to the handler that was there before") {
  OwnHandler own;
  Outcome outcome = run([]() -> llvm::Error {
    CHECK_FALSE(isOwnHandlerInstalled());
    std::thread(faultAndEscape).join();
    return succeed();
  });
  CHECK(handled == 1);
  CHECK_FALSE(outcome.abandoned);
}

TEST_CASE("recovery: after the work ours stays, and faults go to the handler of before, after faults and nested work too") {
  OwnHandler own;
  CHECK_FALSE(run([]() -> llvm::Error { return run(succeed), succeed(); }).abandoned);
  CHECK_FALSE(isOwnHandlerInstalled());
  CHECK(run([]() -> llvm::Error { return fault(), succeed(); }).abandoned);
  CHECK(handled == 0);
  faultAndEscape();
  CHECK(handled == 1);
  faultAndEscape();
  CHECK(handled == 2);
}

namespace {

// How a child process ends in which `other` runs on a second thread while the first does recoverable work.
int deathOf(void (*other)()) {
  pid_t child = fork();
  if (child == 0) {
    for (int signal : {SIGSEGV, SIGABRT})
      std::signal(signal, SIG_DFL);
    bool abandoned = false;
    consumeError(runRecoverably("", [&] { return std::thread(other).join(), succeed(); }, abandoned));
    _exit(0);
  }
  int status = 0;
  waitpid(child, &status, 0);
  return WIFSIGNALED(status) ? WTERMSIG(status) : 0;
}

} // namespace

TEST_CASE("recovery: where nobody listens, a fault elsewhere still ends the process by its signal") {
  CHECK(deathOf(fault) == SIGSEGV);
  CHECK(deathOf([] { std::abort(); }) == SIGABRT);
  CHECK(deathOf([] { raise(SIGSEGV); }) == SIGSEGV);
}
