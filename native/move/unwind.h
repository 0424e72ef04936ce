// Unwind records follow their code: C++ exceptions and debuggers find the frame descriptions (.eh_frame) of code where it is now.
//
// Registering each code object anew at each move would cost more than the move, so moves leave windows of code stale, and all
// that is stale is registered before code of the thread goes on, by whatever Jit it is:
//
//   call thunks   read staleUnwindTables() and call Engine::enter
//   host exits    Engine::callHost, before code goes on
//   entry stubs   refreshUnwindTables(), where native code has entered and something is stale
//   the engine    after each change, while code waits that returns through none of these (Engine::returnsUnseen)
//
// Other threads that run code throw whenever they like. From noteOtherThreads() on each change ends with complete tables, and
// what does not move or go is found in the middle of it, too.
#pragma once

#include "base/integrity.h"
#include "move/frame_registration.h"
#include "move/owner_index.h"

#include <mutex>
#include <vector>

namespace nomad {

/// Not 0: something of this thread's Jits is stale. The address is the same for the thread's life.
const std::uint32_t *staleUnwindTables();
/// Not 0: this thread is changing code objects, or registering what is stale. The address is the same for the thread's life.
const std::uint32_t *changingUnwindTables();
/// Of this thread, for any thread: makes entries into code look first, as if something were stale. May be overlooked: say it
/// again.
class ReasonToLook {
public:
  ReasonToLook();
  void note() { __atomic_fetch_or(stale_, 2, __ATOMIC_RELAXED); }

private:
  std::uint32_t *stale_;
};
/// Registers what is stale, of all Jits of this thread. Next to nothing if nothing is.
void refreshUnwindTables();

class UnwindRegistry {
  struct Changing {
    Changing();
    ~Changing();
    Changing(const Changing &) = delete;
    Changing &operator=(const Changing &) = delete;
  };

public:
  /// `owners` of `code`. Belongs to the thread that makes it.
  UnwindRegistry(Range code, OwnerIndex &owners);
  ~UnwindRegistry();
  UnwindRegistry(const UnwindRegistry &) = delete;
  UnwindRegistry &operator=(const UnwindRegistry &) = delete;

  /// As long as it lives code objects change, and nothing else reads them.
  class Change {
  public:
    explicit Change(UnwindRegistry &registry) : registry_(registry), lock_(registry.owners_.mutex()) {}
    ~Change() {
      if (registry_.hasOtherThreads_)
        registry_.refreshLocked();
    }
    Change(const Change &) = delete;
    Change &operator=(const Change &) = delete;

  private:
    UnwindRegistry &registry_;
    Changing changing_; // outside of the lock: a signal handler asks
    std::lock_guard<std::mutex> lock_;
  };

  /// Before the bytes of a placed code object change or go, and after it has come. In a Change; where several change, `isMoving`
  /// or `isEnding` says so of each.
  void changes(CodeObject &object) {
    if (object.unwindRecords == noOffset)
      return;
    if (lookup_ != FrameLookup::Lists) [[unlikely]]
      return changesRange(object);
    Size index = windowOf(object.segment(SegmentKind::Code).base);
    if (!windows_[index].isStale)
      makeStale(index, object);
  }
  /// Code runs on other threads, too: call on the first of them, before it goes on. From any thread; waits while a Change lives.
  void noteOtherThreads();
  void refresh();

  /// Between two changes. Always true:
  ///   1. what is stale is listed, once each, and nothing else is;
  ///   2. where something is stale, the thread's word says so.
  llvm::Error checkIntegrity() const;

private:
  friend Damage;

  static constexpr Size windowBytes = 4 * OwnerIndex::windowBytes;

  struct Window {
    std::unique_ptr<WindowFrames> frames; // null: nothing was ever registered
    bool isStale = false;
  };

  Size windowOf(Address address) const { return static_cast<Size>(address - code_.base) / windowBytes; }
  Range range(Size index) const { return Range::at(code_.base + index * windowBytes, windowBytes); }
  void changesRange(CodeObject &object);
  void makeStale(Size index, const CodeObject &changing);
  void publish(Size index, llvm::function_ref<bool(const CodeObject &)> isComplete);
  void registerObjects(Size index);
  void refreshLocked();

  const FrameLookup lookup_ = frameLookup();
  Range code_;
  OwnerIndex &owners_;
  std::vector<Window> windows_;
  std::vector<Size> staleWindows_;
  Size reach_ = 0; // windows before an address in which code that goes on there begins. Ranges of windows only
  std::vector<const void *> sections_; // kept for its memory
  bool hasOtherThreads_ = false;
};

} // namespace nomad
