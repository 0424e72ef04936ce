// What signal handlers and other threads know of a thread that has Jits: where code of it is, whether code runs, and whether it
// should stop.
//
// Made with the thread's first Jit, gone with its last. Handlers of the thread read it at any time: whatever changes is one word.
#pragma once

#include "move/owner_index.h"
#include "move/unwind.h"
#include "stack/activation.h"

#include <atomic>
#include <csetjmp>
#include <pthread.h>

namespace nomad {

struct TrapException;

/// Where code of one Jit is. Made, used and destroyed on the Jit's thread.
class CodeRange {
public:
  CodeRange(Range code, Range thunks, OwnerIndex &owners);
  ~CodeRange();
  CodeRange(const CodeRange &) = delete;
  CodeRange &operator=(const CodeRange &) = delete;

  bool hasCode(Address address) const { return code_.contains(address) && !thunks_.contains(address); }
  bool hasThunk(Address address) const { return thunks_.contains(address); }
  OwnerIndex &owners() const { return owners_; }
  /// The Jit's, in this process: never used again.
  std::uint32_t id() const { return id_; }
  CodeRange *next() const { return next_; }
  /// The thread has no other Jit.
  bool isOnlyOne() const;

private:
  Range code_, thunks_;
  OwnerIndex &owners_;
  std::uint32_t id_;
  CodeRange *next_ = nullptr;
};

struct CodeThread {
  /// Why code should stop.
  enum Reason : std::uint32_t {
    Interrupt = 1, // `interruptCode` was called
    Timeout = 2,   // the time that withTimeout gives is over
    Ending = 4,    // unknown: the thread is to look whether its environment ends
  };
  /// Can the environment still run JS? Called in a signal handler, while code runs.
  using IsAlive = bool (*)(void *environment);

  pthread_t thread = pthread_self();
  Range stack; // which code must not overflow
  ActivationChain &activations = threadActivations();
  std::atomic<std::uint32_t> wanted{0};    // Reasons
  std::atomic<std::uint32_t> timeoutMs{0}; // of the innermost that is over
  std::atomic<CodeRange *> ranges{nullptr};
  jmp_buf *walkEnd = nullptr;      // where a fault in a walk of frames ends; null: none is under way
  TrapException *raised = nullptr; // those on their way to a call thunk, the newest first
  IsAlive isAlive = nullptr;       // null: not watched
  void *environment = nullptr;
  bool wasInCode = false; // the watchdog's: when it looked last
  ReasonToLook reasonToLook;

  /// The owner of the code at `address`; null if there is none.
  const CodeRange *rangeAt(Address address) const;
  bool isThunk(Address address) const;
  bool isInCode() const { return look(activations.entryFrame) != Address(); }
  bool isActive() const { return isInCode() || look(activations.innermost) != nullptr; }

private:
  /// Other threads look, too, at what this one changes.
  template <typename T>
  static T look(const T &word) {
    T value;
    __atomic_load(&word, &value, __ATOMIC_RELAXED);
    return value;
  }
};

/// This thread's; null if it has no Jit.
CodeThread *codeThread();

/// Whether some Jit of any thread has its code there. Of very many Jits, not all are known.
bool isCodeOfAny(Address address);

} // namespace nomad
