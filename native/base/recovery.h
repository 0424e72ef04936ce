// LLVM ends the process where we may not (I14): report_fatal_error, and faults on unforeseen input. Work that runs
// recoverably ends with an error instead. What the work had allocated is lost: its stack is left, not unwound, so hand in
// only work whose state can be abandoned. A C++ exception ends it in the same way (std::bad_alloc, mostly): LLVM's functions,
// built without exceptions, have not cleaned up after it.
//
// LLVM's CrashRecoveryContext does the same with process-wide handlers that break V8's handler for WebAssembly traps in other
// threads; ours hand every fault that is not ours to the earlier handler.
#pragma once

#include "base/error.h"

#include "llvm/ADT/STLFunctionalExtras.h"

namespace nomad {

/// Runs `work`. Errors: `work`'s, with this code and `what` if it has given them none. A fatal error of LLVM, a fault or an
/// exception inside it becomes an error with this code naming `what`. Such an
/// error's work is abandoned: whatever LLVM owned must be leaked, not destroyed; `abandoned` is then set.
llvm::Error runRecoverably(const char *what, llvm::function_ref<llvm::Error()> work, bool &abandoned,
                           ErrorCode code = ErrorCode::Codegen);

/// Keeps what has been abandoned, so that it is lost on purpose and still reachable.
void keepAbandoned(void *what);

/// How much work has been abandoned in this process.
size_t abandonedCount();

} // namespace nomad
