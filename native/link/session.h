// ORC's session as both linkers need it: it runs in this process, on the thread that asks, and publishes nothing. The layer links
// into plain memory, and when the link is done ORC forgets it.
#pragma once

#include "llvm/ExecutionEngine/Orc/Core.h"
#include "llvm/ExecutionEngine/Orc/Layer.h"

#include <memory>
#include <optional>

namespace nomad {

class Session {
public:
  /// Errors: Link.
  static llvm::Expected<std::unique_ptr<Session>> create();
  ~Session();

  llvm::orc::ExecutionSession &execution() { return execution_; }
  /// What links, made for `execution()`; it must be set before the first link.
  void setLayer(std::unique_ptr<llvm::orc::ObjectLayer> layer) { layer_ = std::move(layer); }

  /// Exported names of an object file that ORC is told of, besides the weak ones; the layer must do without the others.
  enum class Claims { One, All };

  /// Has the layer link the object file in `bytes` as a whole. `known` are addresses that it may look up. Errors: the first one
  /// that was reported to the session: ORC itself returns only "failed to materialize".
  llvm::Error link(llvm::MemoryBufferRef bytes, Claims claims, llvm::orc::SymbolMap known = llvm::orc::SymbolMap());

private:
  explicit Session(std::unique_ptr<llvm::orc::ExecutorProcessControl> process);
  llvm::Error linkUnder(const llvm::orc::ResourceTrackerSP &tracker, llvm::MemoryBufferRef bytes, Claims claims,
                        llvm::orc::SymbolMap known);
  llvm::Error firstReport(llvm::Error returned);

  std::optional<llvm::Error> reported_;
  llvm::orc::ExecutionSession execution_;
  std::unique_ptr<llvm::orc::ObjectLayer> layer_;
  llvm::orc::JITDylib *scratch_; // empty between links
};

} // namespace nomad
