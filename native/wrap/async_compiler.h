// compileAsync of one Jit: code generation on its threads, and the way back to JS.
//
// Always true: Node-API is used on the Jit's own thread only, but for the wake-up; the threads have ended before the environment
// has.
#pragma once

#include "compile/compile_queue.h"
#include "engine/engine.h"
#include "wrap/js.h"

#include <deque>
#include <memory>

namespace nomad::wrap {

struct Jit;

class AsyncCompiler {
public:
  /// Whether the process has to wait for the result.
  enum class Urgency { Awaited, Background };

  AsyncCompiler(Jit &jit, unsigned threads);
  ~AsyncCompiler();
  AsyncCompiler(const AsyncCompiler &) = delete;
  AsyncCompiler &operator=(const AsyncCompiler &) = delete;

  /// `done` is called with an error or a handle, in the order of the calls of `add`.
  void add(std::string source, CompileOptions options, napi_value done, Urgency urgency);
  /// What waits to be linked to functions of `from` will be linked to those of `to`.
  void replace(Handle from, Handle to);
  /// What waits to be linked to functions of `handle`, which is freed and may be reused, fails.
  void forget(Handle handle);
  /// Makes no more calls.
  void cancel();
  /// Whether it can be destroyed without waiting for a thread.
  bool isIdle();

private:
  /// Outlives the compiler if wake-ups are under way.
  struct Link {
    AsyncCompiler *compiler;
  };
  /// What a compile thread has found in the cache.
  struct CacheAnswer {
    std::string key;
    std::string source; // if it is there
  };
  struct Pending {
    CompileOptions options;
    napi_ref done;
    Urgency urgency;
    std::shared_ptr<CacheAnswer> answer; // null without a cache
  };

  /// No code object's.
  static constexpr Handle goneHandle = noHandle - 1;

  void connect();
  void deliver();
  void release(Pending &pending);
  static void endWithEnvironment(void *compiler);
  void shutDown();
  CompileQueue::IsKnown askCache(const CompileRequest &request, Pending &pending);
  llvm::Expected<Handle> link(llvm::Expected<ObjectFile> object, const Pending &pending);

  Jit &jit_;
  napi_env env_;
  std::unique_ptr<CompileQueue> queue_; // null: the environment ends
  std::deque<Pending> pending_;
  size_t awaited_ = 0;
  Link *link_ = nullptr; // the wake-up's own, which deletes it
  napi_threadsafe_function wake_ = nullptr;
};

} // namespace nomad::wrap
