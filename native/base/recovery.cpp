#include "base/recovery.h"

#include "base/error.h"
#include "base/signals.h"

#include "llvm/Support/ErrorHandling.h"

#include <csetjmp>
#include <csignal>
#include <cstdlib>
#include <string>

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
  if (!current) { // not our work: what LLVM does when nobody listens
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

} // namespace

llvm::Error nomad::runRecoverably(const char *what, llvm::function_ref<llvm::Error()> work, bool &abandoned) {
  listen();
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
  return result;
}
