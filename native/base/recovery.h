// LLVM ends the process where we may not (I14): report_fatal_error, and faults on input that nobody foresaw. Work that runs
// recoverably ends with an error instead. What the work had allocated is lost: its stack is left, not unwound, so hand in
// only work whose state can be abandoned.
//
// LLVM's CrashRecoveryContext does the same with process-wide handlers that break V8's handler for WebAssembly traps in other
// threads; ours hand every fault that is not ours to whoever was installed before.
#pragma once

#include "llvm/ADT/STLFunctionalExtras.h"
#include "llvm/Support/Error.h"

namespace nomad {

/// Runs `work`. A fatal error of LLVM or a fault inside it becomes an error with ErrorCode::Codegen naming `what`. Such an
/// error's work is abandoned: whatever it owned must be leaked, not destroyed; `abandoned` is then set.
llvm::Error runRecoverably(const char *what, llvm::function_ref<llvm::Error()> work, bool &abandoned);

} // namespace nomad
