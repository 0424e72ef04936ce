// What both linkers need of ORC's session: it runs in this process, on the thread that asks, and its first report is the error.
#pragma once

#include "llvm/ExecutionEngine/Orc/Core.h"

#include <optional>

namespace nomad {

/// ORC reports what went wrong to its session, and returns only "failed to materialize".
class Reports {
public:
  ~Reports();

  void listenTo(llvm::orc::ExecutionSession &execution);
  /// The first report since the last time; without one, `returned`.
  llvm::Error firstOf(llvm::Error returned);

private:
  std::optional<llvm::Error> first_;
};

/// Errors: Link.
llvm::Expected<std::unique_ptr<llvm::orc::ExecutorProcessControl>> makeProcessControl();

} // namespace nomad
