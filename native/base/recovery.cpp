#include "base/recovery.h"

#include "base/error.h"

#include "llvm/Support/ErrorHandling.h"

#include <array>
#include <csetjmp>
#include <csignal>
#include <cstdlib>
#include <memory>
#include <mutex>
#include <string>
#include <sys/mman.h>

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

} // namespace

llvm::Error nomad::runRecoverably(const char *what, llvm::function_ref<llvm::Error()> work, bool &abandoned) {
  AlternateStack stack;
  installHandlers();
  Recovery recovery;
  Recovery *outer = current;
  llvm::Error result = llvm::Error::success();
  abandoned = false;
  if (sigsetjmp(recovery.target, 1) == 0) {
    current = &recovery;
    result = work();
  } else {
    abandoned = true;
    result = fail(ErrorCode::Codegen, llvm::Twine(what) + ": " + describe(recovery));
  }
  current = outer;
  removeHandlers();
  return result;
}
