// A directory of saved code objects, by what they were compiled from. Several processes may use it at once: files come by rename,
// whole, and LLVM's pruneCache, which made for ThinLTO's caches looks after the size, removes those that have not been used for
// longest.
//
// Nothing that is wrong with a file or the directory is an error: then there is nothing in the cache.
//
// Files are written here, and not by LLVM's localCache: that one ends the process when the disk is full, and takes the process's
// signal handlers to remove files that are not finished.
#pragma once

#include "engine/options.h"
#include "engine/stats.h"

#include "llvm/Support/MemoryBuffer.h"

namespace nomad {

/// `key` and `find` may be called on any thread.
class CompileCache {
public:
  explicit CompileCache(const EngineOptions &options);

  /// Of all that the result of a compilation depends on, except the places of its imports.
  std::string key(llvm::StringRef source, const CompileRequest &request, const CompileOptions &options) const;
  /// What was stored, if it is whole.
  std::unique_ptr<llvm::MemoryBuffer> find(llvm::StringRef key) const;
  void store(llvm::StringRef key, llvm::ArrayRef<std::uint8_t> bytes);

private:
  std::string pathOf(llvm::StringRef key) const;
  void prune(Size stored);

  std::string directory_;
  std::string maker_; // what generates code, for which machine, in which way
  Size maxBytes_;
  Size storedBytes_ = 0; // since it was pruned
  bool hasPruned_ = false;
};

} // namespace nomad
