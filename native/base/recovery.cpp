#include "base/recovery.h"

#include "base/error.h"
#include "base/signals.h"

#include "llvm/Support/ErrorHandling.h"
#include "llvm/Support/PrettyStackTrace.h"

#include <atomic>
#include <csetjmp>
#include <csignal>
#include <cstdlib>
#include <cxxabi.h>
#include <exception>
#include <mutex>
#include <new>
#include <string>
#include <vector>

using namespace nomad;

namespace {

// Where a thread goes back to when its work can't go on. Set only while runRecoverably runs on that thread.
struct Recovery {
  sigjmp_buf target;
  int signal = 0;
  char reason[512] = "";
};
thread_local Recovery *current __attribute__((tls_model("initial-exec"))) = nullptr; // a handler reads it

void onFatalError(void *, const char *reason, bool) {
  if (!current) { // not our work: what LLVM does without a handler
    std::fprintf(stderr, "LLVM ERROR: %s\n", reason);
    std::abort();
  }
  std::snprintf(current->reason, sizeof current->reason, "%s", reason);
  siglongjmp(current->target, 1);
}

bool onFault(int signal, siginfo_t *info, ucontext_t *) {
  if (!current || signal == interruptSignal || !isOwnSignal(*info))
    return false;
  current->signal = signal;
  siglongjmp(current->target, 1);
}

// Deep recursion in LLVM (input nested 100,000 levels) faults at the end of the stack: the handler needs a stack of its own.
void listen() {
  static const bool listening =
      (llvm::install_fatal_error_handler(onFatalError), llvm::install_bad_alloc_error_handler(onFatalError),
       claimSignals(SignalClaimant::Recovery, onFault), true);
  (void)listening;
  watchSignals(faultSignals());
  ensureAlternateStack();
}

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
    return "an exception of an unknown type";
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

// False if an exception has ended it. Errors of LLVM's are read here, since even those may be damaged.
bool runToItsEnd(llvm::function_ref<llvm::Error()> work, llvm::Error &result, ErrorCode code, const char *what) {
  try {
    result = withCode(code, what, work());
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
  listen();
  listenForTermination();
  const ThreadState before;
  Recovery recovery;
  Recovery *outer = current;
  llvm::Error result = llvm::Error::success();
  abandoned = true;
  if (sigsetjmp(recovery.target, 1) == 0) {
    current = &recovery;
    abandoned = !runToItsEnd(work, result, code, what);
  }
  current = outer; // before anything that may throw
  if (abandoned) {
    before.putBack();
    ++abandonedWork;
    result = fail(code, llvm::Twine(what) + ": " + describe(recovery));
  }
  return result;
}
