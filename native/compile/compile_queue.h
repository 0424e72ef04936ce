// Code generation on threads of its own: sources go in on one thread, and object files come out there in the same order,
// whichever is ready first. A failed compile delays no other.
#pragma once

#include "compile/object_file.h"

#include <condition_variable>
#include <deque>
#include <functional>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <thread>
#include <vector>

namespace nomad {

/// Touches nothing of a Jit but its target machines.
class CompileQueue {
public:
  /// `whenReady` is called on any thread, once for each result that `take` can have from then on.
  CompileQueue(unsigned threads, std::shared_ptr<TargetMachinePool> machines, std::function<void()> whenReady);
  /// Drops what has not begun, and waits for what has: LLVM can't be interrupted in this process. What a helper process compiles
  /// is not waited for.
  ~CompileQueue();

  /// On the thread that would compile: true if there is no need to; it may take the source.
  using IsKnown = std::function<bool(std::string &source)>;

  /// Threads are made when there is more to do than they can begin. If the first one can't be, the result is an error.
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

  using Result = llvm::Expected<ObjectFile>;

  void work();
  bool haveThread(std::string &problem);
  std::shared_ptr<Job> next();
  Result compile(Job &job);
  void finish(Job &job, Result result);
  static void drop(Job &job);

  const unsigned mostThreads_;
  std::shared_ptr<TargetMachinePool> machines_;
  std::function<void()> whenReady_;
  Interruption interruption_; // of what helper processes compile
  std::mutex mutex_;
  std::condition_variable wake_;
  std::deque<std::shared_ptr<Job>> jobs_;    // in the order in which they came
  std::deque<std::shared_ptr<Job>> waiting_; // those of them that are not begun
  std::vector<std::thread> threads_;
  unsigned idle_ = 0;    // threads that wait
  unsigned running_ = 0; // threads at work
  bool isCancelled_ = false;
};

} // namespace nomad
