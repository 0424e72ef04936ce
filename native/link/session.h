// ORC's session as both linkers need it: it runs in this process, on the thread that asks, and publishes nothing. The layer links
// into plain memory, and when the link is done ORC forgets it.
//
// A link in which LLVM crashes leaves its session in an unknown state: it is kept as it is, never used or destroyed, and the next
// link gets another.
#pragma once

#include "llvm/ADT/STLFunctionalExtras.h"
#include "llvm/ExecutionEngine/Orc/Core.h"
#include "llvm/ExecutionEngine/Orc/Layer.h"

#include <functional>
#include <memory>
#include <optional>
#include <string>

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

/// A session for each link: the same one until a link is abandoned.
class Sessions {
public:
  using MakeLayer = std::function<std::unique_ptr<llvm::orc::ObjectLayer>(llvm::orc::ExecutionSession &)>;

  explicit Sessions(MakeLayer makeLayer) : makeLayer_(std::move(makeLayer)) {}

  /// Runs `work` recoverably. What it owns may be destroyed afterwards, if LLVM does not own a part of it. Errors: `work`'s; Link
  /// naming `what`, if there is no session, or if LLVM can't go on.
  llvm::Error run(const std::string &what, llvm::function_ref<llvm::Error(Session &)> work);

private:
  llvm::Error open();

  const MakeLayer makeLayer_;
  std::unique_ptr<Session> session_; // none before the first link, and after one that was abandoned
};

} // namespace nomad
