// Entries into code that no call thunk makes (I16): entry stubs bring them here, on whichever thread (memory/entry_table.h).
//
// Such code leaves unseen. But the word that the entry stub's caller returns by is overwritten by what that caller calls next, and
// is below the stack pointer once the caller has returned; so an entry counts as long as its word is there. It may count too long:
// then something is pinned that need not be.
//
// Always true: what an entry does is safe in signal handlers and on any thread; it takes no lock and allocates nothing.
#pragma once

#include "memory/entry_table.h"
#include "run/activation.h"

#include "llvm/ADT/ArrayRef.h"

#include <array>
#include <atomic>

namespace nomad {

class EntryLog {
public:
  /// Made on the thread of its Jit.
  explicit EntryLog(const ActivationChain &chain);
  EntryLog(const EntryLog &) = delete;
  EntryLog &operator=(const EntryLog &) = delete;

  EntryWatch watch();

  /// What entries tell at a safepoint.
  struct Present {
    bool isHere = false;      // code that was entered so is on the thread's stack
    bool isElsewhere = false; // on another thread, or on another stack of this one: anything may run or wait there
    bool isInSignal = false;  // the thread runs a signal handler that is code, and that has not interrupted code
  };
  /// `stackPointer`: whoever asks. Forgets entries that are over.
  Present present(Address stackPointer);
  /// Has another thread ever entered?
  bool hasOtherThreads() const { return hasOtherThreads_.load(std::memory_order_relaxed); }

  /// While one lives, other threads wait before they enter.
  class Closed {
  public:
    explicit Closed(EntryLog &log) : log_(log) { log_.closed_.fetch_add(1); }
    ~Closed() { log_.closed_.fetch_sub(1); }
    Closed(const Closed &) = delete;
    Closed &operator=(const Closed &) = delete;

  private:
    EntryLog &log_;
  };

  /// `returnSlot` has the address that the function returns to. Called by the watch's function only.
  void note(Address returnSlot);

private:
  struct Entry {
    std::atomic<std::uint64_t> slot{0}; // 0: vacant; 1: being written
    std::uint64_t returnsTo;
    std::uint64_t thread; // its thread pointer
  };
  static constexpr std::size_t mostEntries = 64;

  llvm::MutableArrayRef<Entry> used() { return {entries_.data(), used_.load(std::memory_order_acquire)}; }
  bool isKnown(std::uint64_t slot, std::uint64_t thread, bool isOnStack);
  void add(std::uint64_t slot, std::uint64_t thread);

  const ActivationChain &chain_;
  std::uint64_t thread_;
  std::array<Entry, mostEntries> entries_;
  std::atomic<std::size_t> used_{0}; // of those, from the first on
  std::atomic<bool> isFull_{false}; // some entry is not among them
  std::atomic<bool> hasOtherThreads_{false};
  std::atomic<int> closed_{0};
};

} // namespace nomad
