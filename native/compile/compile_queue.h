// Code generation on threads of its own: sources go in on one thread, and object files come out there in the same order,
// whichever is ready first. What has failed holds nobody up.
#pragma once

#include "compile/object_file.h"

#include "llvm/Support/ThreadPool.h"

#include <deque>
#include <functional>
#include <memory>
#include <mutex>
#include <optional>
#include <string>

namespace nomad {

/// Touches nothing of a Jit but its target machines.
class CompileQueue {
public:
  /// `whenReady` is called on any thread, once for each result that `take` can have from then on.
  CompileQueue(unsigned threads, std::shared_ptr<TargetMachinePool> machines, std::function<void()> whenReady);
  /// Drops what has not begun, and waits for what has: LLVM can't be interrupted.
  ~CompileQueue();

  /// On the thread that would compile: true if there is no need to; it may take the source.
  using IsKnown = std::function<bool(std::string &source)>;

  void add(std::string source, CompileRequest request, IsKnown isKnown = nullptr);
  /// The oldest one's result, if it is there; without bytes for what is known.
  std::optional<llvm::Expected<ObjectFile>> take();
  /// Nothing comes out any more, and nothing begins.
  void cancel();
  /// Whether no thread is at work.
  bool isIdle();

private:
  struct Job {
    std::string source; // the only copy, and gone as soon as the code is there
    CompileRequest request;
    IsKnown isKnown;
    std::optional<llvm::Expected<ObjectFile>> result;
  };

  void run(Job &job);
  bool begin();
  static void drop(Job &job);

  std::shared_ptr<TargetMachinePool> machines_;
  std::function<void()> whenReady_;
  std::mutex mutex_;
  std::deque<std::shared_ptr<Job>> jobs_; // in the order in which they came
  unsigned running_ = 0;
  bool isCancelled_ = false;
  llvm::StdThreadPool pool_; // last: its threads end before the rest goes
};

} // namespace nomad
