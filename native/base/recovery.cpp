#include "base/recovery.h"

#include "llvm/Support/ErrorHandling.h"
#include "llvm/Support/PrettyStackTrace.h"

#include <array>
#include <atomic>
#include <csetjmp>
#include <csignal>
#include <cstdlib>
#include <cxxabi.h>
#include <exception>
#include <memory>
#include <mutex>
#include <new>
#include <string>
#include <sys/mman.h>
#include <vector>

using namespace nomad;

namespace {

// Where a thread goes back to when its work can't go on. Set only while runRecoverably runs on that thread.
struct Recovery {
  sigjmp_buf target;
  int signal = 0;
  char reason[512] = "";
};
thread_local Recovery *current = nullptr;

void onFatalError(void *, const char *reason, bool) {
  if (!current) { // not our work: what LLVM does when nobody listens
    std::fprintf(stderr, "LLVM ERROR: %s\n", reason);
    std::abort();
  }
  std::snprintf(current->reason, sizeof current->reason, "%s", reason);
  siglongjmp(current->target, 1);
}

constexpr std::array faults{SIGSEGV, SIGBUS, SIGILL, SIGFPE, SIGTRAP, SIGABRT};
std::array<struct sigaction, faults.size()> previous;

void handOn(size_t index, int signal, siginfo_t *info, void *context) {
  const struct sigaction &before = previous[index];
  if (before.sa_flags & SA_SIGINFO)
    return before.sa_sigaction(signal, info, context);
  if (before.sa_handler != SIG_DFL && before.sa_handler != SIG_IGN)
    return before.sa_handler(signal);
  // The default action: happens as soon as this handler returns to the faulting instruction.
  sigaction(signal, &before, nullptr);
  if (info->si_code <= 0)
    raise(signal);
}

void onFault(int signal, siginfo_t *info, void *context) {
  if (current) {
    current->signal = signal;
    siglongjmp(current->target, 1);
  }
  for (size_t i = 0; i < faults.size(); ++i)
    if (faults[i] == signal)
      return handOn(i, signal, info, context);
}

// Fault handlers are installed while at least one thread needs them.
std::mutex handlerMutex;
int handlerUsers = 0;

void installHandlers() {
  std::lock_guard lock(handlerMutex);
  static const bool listening =
      (llvm::install_fatal_error_handler(onFatalError), llvm::install_bad_alloc_error_handler(onFatalError), true);
  (void)listening;
  if (handlerUsers++ > 0)
    return;
  struct sigaction action = {};
  action.sa_sigaction = onFault;
  action.sa_flags = SA_SIGINFO | SA_ONSTACK | SA_NODEFER;
  sigemptyset(&action.sa_mask);
  for (size_t i = 0; i < faults.size(); ++i)
    sigaction(faults[i], &action, &previous[i]);
}

void removeHandlers() {
  std::lock_guard lock(handlerMutex);
  if (--handlerUsers > 0)
    return;
  for (size_t i = 0; i < faults.size(); ++i)
    sigaction(faults[i], &previous[i], nullptr);
}

// Deep recursion in LLVM (input nested 100,000 levels) faults at the end of the stack: the handler needs a stack of its own.
class AlternateStack {
public:
  AlternateStack() {
    if (sigaltstack(nullptr, &before_) != 0 || !(before_.ss_flags & SS_DISABLE))
      return; // somebody has given this thread one
    thread_local std::unique_ptr<char[]> memory(new char[bytes]);
    stack_t mine = {};
    mine.ss_sp = memory.get();
    mine.ss_size = bytes;
    installed_ = sigaltstack(&mine, nullptr) == 0;
  }
  ~AlternateStack() {
    if (installed_)
      sigaltstack(&before_, nullptr);
  }
  AlternateStack(const AlternateStack &) = delete;
  AlternateStack &operator=(const AlternateStack &) = delete;

private:
  static constexpr size_t bytes = 64 * 1024;
  stack_t before_ = {};
  bool installed_ = false;
};

std::string describe(const Recovery &recovery) {
  if (recovery.reason[0] != '\0')
    return std::string("LLVM cannot go on: ") + recovery.reason;
  return std::string("LLVM failed with ") + strsignal(recovery.signal) +
         (recovery.signal == SIGSEGV ? " (a defect of LLVM, or input nested too deeply)" : "");
}

// ---- exceptions ----

void setReason(const char *reason) { std::snprintf(current->reason, sizeof current->reason, "%s", reason); }

const char *currentExceptionText() {
  try {
    throw;
  } catch (const std::bad_alloc &) {
    return "out of memory";
  } catch (const std::exception &exception) {
    return exception.what();
  } catch (...) {
    return "an exception of a type that nobody knows";
  }
}

// Instead of the C++ library's, which writes to stderr and aborts: a function that must not throw has thrown.
std::terminate_handler previousTerminate = nullptr;

void onTerminate() {
  if (!current) {
    if (previousTerminate)
      previousTerminate();
    std::abort();
  }
  setReason(std::current_exception() ? currentExceptionText() : "std::terminate");
  siglongjmp(current->target, 1);
}

void listenForTermination() {
  static const bool listening = (previousTerminate = std::set_terminate(onTerminate), true);
  (void)listening;
}

// What is kept of this thread elsewhere, and would go on as if the abandoned work were still under way: the exceptions that are
// being handled (the C++ ABI's __cxa_eh_globals), LLVM's list of what to print in a crash.
class ThreadState {
public:
  ThreadState() : exceptions_(*exceptionsOfThread()), prettyStack_(llvm::SavePrettyStackState()) {}
  void putBack() const {
    *exceptionsOfThread() = exceptions_;
    llvm::RestorePrettyStackState(prettyStack_);
  }

private:
  struct Exceptions {
    void *caught;
    unsigned uncaught;
  };
  static Exceptions *exceptionsOfThread() { return reinterpret_cast<Exceptions *>(abi::__cxa_get_globals()); }

  const Exceptions exceptions_;
  const void *const prettyStack_;
};

// False if an exception has ended it.
bool runToItsEnd(llvm::function_ref<llvm::Error()> work, llvm::Error &result) {
  try {
    result = work();
    return true;
  } catch (...) {
    setReason(currentExceptionText());
    return false;
  }
}

} // namespace

namespace {

std::atomic<size_t> abandonedWork = 0;

} // namespace

size_t nomad::abandonedCount() { return abandonedWork; }

void nomad::keepAbandoned(void *what) {
  static std::mutex mutex;
  static auto *const abandoned = new std::vector<void *>;
  std::lock_guard lock(mutex);
  abandoned->push_back(what);
}

llvm::Error nomad::runRecoverably(const char *what, llvm::function_ref<llvm::Error()> work, bool &abandoned, ErrorCode code) {
  AlternateStack stack;
  installHandlers();
  listenForTermination();
  const ThreadState before;
  Recovery recovery;
  Recovery *outer = current;
  llvm::Error result = llvm::Error::success();
  abandoned = true;
  if (sigsetjmp(recovery.target, 1) == 0) {
    current = &recovery;
    abandoned = !runToItsEnd(work, result);
  }
  if (abandoned) {
    before.putBack();
    ++abandonedWork;
    result = fail(code, llvm::Twine(what) + ": " + describe(recovery));
  }
  current = outer;
  removeHandlers();
  return result;
}
