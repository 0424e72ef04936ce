// Entries into code that no call thunk makes (I16): entry stubs bring them here, on whichever thread (memory/entry_table.h).
//
// Such code leaves unseen. But the word that the entry stub's caller returns by is overwritten by what that caller calls next,
// and is below the stack pointer once the caller has returned; so an entry counts as long as its word is there. It may count too
// long: then something is pinned that need not be.
//
// Always true: noting an entry takes no lock and allocates nothing, so it is safe in signal handlers and on any thread. Preparing
// one (stale unwind records, the first entry of another thread) may do both; it is never asked of a signal handler.
#pragma once

#include "memory/entry_table.h"
#include "move/quiet.h"
#include "stack/activation.h"

#include "llvm/ADT/ArrayRef.h"

#include <atomic>

namespace nomad {

class EntryLog {
public:
  class Owner {
  public:
    /// Before code is entered, if `staleUnwindTables` is not 0 or it is the first time on another thread.
    virtual void prepareEntry(bool isOwnThread) = 0;

  protected:
    ~Owner() = default;
  };

  /// Made on the thread of its Jit.
  EntryLog(const ActivationChain &chain, Owner &owner);
  ~EntryLog();
  EntryLog(const EntryLog &) = delete;
  EntryLog &operator=(const EntryLog &) = delete;

  EntryWatch watch();

  /// What entries tell at a safepoint.
  struct Present {
    Address outermost;         // code that was entered so is on the thread's stack, below this slot; 0 if there is none
    bool isElsewhere = false;  // on another thread, or on another stack of this one: anything may run or wait there
    bool isConcurrent = false; // on another thread
    bool isInSignal = false;   // the thread runs a signal handler that is code, and that has not interrupted code
  };
  /// `stackPointer`: the caller's. Forgets entries that are over.
  Present present(Address stackPointer);
  /// Has another thread ever entered?
  bool hasOtherThreads() const { return hasOtherThreads_.load(std::memory_order_relaxed); }

  /// The thread of the Jit goes its own way: from now on it is as any other.
  void leaveThread() { thread_.store(0); }
  /// The owner goes. While others are kept out: those that wait do without.
  void leaveOwner() { owner_.store(nullptr); }

  /// Does a thread wait because others are kept out?
  bool hasWaiting();

  /// Those during which no thread enters.
  QuietMoves &moves() { return moves_; }

  /// What an entry has to do.
  enum class Order : int { Enter, Return, Prepare };
  /// Called by the watch's function only. `returnSlot` has the address that the function returns to; `first` and `second` are its
  /// arguments, if it has any.
  Order note(Address returnSlot, std::uint64_t first, std::uint64_t second);
  /// The same after Order::Prepare, where all registers may be used.
  void prepare();

private:
  struct Entry {
    std::atomic<std::uint64_t> slot{0}; // 0: vacant
    std::uint64_t returnsTo;
    std::uint64_t thread;                    // its thread pointer
    int kernelId;                            // of the thread
    Address stackLimit;                      // of the thread's own stack, if it is known that the slot is there; else 0
    bool isInSignal;                         // it is a signal handler, or below one
    bool isLong;                             // has been waited for in vain
    std::atomic<std::uint64_t> keptOutAt{0}; // the slot again, while it waits at its entry stub
  };
  static constexpr std::uint64_t beingWritten = 1; // a slot
  // Those below others may not take all of the table, nor one thread all of what is theirs.
  static constexpr std::size_t mostEntries = 4096, mostInner = 2048, mostDepth = 4;

  std::uint64_t ownThread() const { return thread_.load(std::memory_order_relaxed); }
  llvm::MutableArrayRef<Entry> used() { return {entries_, used_.load(std::memory_order_acquire)}; }
  static bool hasLeftAlternateStack(std::uint64_t slot);
  bool isActiveElsewhere(const Entry &entry, std::uint64_t slot) const;
  bool putOff(std::uint64_t slot, std::uint64_t signal, std::uint64_t info);
  Order noteOutside(std::uint64_t slot, std::uint64_t thread, std::uint64_t first, std::uint64_t second);
  struct Recorded {
    Entry *entry; // null: there is no room
    Entry *outer; // null: it is the outermost on its stack
    std::uint64_t outerSlot;
    bool isInSignal;
  };
  Recorded record(std::uint64_t slot, std::uint64_t thread);
  Entry *add(std::uint64_t slot, std::uint64_t thread, const Recorded &around);
  bool forgetEndedThreads();
  bool forget(Entry &entry, std::uint64_t slot);
  bool countsElsewhere(Entry &entry, unsigned &patience);

  const ActivationChain &chain_;
  std::atomic<Owner *> owner_; // null: gone
  const std::uint32_t *stale_;
  const std::uint32_t *changing_;
  std::atomic<std::uint64_t> thread_; // the Jit's thread pointer; 0: it has left
  Entry *entries_;                    // zeros, until they are used
  std::atomic<std::size_t> used_{0};  // of those, from the first on
  std::atomic<bool> isFull_{false};   // some entry is not among them
  std::atomic<bool> hasOtherThreads_{false};
  QuietMoves moves_;
};

} // namespace nomad
